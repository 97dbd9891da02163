"""How far the exchange in progress on a connection has come.

The parts of a connection count here what they send and receive. `errors` puts these facts into the
errors that it makes.
"""

from __future__ import annotations

__all__ = ["ExchangeProgress"]


class ExchangeProgress:
    """The facts of one exchange; the connection has one object for all its exchanges.

    Args:
        origin: The peer of the connection, without credentials.
    """

    __slots__ = (
        "body_left", "body_seen", "bytes_sent", "got_bytes", "origin", "reused", "url"
    )  # fmt: skip

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.begin("", False)

    def begin(self, url: str, reused: bool) -> None:
        """Start the next exchange: forget the facts of the last one.

        Args:
            url: For error messages.
            reused: Whether the connection has carried an exchange before.
        """
        self.url = url
        self.reused = reused
        #: Bytes of the request that were handed to the socket.
        self.bytes_sent = 0
        #: Whether any byte of the response has arrived.
        self.got_bytes = False
        #: Bytes of the response body read so far, and bytes still missing; `None` if not known.
        self.body_seen = 0
        self.body_left: int | None = None
