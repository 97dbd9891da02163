"""Streams with TLS.

`SecureStream` is the base class. `TlsStream` is TLS on a socket, the common case. `nested` has TLS
inside another stream.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from math import inf
from typing import TYPE_CHECKING, Any

from pooledhttp.network.liveness import bytes_received
from pooledhttp.network.stream import Buffer, Stream
from pooledhttp.network.tls.record_ends import RecordEnds
from pooledhttp.runtime import remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.network.tls.sessions import SessionKeeper
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["RECORD_BYTES", "SecureStream", "TlsStream"]

#: The most data of one TLS record. A larger write becomes several records in any case. They are
#: written one by one, so that the count of accepted bytes is exact.
RECORD_BYTES = 16384

#: More than messages of TLS fill on an idle connection. If so much has come, it is data.
PEEK_BYTES = 32768

#: What `ssl` has; each calls one method of the object inside. A program may replace them.
_READ, _SEND = ssl.SSLSocket.read, ssl.SSLSocket.send


class SecureStream(Stream):
    """The base class of streams with TLS.

    Args:
        sock: The socket that moves the ciphertext.
        runtime: How to wait.
        tls: The TLS connection.
        keeper: Keeps the session; None keeps none.
    """

    __slots__ = ("_ahead", "_keeper", "_tls")

    is_tls = True

    def __init__(
        self,
        sock: socket.socket,
        runtime: Runtime,
        tls: ssl.SSLSocket | ssl.SSLObject,
        keeper: SessionKeeper | None = None,
    ) -> None:
        super().__init__(sock, runtime)
        self._tls = tls
        self._keeper = keeper
        # Bytes that `send_until_response` has read to find out that they are no session ticket.
        self._ahead = b""

    def _take_ahead(self, max_bytes: int) -> bytes:
        taken, self._ahead = self._ahead[:max_bytes], self._ahead[max_bytes:]
        return taken

    def remember_session(self) -> None:
        """Keep the TLS session once, if it can be resumed; see `Stream.remember_session`."""
        keeper, self._keeper = self._keeper, None
        if keeper is None or not keeper.is_needed():
            return
        session = self._tls.session
        # A session of TLS 1.3 cannot be resumed before its ticket has come. One of TLS 1.2 may have
        # an id instead of a ticket.
        if session is not None and (session.has_ticket or self._tls.version() != "TLSv1.3"):
            keeper.keep(session)

    def keep_no_session(self) -> None:
        """Let `remember_session` do nothing: the session that was offered is good enough."""
        self._keeper = None

    @property
    def tls_version(self) -> str | None:
        """The version of TLS, such as `TLSv1.3`."""
        return self._tls.version()

    @property
    def cipher(self) -> str | None:
        """OpenSSL's name of the cipher."""
        chosen = self._tls.cipher()
        return chosen[0] if chosen else None

    @property
    def alpn(self) -> str | None:
        """The protocol chosen by ALPN; None for none."""
        return self._tls.selected_alpn_protocol()

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake was shortened by an earlier session."""
        return bool(self._tls.session_reused)

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate of the peer, as `ssl.SSLSocket.getpeercert` gives it."""
        return self._tls.getpeercert(binary_form)


