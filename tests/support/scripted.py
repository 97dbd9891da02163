"""A server that sends exactly what a test scripted, byte for byte.

A *handler* is a function that gets a `Peer`, one accepted connection, and does what it likes with
it in a thread of its own: read requests, send bytes, close, reset. What happened is recorded
(`connections`, `requests`), and a test waits for a recorded fact (`wait_for`), never for time to
pass. `connections` has all that clients have made before, accepted or not yet; a
request is recorded before its response is sent; a test waits for one without a response. Leaving
the `with` block ends every connection and joins every thread, so a handler that still waits for its
peer is released rather than hanging the test; an assertion that failed inside a handler is raised
there.

    with ScriptedServer(answering(respond(b"hello"))) as server:
        assert client.get(server.url("/")).content == b"hello"
        assert len(server.connections) == 1
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pooledhttp.runtime import current_runtime
from tests.support.patience import wait_until

#: Longest time anything here waits for a peer or a thread; reached only when a test is failing.
PATIENCE_SECONDS = 20.0

#: Time between two looks at what a handler may have noted without the server's knowing.
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class SeenRequest:
    """One request as it came over the wire; names and values keep their case and order."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes
    connection: int = 0

    def header(self, name: str) -> str | None:
        """The values of a header joined by ", ", or None when it was not sent."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    def names(self) -> list[str]:
        """Header names in the order in which they were sent."""
        return [name for name, _ in self.headers]


class PeerGone(ConnectionError):
    """The client closed the connection where a handler expected bytes."""


class Gate:
    """A gate at which a handler waits until the test opens it; the server's end opens all gates."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        """Let all handlers pass, now and later."""
        self._event.set()

    def wait(self) -> None:
        """Wait until the gate is opened."""
        if not self._event.wait(PATIENCE_SECONDS):
            raise AssertionError("nobody opened the gate")

    @property
    def is_open(self) -> bool:
        """Whether the gate was opened."""
        return self._event.is_set()


class Reader:
    """Reads delimited pieces off a socket and keeps what came after them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def until(self, mark: bytes) -> bytes:
        """Bytes up to and with `mark`."""
        while mark not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def exactly(self, count: int) -> bytes:
        """Just `count` bytes."""
        while len(self._buffer) < count:
            self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def rest(self) -> bytes:
        """Everything until the client closes its side, a reset included."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while True:
                self._more()
        taken, self._buffer = self._buffer, b""
        return taken

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise PeerGone("the client closed the connection")
        self._buffer += data


def read_request(source: Reader | socket.socket, *, connection: int = 0) -> SeenRequest:
    """Read one whole request, its body by Content-Length or in chunks.

    Give the same `Reader` again when several requests are read from one connection.

    Raises:
        PeerGone: The client closed instead of sending a request.
    """
    reader = source if isinstance(source, Reader) else Reader(source)
    seen = read_head(reader, connection=connection)
    if "chunked" in (seen.header("transfer-encoding") or ""):
        body = b"".join(read_chunks(reader))
    else:
        body = reader.exactly(int(seen.header("content-length") or 0))
    return SeenRequest(
        seen.method, seen.target, seen.version, seen.headers, body, seen.head, connection
    )


def read_head(reader: Reader, *, connection: int = 0) -> SeenRequest:
    """Read a request's head and leave its body on the connection."""
    head = reader.until(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, version = first.split(" ", 2)
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name, value.strip(" \t")))
    return SeenRequest(method, target, version, headers, b"", head, connection)


def read_chunks(reader: Reader) -> list[bytes]:
    """The pieces of a chunked body, one item per chunk as it was sent."""
    pieces = []
    while size := int(reader.until(b"\r\n").split(b";")[0], 16):
        pieces.append(reader.exactly(size))
        assert reader.exactly(2) == b"\r\n"
    while reader.until(b"\r\n") != b"\r\n":
        pass
    return pieces


Fields = Iterable[tuple[str, str]] | dict[str, str]


