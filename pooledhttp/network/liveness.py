"""Whether an idle connection is still fit for a request, told without waiting.

Between two requests an HTTP/1.1 server has nothing to say. A socket that is readable while idle
has been closed by its peer, or carries bytes of no request: either way the next response could not
be trusted, so readable means unusable. TLS has one exception: tickets and key updates arrive
whenever the peer likes. There the TLS layer itself is asked to read, without blocking: it takes in
what is its own and says whether anything is left for us.

The kernel is asked by `poll`. Reading would raise an exception in the usual case, silence, and that
costs twice as much.
"""

from __future__ import annotations

import select
import socket
import ssl

__all__ = ["is_quiet", "is_tls_quiet"]

if hasattr(select, "poll"):

    def is_quiet(sock: socket.socket) -> bool:
        """Tell whether nothing at all has arrived on an idle socket.

        Args:
            sock: The socket; nothing is taken from it.

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
        """Tell whether nothing at all has arrived on an idle socket."""
        try:
            return not select.select([sock], [], [], 0)[0]
        except (OSError, ValueError):
            return False


def is_tls_quiet(sock: ssl.SSLSocket) -> bool:
    """Tell whether nothing but the TLS layer's own messages has arrived on an idle socket.

    Args:
        sock: A non-blocking TLS socket. Data found on it is lost, which does no harm: a connection
            that has some is not used again.

    Returns:
        False for data, end of stream, a close_notify or any error.
    """
    try:
        if not sock.pending() and is_quiet(sock):
            return True
        sock.read(1)
    except ssl.SSLWantReadError:
        return True
    except (OSError, ValueError):
        return False
    return False