class TlsStream(SecureStream):
    """A stream with TLS directly on a socket, by the `ssl` module.

    Args:
        sock: A TLS socket whose handshake is done, made with `suppress_ragged_eofs=False`.
        runtime: How to wait.
        keeper: Keeps the session; None keeps none.
    """

    __slots__ = ("_has_ended", "_is_plain", "_may_have_rest", "_may_hold_part", "_read")

    sock: Any  # an `ssl.SSLSocket`; its private attribute is used, see `_is_plain`

    def __init__(
        self,
        sock: ssl.SSLSocket,
        runtime: Runtime,
        keeper: SessionKeeper | None = None,
    ) -> None:
        super().__init__(sock, runtime, sock, keeper)
        self._read = sock.read
        #: Whether the two methods can be left out that do nothing but call the object inside.
        self._is_plain = (
            type(sock) is ssl.SSLSocket and ssl.SSLSocket.read is _READ and hasattr(sock, "_sslobj")
        )
        #: Whether a decrypted record may not be taken completely. It is, once a read has returned
        #: less than it asked for: a read never crosses the end of a record.
        self._may_have_rest = True
        #: Whether the last read of a body looked behind a record and found no other: nothing had
        #: come, or OpenSSL has taken in a part of one. It does not tell which.
        self._may_hold_part = False
        #: Whether the end of TLS, or an error, was read behind bytes. The socket may be quiet then.
        self._has_ended = False

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Read up to `max_bytes`; see `Stream.recv`."""
        if self._ahead:
            return self._take_ahead(max_bytes)
        sock = self.sock
        # Decrypted bytes do not make the descriptor readable, so waiting for it could hang.
        reading, writing = not (self._may_have_rest and self._has_rest()), False
        # A read returns one record at most; asking for more would only allocate more.
        size = RECORD_BYTES if max_bytes > RECORD_BYTES else max_bytes
        while True:
            if reading and deadline.at == inf:  # the lines of `_wait_to_read`, without its call
                poll = self._blocking_poll
                if poll is None:
                    wait = self._wait
                    wait(sock, True, False, deadline)
                elif sock.fileno() == self._descriptor:
                    poll()
                else:
                    self._wait_to_read(deadline)
            elif deadline.expired or (reading and not self._wait_to_read(deadline)):
                raise TimeoutError("nothing arrived in time")
            if writing and not any(self._wait(sock, False, True, deadline)):
                raise TimeoutError("nothing arrived in time")
            try:
                tls = sock._sslobj if self._is_plain else None
                data: bytes = self._read(size) if tls is None else tls.read(size)
                self._may_have_rest = len(data) == size
                return data
            except ssl.SSLWantReadError:  # half a record, or a ticket
                reading, writing = True, False
            except ssl.SSLWantWriteError:  # a renegotiation or key update has to be sent first
                reading, writing = False, True
            except ValueError as error:
                self._check_shutdown(error)
                reading, writing = True, False

    def send(self, data: Buffer, deadline: Deadline) -> None:
        """Write all of `data`; see `Stream.send`."""
        sent = 0
        if len(data) <= RECORD_BYTES:
            try:
                sent = self.sock.send(data)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass  # OpenSSL has kept the write, which `_send_rest` repeats with the same bytes
        if sent < len(data):
            self._send_rest(memoryview(data), deadline, False, sent)

    def send_until_response(self, data: Buffer, deadline: Deadline) -> int:
        """Write `data`, but stop early for a response; see `Stream.send_until_response`."""
        self._tries_left -= 1
        if not self._tries_left:  # an upload to a peer that is as fast
            self._pause()
        sent = 0
        if len(data) <= RECORD_BYTES:
            sock = self.sock
            try:
                is_plain = self._is_plain and ssl.SSLSocket.send is _SEND
                tls = sock._sslobj if is_plain else None
                sent = sock.send(data) if tls is None else tls.write(data)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass  # as in `send`
        return sent or self._send_rest(memoryview(data), deadline, True, sent)

    def _send_rest(
        self, view: memoryview, deadline: Deadline, stops_at_response: bool, done: int
    ) -> int:
        sock, total = self.sock, len(view)
        while done < total:
            reading = stops_at_response
            try:
                done += sock.send(view[done : done + RECORD_BYTES])
                continue
            except ssl.SSLWantWriteError:
                pass
            except ssl.SSLWantReadError:
                reading = True
            except OSError:
                if stops_at_response and done:
                    return done
                raise
            readable, writable = self._wait(sock, reading, True, deadline)
            if readable and stops_at_response and self._has_response():
                return done
            if deadline.expired or not (readable or writable):
                raise TimeoutError("the peer took nothing more in time")
        return done

    def _read_now(self, max_bytes: int) -> bytes:
        if self._ahead:
            return self._take_ahead(max_bytes)
        if self._failure is not None:  # what reads here through another stream
            self._raise_failure()
        self._may_have_rest, self._may_hold_part = True, False
        # A read returns one record at most; asking for more would only allocate more.
        try:
            data = self._read(min(max_bytes, RECORD_BYTES))
        except ValueError as error:
            self._check_shutdown(error)
            raise ssl.SSLWantReadError from error
        if len(data) < RECORD_BYTES or max_bytes < 2 * RECORD_BYTES:
            return data
        return self._with_more_records(data, max_bytes)

    def _with_more_records(self, first: bytes, max_bytes: int) -> bytes:
        """Return a record, and those behind it that have arrived: a large body comes in many."""
        records, left = [first], max_bytes - len(first)
        try:
            while left >= RECORD_BYTES:
                data = self._read(RECORD_BYTES)
                records.append(data)
                left -= len(data)
                if len(data) < RECORD_BYTES:
                    self._has_ended = not data
                    break
        except (OSError, ValueError) as error:
            self._stop_at(error)
        # Each counts as a read, so that other greenlets may run as often.
        self._tries_left = max(1, self._tries_left - len(records) + 1)
        return b"".join(records)

    def _stop_at(self, error: OSError | ValueError) -> None:
        """Leave an error behind records to the next read, which meets it again or raises it."""
        if isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            self._may_hold_part = True
        elif isinstance(error, OSError):
            self._has_ended = True
            self._failure = remove_tracebacks(error)

    def _has_rest(self) -> bool:
        """Whether a read finds something without the socket: decrypted bytes, or the end."""
        return self._has_ended or bool(self.sock.pending())

    def _read_into_now(self, view: memoryview) -> int:
        if self._ahead:
            taken = self._take_ahead(len(view))
            view[: len(taken)] = taken
            return len(taken)
        if self._failure is not None:  # behind the records of the last read
            self._raise_failure()
        self._may_have_rest, self._may_hold_part = True, False
        # `ssl` declares that `read` returns bytes, also with a buffer to read into.
        try:
            count: Any = self._read(len(view), view)
        except ValueError as error:
            self._check_shutdown(error)
            raise ssl.SSLWantReadError from error
        if not count or count == len(view):
            return count  # type: ignore[no-any-return]
        return self._add_records(view, count)

    def _add_records(self, view: memoryview, done: int) -> int:
        """Read records that have arrived into `view`, behind the first `done` bytes.

        Returns:
            How many bytes there are in `view`.
        """
        size, read, tries = len(view), self._read, self._tries_left
        part = view
        try:
            while tries and done < size:
                part = view[done:]
                count: Any = read(RECORD_BYTES, part)
                tries -= 1
                done += count
                if not count:
                    self._has_ended = True
                    break
        except (OSError, ValueError) as error:
            self._stop_at(error)
        finally:
            if part is not view:
                part.release()
        self._tries_left = max(1, tries)
        return done

    def _check_shutdown(self, error: ValueError) -> None:
        """Raise for a socket that the program shuts down itself, as to stop a stream.

        `ssl` takes TLS off such a socket first, and a read raises a bare `ValueError`. This
        returns while the socket below has not ended, which is to be waited for: the other thread
        would find it closed otherwise.

        Raises:
            ConnectionAbortedError: The socket is shut down.
            OSError: It is closed.
        """
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(1, socket.MSG_PEEK)
            raise ConnectionAbortedError("the program has shut down the TLS socket") from error

    def _has_response(self) -> bool:
        """Read; return whether it was more than messages of TLS. `recv` gets the bytes."""
        self._may_have_rest = True
        try:
            self._ahead = self._read(RECORD_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (OSError, ValueError):
            return True  # `recv` gets the same error, and its caller reports it
        return True

    def has_data_or_eof(self) -> bool:
        """Tell whether an idle connection cannot carry another request; see `Stream`."""
        if self.is_closed or self._ahead:
            return True
        poll = self._poll
        if poll is not None and not (self._may_have_rest or self._has_ended):
            # The lines of `_is_quiet` and what it calls, repeated here to save two calls.
            if self.sock.fileno() == self._descriptor and not poll.poll(0):
                return False
        return not self._is_quiet()

    def _is_quiet(self) -> bool:
        """Whether nothing but messages of TLS itself has arrived on the idle socket.

        Data that has arrived may be lost, which does no harm: a connection with such data is not
        used again.
        """
        sock = self.sock
        try:
            if self._may_hold_part:
                return False
            if not (self._may_have_rest and self._has_rest()) and self._is_socket_quiet():
                return True
            received = self._received()
            if self._has_part_of_record():
                return False
            self._may_have_rest = True
            try:
                sock.read(1)
            except ssl.SSLWantReadError:
                # OpenSSL has also taken in what came after the look, perhaps a part of a record.
                return self._received() == received
        except (OSError, ValueError):
            pass
        return False

    def _has_part_of_record(self) -> bool:
        """See `Stream`: asked before a read, which would take the part in and tell nothing."""
        if self._may_hold_part:
            return True
        try:
            # Of the class below, because that of `ssl` refuses flags.
            data = socket.socket.recv(self.sock, PEEK_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        ends = RecordEnds()
        ends.feed(data)
        return len(data) == PEEK_BYTES or not ends.is_at_end

    def _received(self) -> int | None:
        """See `Stream`; read or not."""
        return bytes_received(self.sock)

    def _close_notify(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.sock.unwrap()
