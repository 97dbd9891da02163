"""Whether an idle connection is still fit for a request, told without waiting.

Between two requests an HTTP/1.1 server has nothing to say. A socket that is readable while idle
has been closed by its peer, or carries bytes of no request: either way the next response could not
be trusted, so readable means unusable. TLS has one exception: tickets and key updates arrive
whenever the peer likes. There the TLS layer itself is asked to read, without blocking: it takes in
what is its own and says whether anything is left for us.
"""

from __future__ import annotations

import select
import socket
import ssl

__all__ = ["is_quiet", "is_tls_quiet"]


def is_quiet(sock: socket.socket) -> bool:
    """Tell whether nothing at all has arrived on an idle, non-blocking socket.

    Args:
        sock: A plain socket; nothing is taken from it.

    Returns:
        False for data, end of stream, a reset or any other error.
    """
    try:
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return True
    except (OSError, ValueError):
        return False
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
        # Asking the kernel first spares the usual case, silence, the cost of an exception from
        # OpenSSL.
        if not sock.pending() and not _is_readable(sock):
            return True
        sock.read(1)
    except ssl.SSLWantReadError:
        return True
    except (OSError, ValueError):
        return False
    return False


if hasattr(select, "poll"):

    def _is_readable(sock: socket.socket) -> bool:
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))

else:  # pragma: no cover - Windows

    def _is_readable(sock: socket.socket) -> bool:
        return bool(select.select([sock], [], [], 0)[0])
