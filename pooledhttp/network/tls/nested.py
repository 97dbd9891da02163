"""TLS inside another stream: to an https origin through a proxy that is itself reached by TLS.

`ssl` can wrap a socket only once. So the inner TLS is an `SSLObject`, which has two buffers instead
of a socket. The carrier, which is the outer stream, moves the ciphertext::

    recv <── SSLObject <── incoming <── carrier.recv
    send ──> SSLObject ──> outgoing ──> carrier.send

The same is used over a plain stream for contexts that wrap sockets in their own way.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pooledhttp.network.stream import Buffer, Stream
from pooledhttp.network.tls.record_ends import RecordEnds
from pooledhttp.network.tls.stream import RECORD_BYTES, SecureStream

if TYPE_CHECKING:
    from pooledhttp.network.tls.sessions import SessionKeeper
    from pooledhttp.timing import Deadline

__all__ = ["NestedTlsStream"]

#: The most ciphertext of one read: several records, so that a large body needs few calls.
READ_BYTES = 65536


class _SocketOfTunnel:
    """The socket of a nested stream, as programs read it from a response.

    Attributes of TLS are those of the inner TLS, with the origin: the `ssl.SSLSocket` below has the
    certificate of the proxy. Addresses and options are those of that socket. Nothing can be sent or
    received, because the bytes would pass only one of the two layers of TLS.
    """

    __slots__ = ("_inside", "_sock")

    def __init__(self, inside: ssl.SSLObject, sock: socket.socket) -> None:
        self._inside = inside
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        if name in _TRANSFERS:
            raise io.UnsupportedOperation(f"{name}: read the response instead")
        source: Any = self._inside if hasattr(ssl.SSLObject, name) else self._sock
        return getattr(source, name)


#: Methods of a socket that move bytes.
_TRANSFERS = frozenset(
    {"read", "recv", "recv_into", "recvfrom", "send", "sendall", "sendfile", "unwrap", "write"}
)


class NestedTlsStream(SecureStream):
    """TLS over a stream; `handshake` does the handshake.

    Args:
        carrier: Moves the ciphertext; this stream owns it from now on.
        context: Makes the TLS connection.
        server_hostname: Sent in SNI and checked. None for neither.
        session: An earlier session to offer. None for a full handshake.
        trust: The context to which the connection is moved before the handshake; None if it is not
            moved.
        keeper: Keeps the session; None keeps none.

    Raises:
        ValueError: The context and the name do not go together.
    """

    __slots__ = ("_carrier", "_ends", "_incoming", "_object", "_outgoing", "_unsent")

    def __init__(
        self,
        carrier: Stream,
        context: ssl.SSLContext,
        server_hostname: str | None,
        *,
        session: ssl.SSLSession | None = None,
        trust: ssl.SSLContext | None = None,
        keeper: SessionKeeper | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname, session=session
        )
        if trust is not None:
            self._object.context = trust
        super().__init__(carrier.sock, carrier.runtime, self._object, keeper)
        self._carrier = carrier
        self._ends = RecordEnds()
        self._unsent = memoryview(b"")  # ciphertext that the carrier has not accepted yet

    @property
    def socket_for_users(self) -> Any:
        """The socket as programs read it from a response; see `_SocketOfTunnel`."""
        return _SocketOfTunnel(self._object, self.sock)

    def handshake(self, deadline: Deadline) -> None:
        """Do the handshake.

        Raises:
            TimeoutError: It was not done in time.
            OSError: It failed (`ssl.SSLError`), or the carrier failed.
        """
        try:
            while not self._step(self._object.do_handshake):
                self._fill(deadline)
            self._flush(deadline)
        except OSError:
            self._send_pending()  # the alert, if it can be sent at once
            raise

    def _step(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except ssl.SSLWantReadError:
            return False
        return True

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Read up to `max_bytes`; see `Stream.recv`."""
        if self._ahead:
            return self._take_ahead(max_bytes)
        read = self._object.read
        while True:
            if deadline.expired:
                raise TimeoutError("nothing arrived in time")
            try:
                return read(max_bytes)
            except ssl.SSLWantReadError:
                self._fill(deadline)
            except ssl.SSLZeroReturnError:
                return b""

    def _fill(self, deadline: Deadline) -> None:
        """Read more ciphertext, after sending what is pending."""
        self._flush(deadline)
        self._feed(self._carrier.recv(READ_BYTES, deadline))

    def _feed(self, data: bytes) -> None:
        if not data:
            # The stream has ended, and TLS has had no close_notify. Raised here, because the
            # options of the context may make OpenSSL accept such an end.
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        self._ends.feed(data)
        self._incoming.write(data)

    def _flush(self, deadline: Deadline) -> None:
        if self._unsent or self._outgoing.pending:
            self._collect()
            self._carrier.send(self._unsent, deadline)
            self._unsent = memoryview(b"")

    def _collect(self) -> None:
        if self._outgoing.pending:
            self._unsent = memoryview(bytes(self._unsent) + self._outgoing.read())

    def send(self, data: Buffer, deadline: Deadline) -> None:
        """Write all of `data`; see `Stream.send`."""
        view = memoryview(data)
        for start in range(0, len(view), READ_BYTES):
            self._encrypt(view[start : start + READ_BYTES], deadline)
            self._flush(deadline)

    def _encrypt(self, view: memoryview, deadline: Deadline) -> None:
        done = 0
        while done < len(view):
            try:
                done += self._object.write(view[done : done + RECORD_BYTES])
            except ssl.SSLWantReadError:  # a renegotiation has to be read first
                self._fill(deadline)

    def send_until_response(self, data: Buffer, deadline: Deadline) -> int:
        """Write `data` until a response begins; see `Stream.send_until_response`."""
        view, done = memoryview(data), 0
        while True:
            # The rest of an earlier call goes first. Encrypted bytes count as accepted.
            if not self._flush_until_response(deadline):
                return done
            if done == len(view):
                return done
            piece = view[done : done + RECORD_BYTES]
            self._encrypt(piece, deadline)
            done += len(piece)

    def _flush_until_response(self, deadline: Deadline) -> bool:
        """Send all ciphertext; False if a response has come before the end."""
        self._collect()
        while self._unsent:
            sent = self._carrier.send_until_response(self._unsent, deadline)
            self._unsent = self._unsent[sent:]
            if self._unsent and self._has_response(deadline):
                return False
        return True

    def _has_response(self, deadline: Deadline) -> bool:
        """Read; return whether it was more than messages of TLS. `recv` gets the bytes."""
        try:
            self._feed(self._carrier.recv(READ_BYTES, deadline))
            self._ahead = self._object.read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        return True

    def has_data_or_eof(self) -> bool:
        """Tell whether an idle connection cannot carry another request; see `Stream`."""
        if self.is_closed or self._ahead:
            return True
        return not self._is_quiet()

    def _is_quiet(self) -> bool:
        carrier = self._carrier
        received = carrier._received()
        try:
            if carrier._has_part_of_record():
                return False
            self._read_now(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            # As for `TlsStream`, if the carrier is one.
            return self._ends.is_at_end and carrier._received() == received
        except (OSError, ValueError):
            pass
        return False

    def _read_now(self, max_bytes: int) -> bytes:
        if self._ahead:
            return self._take_ahead(max_bytes)
        while True:
            try:
                return self._object.read(max_bytes)
            except ssl.SSLWantReadError:
                self._feed(self._carrier._read_now(READ_BYTES))
            except ssl.SSLZeroReturnError:
                return b""

    def _read_into_now(self, view: memoryview) -> int:
        data = self._read_now(min(len(view), RECORD_BYTES))
        view[: len(data)] = data
        return len(data)

    def _wait_for_bytes(self, is_for_reading: bool, deadline: Deadline) -> None:
        self._flush(deadline)  # the peer may wait for it
        super()._wait_for_bytes(is_for_reading, deadline)

    def _close_notify(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._object.unwrap()
        self._send_pending()
        self._carrier._close_notify()

    def _send_pending(self) -> None:
        """Send the pending ciphertext that can be sent without waiting."""
        with contextlib.suppress(OSError, ValueError):
            self._collect()
            self._carrier._write_now(self._unsent)

    def close(self) -> None:
        """Close at once; see `Stream.close`."""
        super().close()
        self._carrier.is_closed = True  # it shared the socket

    def abandon(self) -> None:
        """Close the descriptor without sending anything; see `Stream.abandon`."""
        self.is_closed = True
        self._carrier.abandon()
