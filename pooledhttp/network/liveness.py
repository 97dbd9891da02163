"""Tells, without waiting, whether an idle connection can carry another request.

Between two requests an HTTP/1.1 server sends nothing. If an idle socket is readable, its peer has
closed it, or has sent bytes that belong to no request. In both cases the next response could not be
trusted, so a readable socket is not used again. TLS has one exception: session tickets and key
updates can arrive at any time. So the TLS layer reads, without blocking: it handles its own
messages, and tells whether there are other bytes. It looks at the bytes before that, because a part
of a record may become data.

`poll` asks the kernel whether the socket is readable. A read would raise an exception in the usual
case, in which nothing has arrived, and that costs twice as much.
"""

from __future__ import annotations

import select
import socket
import struct

__all__ = ["bytes_received", "is_quiet"]

#: Linux: how many bytes have come, in `struct tcp_info`.
_RECEIVED = struct.Struct("=128xQ")

if hasattr(select, "poll"):

    def is_quiet(sock: socket.socket) -> bool:
        """Return whether nothing has arrived on an idle socket.

        Args:
            sock: The socket; nothing is read from it.

        Returns:
            False for data, end of stream, a reset or any other error.
        """
        poller = select.poll()
        try:
            poller.register(sock, select.POLLIN)
        except (OSError, ValueError):  # it is closed
            return False
        return not poller.poll(0)

else:  # pragma: no cover - Windows

    def is_quiet(sock: socket.socket) -> bool:
        """Return whether nothing has arrived on an idle socket."""
        try:
            return not select.select([sock], [], [], 0)[0]
        except (OSError, ValueError):
            return False


if hasattr(socket, "TCP_INFO"):

    def bytes_received(sock: socket.socket) -> int | None:
        """Return how many bytes have come on a TCP connection, read or not; `None` if not known."""
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
            (count,) = _RECEIVED.unpack(info)
        except (OSError, struct.error):  # no TCP, or an old kernel
            return None
        return int(count)

else:  # pragma: no cover - not Linux

    def bytes_received(sock: socket.socket) -> int | None:
        """Return `None`: only Linux tells how many bytes have come."""
        return None
