"""A keep-alive server that counts: sockets open at a time, connections made, requests executed.

One thread serves any number of connections on any number of loopback addresses. The count of open
sockets is exact from the client's point of view: before a new one is counted, those whose client
has closed them already are taken off, although their end has not been read yet. So a client that
closes one connection and then opens another is never seen with both.

A read of a number waits until the thread has seen what clients did before: a `connect` has
returned long before the server accepts.

    with CountingServer(["127.0.0.1", "127.0.0.2"]) as server:
        client.get(server.url("/a", host="127.0.0.2"))
        assert server.accepted["127.0.0.2"] == 1
        assert server.executed["GET /a"] == 1

The body of a response is the request's method and target, so that a test can tell whose it is.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from tests.support.patience import wait_until

__all__ = ["CountingServer"]

#: Longest time the server is waited for; reached only when a test is failing.
PATIENCE_SECONDS = 20.0


class _Line:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.sock = sock
        self.host = host
        self.buffer = b""
        self.is_counted = True
        self.is_busy = False  # as a request has been read and not been answered
        self.idle_since = time.monotonic()

    def is_gone(self) -> bool:
        """Whether the client has closed or reset it, read or not."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class CountingServer:
    """See the module's text.

    Args:
        hosts: The loopback addresses to listen on, all on one port.
        idle_seconds: Close a connection that has been idle for that long; None for never.
        waits_for_first: Whether a connection may take as long as it likes until its first request.
        hint: What to say in `Keep-Alive`; None says nothing.
        work_seconds: From a request to its response.
    """

    def __init__(
        self,
        hosts: Sequence[str] = ("127.0.0.1",),
        *,
        idle_seconds: float | None = None,
        waits_for_first: bool = False,
        hint: str | None = None,
        work_seconds: float = 0.0,
    ) -> None:
        self._accepted: Counter[str] = Counter()
        self._executed: Counter[str] = Counter()
        self._peak = 0
        self._idle_closes = 0
        self.hosts = list(hosts)
        self._idle_seconds = idle_seconds
        self._waits_for_first = waits_for_first
        self._head = b"HTTP/1.1 200 OK\r\n"
        if hint is not None:
            self._head += b"Keep-Alive: %s\r\n" % hint.encode()
        self._work_seconds = work_seconds
        self._lines: set[_Line] = set()
        self._due: list[tuple[float, int, _Line, bytes]] = []
        self._serials = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._is_ending = False
        self._error: BaseException | None = None
        self._listeners = self._listen()
        self.port: int = self._listeners[0].getsockname()[1]
        self._bell, self._bell_end = socket.socketpair()
        self._asking: deque[threading.Event] = deque()
        self._thread = threading.Thread(target=self._run, name="counting server", daemon=True)

    def _listen(self) -> list[socket.socket]:
        first = socket.create_server((self.hosts[0], 0), backlog=1024)
        port = first.getsockname()[1]
        rest = [socket.create_server((host, port), backlog=1024) for host in self.hosts[1:]]
        return [first, *rest]

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The URL of a path on one of the addresses, the first one by default."""
        return f"http://{host or self.hosts[0]}:{self.port}{path}"

    @property
    def accepted(self) -> Counter[str]:
        """Connections made so far, by the address they were made to."""
        self.settle()
        return self._accepted.copy()

    @property
    def executed(self) -> Counter[str]:
        """Requests read so far, by method and target."""
        self.settle()
        return self._executed.copy()

    @property
    def peak(self) -> int:
        """The most connections that were open at a time."""
        self.settle()
        return self._peak

    @property
    def idle_closes(self) -> int:
        """Connections closed because they were idle for `idle_seconds`."""
        self.settle()
        return self._idle_closes

    @property
    def open_count(self) -> int:
        """Connections the server has open."""
        self.settle()
        return len(self._lines)

    def settle(self) -> None:
        """Wait until the server has seen what clients did before this call: dials, bytes, closes.

        Returns at once when the server does not run.
        """
        seen = threading.Event()
        self._asking.append(seen)
        with contextlib.suppress(OSError):  # it has ended
            self._bell_end.send(b"s")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._thread.is_alive() and not seen.wait(0.05):
            assert time.monotonic() < deadline, "the server does not come to rest"

    def wait_until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for a fact.

        Raises:
            AssertionError: It did not come about.
        """
        wait_until(happened, what, PATIENCE_SECONDS)

    def __enter__(self) -> CountingServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_ending = True
        self._bell_end.send(b"x")
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        for sock in [*self._listeners, self._bell, self._bell_end]:
            sock.close()
        if kind is None and self._error is not None:
            raise self._error

    # -- the thread

    def _run(self) -> None:
        try:
            for listener, host in zip(self._listeners, self.hosts, strict=True):
                listener.setblocking(False)
                self._selector.register(listener, selectors.EVENT_READ, host)
            self._selector.register(self._bell, selectors.EVENT_READ, None)
            while not self._is_ending:
                self._turn()
        except BaseException as error:  # raised where the test can see it
            self._error = error
        finally:
            for line in list(self._lines):
                self._end(line)
            self._selector.close()

    def _turn(self) -> None:
        asked = self._serve(self._pause())
        if asked:
            waiting = [self._asking.popleft() for _ in range(len(self._asking))]
            # What came with the wake-up, and then what the connections accepted with it had sent.
            for _ in range(2):
                self._serve(0)
            for seen in waiting:
                seen.set()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, line, answer = heapq.heappop(self._due)
            self._answer(line, answer)
        if self._idle_seconds is not None:
            for line in list(self._lines):
                if not line.is_busy and now - line.idle_since >= self._idle_seconds:
                    self._idle_closes += 1
                    self._end(line)

    def _serve(self, pause: float | None) -> bool:
        """Accept and read what is there; return whether a wake-up came meanwhile."""
        asked = False
        for key, _ in self._selector.select(pause):
            if isinstance(key.data, _Line):
                self._read(key.data)
            elif key.data is not None:
                self._accept(key.fileobj, key.data)  # type: ignore[arg-type]
            else:
                asked = bool(self._bell.recv(4096))
        return asked

    def _pause(self) -> float | None:
        ends = [self._due[0][0]] if self._due else []
        if self._idle_seconds is not None:
            idle = [line.idle_since for line in self._lines if not line.is_busy]
            ends += [since + self._idle_seconds for since in idle]
        return max(min(ends) - time.monotonic(), 0.0) if ends else None

    def _accept(self, listener: socket.socket, host: str) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line = _Line(sock, host)
                line.is_busy = self._waits_for_first
                self._lines.add(line)
                self._selector.register(sock, selectors.EVENT_READ, line)
                self._accepted[host] += 1
                self._count()

    def _count(self) -> None:
        """Note a new peak, if it is one."""
        if len(self._lines) <= self._peak:
            return
        for line in self._lines:
            line.is_counted = line.is_counted and not line.is_gone()
        self._peak = max(self._peak, sum(line.is_counted for line in self._lines))

    def _read(self, line: _Line) -> None:
        try:
            data = line.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(line)
            return
        line.buffer += data
        while (end := line.buffer.find(b"\r\n\r\n")) >= 0:
            head = line.buffer[:end].decode("latin-1")
            length = 0
            for field in head.split("\r\n")[1:]:
                name, _, value = field.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            if len(line.buffer) < end + 4 + length:
                return
            line.buffer = line.buffer[end + 4 + length :]
            self._execute(line, head)

    def _execute(self, line: _Line, head: str) -> None:
        what = head.split(" HTTP/")[0]
        self._executed[what] += 1
        line.is_busy = True
        body = what.encode("latin-1")
        answer = self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        if self._work_seconds:
            due = time.monotonic() + self._work_seconds
            heapq.heappush(self._due, (due, next(self._serials), line, answer))
        else:
            self._answer(line, answer)

    def _answer(self, line: _Line, answer: bytes) -> None:
        if line not in self._lines:
            return
        line.is_busy = False
        line.idle_since = time.monotonic()
        with contextlib.suppress(OSError):
            line.sock.send(answer)

    def _end(self, line: _Line) -> None:
        if line in self._lines:
            self._lines.discard(line)
            self._selector.unregister(line.sock)
            line.sock.close()
