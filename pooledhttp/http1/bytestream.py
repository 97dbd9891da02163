"""The methods of a stream that a connection calls. Tests put a scripted stream in its place."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.timing import Deadline

__all__ = ["ByteStream"]


class ByteStream(Protocol):
    """Bytes in both directions; each wait has a deadline."""

    sock: socket.socket

    @property
    def socket_for_users(self) -> Any:
        """The socket as programs read it from a response."""

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Wait for bytes and return them, `b""` at the end of the stream."""

    def read(self, max_bytes: int, total: Deadline, seconds: float | None) -> bytes:
        """Return bytes of a body, `b""` at the end of the stream; wait only if there are none yet.

        Args:
            max_bytes: The most to return.
            total: When to stop waiting, and reading.
            seconds: How long one wait may last; `None` for no limit.
        """

    def read_into(self, view: memoryview, total: Deadline, seconds: float | None) -> int:
        """Fill `view` with bytes of a body; wait as `read` does.

        Returns:
            How many bytes were written: fewer than `len(view)` at the end of the stream, or before
            an error that the next call raises.
        """

    def read_pooled(
        self, buffers: BufferPool, max_bytes: int, total: Deadline, seconds: float | None
    ) -> Piece:
        """Do what `read` does, with a buffer of a pool."""

    def fail_next_read(self, error: OSError) -> None:
        """Have the next read of a body raise an error that ended one before."""

    def recv_now(self, max_bytes: int) -> bytes | None:
        """Return what has arrived: `b""` at the end of the stream, `None` for nothing yet."""

    def send(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Write all of `data`."""

    def send_until_response(self, data: bytes | memoryview, deadline: Deadline) -> int:
        """Write until all is sent, or until the write would block and bytes have arrived.

        Returns:
            How many bytes were written.
        """

    def has_data_or_eof(self) -> bool:
        """Tell, without waiting, whether an idle stream has bytes to read or has ended."""

    def remember_session(self) -> None:
        """Keep the TLS session, which shortens the next handshake. Called after a response head.

        A TLS 1.3 server sends the session only after the handshake.
        """

    def close(self) -> None:
        """Close at once."""

    def abandon(self) -> None:
        """Close the descriptor without sending anything."""
