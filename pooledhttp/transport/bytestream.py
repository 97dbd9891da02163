"""What a connection needs of the stream under it: `network.Stream` in life, a script in tests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pooledhttp.timing import Deadline

__all__ = ["ByteStream"]


class ByteStream(Protocol):
    """Bytes both ways, each wait with its deadline."""

    sock: socket.socket

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Wait for bytes and return them, `b""` at the end of the stream."""

    def recv_now(self, max_bytes: int) -> bytes | None:
        """Return what has arrived: `b""` at the end of the stream, `None` for nothing yet."""

    def send(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Write all of `data`."""

    def send_until_response(self, data: bytes | memoryview, deadline: Deadline) -> int:
        """Write until all is out or the peer answers while we are blocked; return the count."""

    def has_data_or_eof(self) -> bool:
        """Whether an idle stream is no longer idle, found out without waiting."""

    def remember_session(self) -> None:
        """Keep what shortens the next handshake, now that bytes of an answer have come."""

    def close(self) -> None:
        """Close at once."""

    def abandon(self) -> None:
        """Close without a byte to the peer."""
