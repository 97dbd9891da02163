"""Tells, without waiting, whether an idle connection can carry another request.

Between two requests an HTTP/1.1 server sends nothing. If an idle socket is readable, its peer has
closed it, or has sent bytes that belong to no request. In both cases the next response could not be
trusted, so a readable socket is not used again. TLS has one exception: session tickets and key
updates can arrive at any time. So the TLS layer reads, without blocking: it handles its own
messages, and tells whether there are other bytes.

`poll` asks the kernel whether the socket is readable. A read would raise an exception in the usual
case, in which nothing has arrived, and that costs twice as much.
"""

from __future__ import annotations

import select
import socket

__all__ = ["is_quiet"]

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
