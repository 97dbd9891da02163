"""The half of a stream that reads: waits for bytes, and takes what has come.

    Stream          writes, closes, tells facts        stream
      ReadSide      reads                              this module

Some methods try first, and others wait first. When `recv` is called, the response has hardly ever
arrived, so it waits first: a try would raise an exception. The bytes of a body have mostly arrived,
so the other reads try first. Code that never waits would let no other greenlet run, and
would not notice that its run was stopped. So after `TRIES_IN_A_ROW` reads, or writes, it sleeps for
zero seconds.

The system is asked twice for each request whether anything has come: is the idle connection quiet,
and has the response begun. One poll object for the life of the socket serves both. On an event loop
it serves the first question alone: there the loop waits.
"""

from __future__ import annotations

import socket
import ssl
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.network.liveness import is_quiet
from pooledhttp.runtime import poll_one, poll_until, reading_poll, remove_tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.runtime import Poll, Runtime
    from pooledhttp.timing import Deadline

__all__ = ["TRIES_IN_A_ROW", "ReadSide"]

T = TypeVar("T")

#: After so many reads without a wait, or writes, other greenlets may run: a mebibyte over TLS.
TRIES_IN_A_ROW = 64


class ReadSide:
    """Reads from one socket; see `Stream`, which also describes the arguments."""

    __slots__ = (
        "_blocking_poll", "_descriptor", "_failure", "_poll", "_tries_left", "_wait", "is_closed",
        "runtime", "sock",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, runtime: Runtime) -> None:
        self.sock = sock
        self.runtime = runtime
        self.is_closed = False
        self._wait = runtime.wait
        self._tries_left = TRIES_IN_A_ROW
        #: The error that ended the last `read_into` early; the next read raises it.
        self._failure: OSError | None = None
        #: Made when it is first needed, with the descriptor that it is for.
        self._poll: Poll | None = None
        self._descriptor = -1
        #: Waits by that object; `None` if the runtime waits in another way.
        self._blocking_poll: Callable[[], object] | None = None

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
            poll = self._blocking_poll
            if deadline.at == inf:  # the lines of `_wait_to_read`, repeated here to save a call
                if poll is None:
                    wait = self._wait
                    wait(sock, True, False, deadline)
                elif sock.fileno() == self._descriptor:
                    poll()
                else:
                    self._wait_to_read(deadline)
            elif deadline.expired or not self._wait_to_read(deadline):
                raise TimeoutError("nothing arrived in time")
            try:
                return sock.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                continue  # the kernel has dropped the bytes, because their checksum was wrong

    def _wait_to_read(self, deadline: Deadline) -> bool:
        """Wait until something has come; `False` if the deadline comes first."""
        poll = self._poll
        # The caller may have closed the socket, and its number may belong to another one.
        if poll is None or self._blocking_poll is None or self.sock.fileno() != self._descriptor:
            return self._wait(self.sock, True, False, deadline)[0]
        return bool(poll.poll() if deadline.at == inf else poll_until(poll, deadline))

    def _is_socket_quiet(self) -> bool:
        """Whether nothing at all has arrived on the socket, not even its end."""
        poll = self._poll
        if poll is None:
            poll = self._poll = reading_poll(self.sock)
            if poll is None:
                return is_quiet(self.sock)
            self._descriptor = self.sock.fileno()
            if self._wait is poll_one:
                self._blocking_poll = poll.poll
        return self.sock.fileno() == self._descriptor and not poll.poll(0)

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
        return self._read_when_ready(self._read_now, max_bytes, total, seconds)

    def read_pooled(
        self, buffers: BufferPool, max_bytes: int, total: Deadline, seconds: float | None
    ) -> Piece:
        """Read what has arrived into a buffer of a pool; wait, and raise, as `read` does."""
        fill = partial(buffers.fill, self._read_into_now)
        return self._read_when_ready(fill, max_bytes, total, seconds)

    def _read_when_ready(
        self, read_now: Callable[[int], T], max_bytes: int, total: Deadline, seconds: float | None
    ) -> T:
        if self._failure is not None:
            self._raise_failure()
        while True:
            self._let_others_run(total)
            try:
                return read_now(max_bytes)
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

    def fail_next_read(self, error: OSError) -> None:
        """Have the next read of a body raise an error that ended one before."""
        self._failure = remove_tracebacks(error)

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

    def _read_now(self, max_bytes: int) -> bytes:
        """Read what has arrived; raise if nothing has."""
        return self.sock.recv(max_bytes)

    def _read_into_now(self, view: memoryview) -> int:
        """Read what has arrived into `view`; raise if nothing has."""
        return self.sock.recv_into(view)
