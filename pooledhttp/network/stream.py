"""One connected byte stream: a TCP or Unix socket, with or without TLS.

    Stream                     the socket itself, without TLS
    └── SecureStream           the base class of streams with TLS           tls.stream
        ├── TlsStream          TLS on a socket (`ssl.SSLSocket`)            tls.stream
        └── NestedTlsStream    TLS inside another stream                    tls.nested

Every socket is non-blocking. To wait, the code calls the runtime with a deadline, so the same code
runs on threads and in greenlets. Some methods try first, and others wait first. When `recv` is
called, the response has hardly ever arrived, so it waits first: a try would raise an exception. The
bytes of a body have mostly arrived, so `read` and `read_into` try first. So does `send`, because
the send buffer is nearly always empty. Code that never waits would let no other greenlet run, and
would not notice that its run was stopped. So after `TRIES_IN_A_ROW` reads it sleeps for zero
seconds.

One exchange at a time uses a stream, so it has no lock. A timeout is the builtin TimeoutError.
Other errors of the socket or of TLS are raised unchanged, and `http1` translates them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from math import inf
from typing import TYPE_CHECKING, Any

from pooledhttp.network.liveness import is_quiet
from pooledhttp.runtime import remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["Buffer", "Stream", "close_socket"]

Buffer = bytes | bytearray | memoryview

#: After so many reads without a wait, other greenlets may run: a mebibyte over TLS.
TRIES_IN_A_ROW = 64


class Stream:
    """A connected, non-blocking byte stream.

    Args:
        sock: A connected, non-blocking socket; the stream owns it from now on.
        runtime: How this thread or greenlet waits.
    """

    __slots__ = ("_failure", "_tries_left", "_wait", "is_closed", "runtime", "sock")

    is_tls = False

    def __init__(self, sock: socket.socket, runtime: Runtime) -> None:
        self.sock = sock
        self.runtime = runtime
        self.is_closed = False
        self._wait = runtime.wait
        self._tries_left = TRIES_IN_A_ROW
        #: The error that ended the last `read_into` early; the next read raises it.
        self._failure: OSError | None = None

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Wait for the first byte, and read what has arrived.

        Args:
            max_bytes: The most to return.
            deadline: When to stop waiting.

        Returns:
            At least one byte, or `b""` at the end of the stream.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke.
            ssl.SSLError: TLS failed; `ssl.SSLEOFError` if it ended without close_notify: an
                attacker may have cut the stream.
        """
        sock = self.sock
        while True:
            has_expired = deadline.at != inf and deadline.expired
            if has_expired or not self._wait(sock, True, False, deadline)[0]:
                raise TimeoutError("nothing arrived in time")
            try:
                return sock.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                continue  # the kernel has dropped the bytes, because their checksum was wrong

    def read(self, max_bytes: int, total: Deadline, seconds: float | None) -> bytes:
        """Read what has arrived; wait only if nothing has.

        Args:
            max_bytes: The most to return.
            total: When to stop waiting, and reading.
            seconds: How long one wait may last. None sets no limit.

        Returns:
            At least one byte, or `b""` at the end of the stream.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke, or TLS failed; see `recv`.
        """
        if self._failure is not None:
            self._raise_failure()
        while True:
            self._let_others_run(total)
            try:
                return self._read_now(max_bytes)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                self._wait_for_bytes(True, total.sooner(seconds))
            except ssl.SSLWantWriteError:  # a renegotiation or key update has to be sent first
                self._wait_for_bytes(False, total.sooner(seconds))

    def read_into(self, view: memoryview, total: Deadline, seconds: float | None) -> int:
        """Fill `view`; wait as `read` does.

        Returns:
            How many bytes were written: fewer than `len(view)` at the end of the stream, or before
            an error that the next call raises.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke, or TLS failed; see `recv`.
        """
        if self._failure is not None:
            self._raise_failure()
        done, size = 0, len(view)
        read_now, has_total = self._read_into_now, total.at != inf
        try:
            while done < size:
                # As `_let_others_run`, without its call: over TLS, each record comes here.
                if has_total and total.expired:
                    raise TimeoutError("nothing arrived in time")
                self._tries_left -= 1
                if not self._tries_left:
                    self._pause()
                part = view[done:] if done else view
                try:
                    count = read_now(part)
                except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                    self._wait_for_bytes(True, total.sooner(seconds))
                    continue
                except ssl.SSLWantWriteError:
                    self._wait_for_bytes(False, total.sooner(seconds))
                    continue
                finally:
                    if part is not view:  # the traceback of an error can keep it
                        part.release()
                if not count:
                    break
                done += count
        except OSError as error:
            if not done:
                raise
            self._failure = remove_tracebacks(error)
        return done

    def _let_others_run(self, total: Deadline) -> None:
        """Check the deadline before a read, and pause now and then."""
        if total.at != inf and total.expired:
            raise TimeoutError("nothing arrived in time")
        self._tries_left -= 1
        if not self._tries_left:
            self._pause()

    def _pause(self) -> None:
        self._tries_left = TRIES_IN_A_ROW
        self.runtime.sleep(0.0)

    def _wait_for_bytes(self, is_for_reading: bool, deadline: Deadline) -> None:
        self._tries_left = TRIES_IN_A_ROW
        if not any(self._wait(self.sock, is_for_reading, not is_for_reading, deadline)):
            raise TimeoutError("nothing arrived in time")

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def recv_now(self, max_bytes: int) -> bytes | None:
        """Read what has arrived, without waiting.

        Args:
            max_bytes: The most to return.

        Returns:
            Bytes, `b""` at the end of the stream, or None when there is nothing yet.

        Raises:
            OSError: The connection broke, or TLS failed.
        """
        try:
            return self._read_now(max_bytes)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def send(self, data: Buffer, deadline: Deadline) -> None:
        """Write all of `data`; wait while the send buffer is full.

        Args:
            data: What to write; small data is written in one call.
            deadline: When to stop waiting.

        Raises:
            TimeoutError: Not all of it was accepted in time.
            OSError: The connection broke.
            ssl.SSLError: TLS failed.
        """
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data), deadline, False, sent)

    def send_until_response(self, data: Buffer, deadline: Deadline) -> int:
        """Write `data`; stop when the write would block and bytes have arrived.

        A server may respond before it has read the whole request, and then stop reading. A client
        that only writes would wait for ever.

        Args:
            data: What to write.
            deadline: When to stop waiting.

        Returns:
            How many bytes were accepted; fewer than `len(data)` means there is something to read,
            a response or the end.

        Raises:
            TimeoutError: The write blocked, and no bytes arrived, until the deadline.
            OSError: The connection broke before any byte was accepted.
            ssl.SSLError: TLS failed.
        """
        try:
            sent = self.sock.send(data)  # mostly a head, for which the send buffer has room
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent == len(data):
            return sent
        return self._send_rest(memoryview(data), deadline, True, sent)

    def _send_rest(
        self, view: memoryview, deadline: Deadline, heeds_response: bool, done: int
    ) -> int:
        """Write what the first write has not sent.

        Args:
            view: All bytes to write.
            deadline: When to stop waiting.
            heeds_response: Stop if bytes have arrived, or on an error after some bytes were sent.
            done: How many bytes the first write has sent.

        Returns:
            How many bytes were accepted, with those of the first write.
        """
        sock, total = self.sock, len(view)
        while done < total:
            try:
                done += sock.send(view[done:])
                continue
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                if heeds_response and done:
                    return done
                raise
            readable, writable = self._wait(sock, heeds_response, True, deadline)
            if heeds_response and readable:
                return done
            if deadline.expired or not writable:
                raise TimeoutError("the peer took nothing more in time")
        return done

    def _read_now(self, max_bytes: int) -> bytes:
        """Read what has arrived; raise if nothing has."""
        return self.sock.recv(max_bytes)

    def _read_into_now(self, view: memoryview) -> int:
        """Read what has arrived into `view`; raise if nothing has."""
        return self.sock.recv_into(view)

    def _write_now(self, data: Buffer) -> int:
        """Write what the send buffer has room for; raise if it has none."""
        return self.sock.send(data)

    def has_data_or_eof(self) -> bool:
        """Tell, without waiting, whether an idle connection cannot carry another request.

        Returns:
            True for data, an end of stream or an error. False if nothing has arrived.
        """
        return self.is_closed or not is_quiet(self.sock)

    def remember_session(self) -> None:
        """Keep the TLS session, which shortens the handshake of the next connection.

        To be called after the first bytes of a response: TLS 1.3 tickets come just before them.
        """

    @property
    def socket_for_users(self) -> Any:
        """The socket as programs read it from a response: peer address, certificate, cipher."""
        return self.sock

    @property
    def tls_version(self) -> str | None:
        """The version of TLS, such as `TLSv1.3`; None without TLS."""
        return None

    @property
    def cipher(self) -> str | None:
        """OpenSSL's name of the cipher; None without TLS."""
        return None

    @property
    def alpn(self) -> str | None:
        """The protocol chosen by ALPN; None for none."""
        return None

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake was shortened by an earlier session."""
        return False

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the peer's certificate, as `ssl.SSLSocket.getpeercert` does; None without TLS."""
        return None

    def close(self) -> None:
        """Close at once. Never waits, never raises; a second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self._close_notify()
        close_socket(self.sock, self.runtime)

    def _close_notify(self) -> None:
        """Send close_notify, if that is possible without waiting."""

    def abandon(self) -> None:
        """Close the descriptor without sending anything.

        For a forked child: the connection belongs to the parent, so nothing may be sent on it, and
        the parent's selector must not be touched.
        """
        if self.is_closed:
            return
        self.is_closed = True
        with contextlib.suppress(OSError, ValueError):
            descriptor = self.sock.detach()
            if descriptor >= 0:
                os.close(descriptor)

    def __repr__(self) -> str:
        kind = self.tls_version or "plain" if not self.is_closed else "closed"
        return f"<{type(self).__name__} {kind}>"


def close_socket(sock: socket.socket, runtime: Runtime) -> None:
    """Close a socket, and let the runtime forget it. Errors of closing are ignored.

    Args:
        sock: The socket.
        runtime: The runtime that has waited for it.
    """
    with contextlib.suppress(OSError):
        runtime.close_socket(sock)