def respond(
    body: bytes = b"",
    headers: Fields = (),
    *,
    status: int = 200,
    reason: str = "OK",
    version: str = "HTTP/1.1",
    length: int | None = -1,
) -> bytes:
    """The bytes of a response.

    Args:
        body: Sent as it is.
        headers: In this order, before Content-Length.
        status: The status code.
        reason: The reason phrase.
        version: The protocol of the status line.
        length: What Content-Length says; -1 is the truth, None leaves the header out.
    """
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    if length is not None:
        fields.append(("Content-Length", str(len(body) if length == -1 else length)))
    lines = [f"{version} {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(pieces: Iterable[bytes], headers: Fields = (), *, end: bool = True) -> bytes:
    """The bytes of a response in chunks; with `end=False` the last chunk is missing."""
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    head = respond(b"", [*fields, ("Transfer-Encoding", "chunked")], length=None)
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head + body + (b"0\r\n\r\n" if end else b"")


@dataclass
class Peer:
    """One accepted connection, in a handler's hands."""

    sock: socket.socket
    number: int
    server: ScriptedServer
    requests: list[SeenRequest] = field(default_factory=list)
    is_closed: bool = False
    #: What the client's TLS hello asked for; None without TLS or without SNI.
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Give the connection the one reader all its requests are read with."""
        self.reader = Reader(self.sock)

    def read_request(self) -> SeenRequest:
        """Read the next request and record it."""
        return self.record(read_request(self.reader, connection=self.number))

    def read_head(self) -> SeenRequest:
        """Read and record the next request's head; its body stays unread."""
        return self.record(read_head(self.reader, connection=self.number))

    def record(self, seen: SeenRequest) -> SeenRequest:
        """Note a request as seen by the server."""
        self.requests.append(seen)
        self.server._record(seen)
        return seen

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.sock.sendall(data)

    def wait_closed(self) -> bytes:
        """Wait until the client closes; returns what it sent before that."""
        return self.reader.rest()

    def close(self, *, notify: bool = True) -> None:
        """Close with FIN; over TLS a close_notify goes first unless `notify` is False."""
        if notify and isinstance(self.sock, ssl.SSLSocket):
            # Without blocking: unwrap() would otherwise wait for the client's close_notify.
            self.sock.settimeout(0)
            with contextlib.suppress(OSError, ValueError):
                self.sock.unwrap()
        self._end()

    def reset(self) -> None:
        """Close with RST, as a server that died does."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self._ended()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()
        self._ended()

    def _ended(self) -> None:
        self.is_closed = True
        self.server._changed()


Handler = Callable[[Peer], None]


def answering(*responses: bytes | Callable[[SeenRequest], bytes]) -> Handler:
    """A handler that sends the next response to each request, the last one forever."""

    def handle(peer: Peer) -> None:
        turn = 0
        while True:
            seen = peer.read_request()
            response = responses[min(turn, len(responses) - 1)]
            peer.send(response if isinstance(response, bytes) else response(seen))
            turn += 1

    return handle


def once(response: bytes, *, notify: bool = True) -> Handler:
    """A handler that responds to one request and closes."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(response)
        peer.close(notify=notify)

    return handle


class ScriptedServer:
    """Runs handlers on a loopback port until the `with` block ends.

    Args:
        handlers: One handler for every connection, or a sequence: the n-th connection gets the n-th
            handler, and one beyond the last is closed at once and counted in `unexpected`.
        tls: A server-side context; None speaks plainly.
        host: The loopback address to listen on.
    """

    def __init__(
        self,
        handlers: Handler | Sequence[Handler],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._handlers = handlers
        self._tls = tls
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._gates: list[Gate] = []
        self._is_ending = False
        self._version = 0
        self._connections: list[Peer] = []
        self._knocks: dict[int, threading.Event] = {}
        self._acceptor: threading.Thread | None = None
        self.requests: list[SeenRequest] = []
        self.errors: list[BaseException] = []
        self.tls_failures: list[Exception] = []
        self.unexpected = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self.host = host
        self.port: int = self._listener.getsockname()[1]

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The URL of a path here; `host` spells the host another way, `localhost` for example."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self._tls else 'http'}://{name}:{self.port}{path}"

    def gate(self) -> Gate:
        """A new gate, which the end of the server opens too."""
        gate = Gate()
        self._gates.append(gate)
        if self._is_ending:  # which has opened those it saw, and perhaps not this one
            gate.open()
        return gate

    @property
    def connections(self) -> list[Peer]:
        """Every connection that was made before this is asked, in the order of their making."""
        self._accept_all()
        return self._connections

    @property
    def open_count(self) -> int:
        """Connections whose handler has not ended."""
        return sum(not peer.is_closed for peer in self.connections)

    def _accept_all(self) -> None:
        """Wait until all those are accepted whose `connect` has returned: it does so before.

        Connections are accepted in the order in which they are made, so one more is made, and
        everything before it has been seen when it is.
        """
        acceptor = self._acceptor
        if acceptor is None or self._is_ending or threading.current_thread() in self._threads:
            return
        seen = threading.Event()
        with socket.socket(self._listener.family) as knock:
            knock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            knock.bind((self.host, 0))
            number = knock.getsockname()[1]
            self._knocks[number] = seen
            try:
                knock.connect((self.host, self.port))
            except OSError:  # the listener is closed
                del self._knocks[number]
                return
            while not seen.wait(0.05) and acceptor.is_alive():
                pass

    def wait_for(self, happened: Callable[[], bool], what: str = "the condition") -> None:
        """Wait until a recorded fact is so, looking again at each change, and now and then.

        Raises:
            AssertionError: It did not become so within `PATIENCE_SECONDS`.
        """
        if current_runtime() is not None:  # the loop has to run meanwhile
            wait_until(happened, f"{what} at {self.url()}", PATIENCE_SECONDS)
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        version = self._version
        while not happened():  # without the lock: it may wait for those who change something
            assert time.monotonic() < deadline, f"{what} did not come about at {self.url()}"
            with self._change:
                if self._version == version:
                    self._change.wait(LOOK_SECONDS)
                version = self._version

    def wait_all_closed(self) -> None:
        """Wait until the handler of every accepted connection has ended."""
        self.wait_for(lambda: self.open_count == 0, "the end of all connections")

    def wait_requests(self, count: int) -> None:
        """Wait until `count` requests have been read."""
        self.wait_for(lambda: len(self.requests) >= count, f"request number {count}")

    def __enter__(self) -> ScriptedServer:
        """Start to accept."""
        self._acceptor = self._start(self._accept, "accept")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End everything, and raise what went wrong in a handler unless the block failed itself."""
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """Stop accepting, end every connection, join every thread."""
        self._is_ending = True
        self.refuse()
        for gate in self._gates:
            gate.open()
        for peer in list(self._connections):
            with contextlib.suppress(OSError):
                # Wakes a handler blocked in recv, which close() from another thread does not.
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), f"{thread.name} did not end"

    def refuse(self) -> None:
        """Stop listening: new connections are refused, those there are go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self, target: Callable[..., None], name: str, *args: object) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=args, name=f"scripted-{self.port}-{name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            if (seen := self._knocks.pop(address[1], None)) is not None:
                seen.set()
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(PATIENCE_SECONDS)
            peer = Peer(sock, len(self._connections), self)
            self._connections.append(peer)
            self._changed()
            self._start(self._run, str(peer.number), peer)

    def _run(self, peer: Peer) -> None:
        try:
            if self._tls is None or self._handshake(peer):
                self._handler_for(peer)(peer)
        except OSError:
            pass  # the client went away, which a script need not foresee
        except BaseException as error:
            if not self._is_ending:
                self.errors.append(error)
        finally:
            if not peer.is_closed:
                peer._end()

    def _handler_for(self, peer: Peer) -> Handler:
        if callable(self._handlers):
            return self._handlers
        if peer.number < len(self._handlers):
            return self._handlers[peer.number]
        self.unexpected += 1
        return lambda extra: extra.close()

    def _handshake(self, peer: Peer) -> bool:
        assert self._tls is not None
        try:
            peer.sock = self._tls.wrap_socket(peer.sock, server_side=True)
        except (OSError, ValueError) as error:
            self.tls_failures.append(error)
            return False
        peer.reader = Reader(peer.sock)
        return True

    def _record(self, seen: SeenRequest) -> None:
        self.requests.append(seen)
        self._changed()

    def _changed(self) -> None:
        with self._change:
            self._version += 1
            self._change.notify_all()
