"""Servers and shorthands for the tests of this room."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pooledhttp.network import Connector
from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Deadline
from tests.support.relay import relay
from tests.support.scripted import Peer, Reader


@pytest.fixture
def runtime(request: pytest.FixtureRequest, runtime_kind: str) -> Runtime:
    """The runtime that this test waits on."""
    return getattr(request.node, "evented_runtime", None) or default_runtime()


@pytest.fixture
def soon(runtime: Runtime) -> Callable[..., Deadline]:
    """Makes a deadline so many seconds from now; 10 where it is not to be met."""
    return lambda seconds=10.0: Deadline.after(seconds, runtime.now)


@pytest.fixture
def connector(runtime: Runtime) -> Connector:
    """A connector with the defaults."""
    return Connector(runtime)


@pytest.fixture
def echo() -> Callable[[Peer], None]:
    """A handler that sends back what comes, until the client closes."""

    def handle(peer: Peer) -> None:
        while data := peer.sock.recv(65536):
            peer.sock.sendall(data)

    return handle


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose queue is full: a connection to it is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port that is taken and on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _log_in(
    methods: bytes, user: tuple[str, str] | None, reader: Reader, say: Callable[[bytes], None]
) -> str | None:
    """Agree on a method (RFC 1928) and check the password (RFC 1929): the user, None if refused."""
    if user is None:
        say(b"\x05\x00")
        return ""
    if 2 not in methods:
        say(b"\x05\xff")
        return None
    say(b"\x05\x02")
    reader.exactly(1)
    name = reader.exactly(reader.exactly(1)[0]).decode()
    password = reader.exactly(reader.exactly(1)[0]).decode()
    is_right = (name, password) == user
    say(b"\x01" + (b"\0" if is_right else b"\1"))
    return name if is_right else None


@pytest.fixture
def socks_server() -> Callable[..., Callable[[Peer], None]]:
    """Makes a handler that is a SOCKS proxy of versions 4, 4a and 5.

    What it was asked for is appended to the list it is given, the user included. `resolve` maps
    names to addresses; `refuse` makes it say no; `drip` sends every reply byte by byte.
    """

    def make(
        asked: list[tuple[str, str, int]],
        *,
        user: tuple[str, str] | None = None,
        refuse: bool = False,
        drip: bool = False,
    ) -> Callable[[Peer], None]:
        def say(peer: Peer, data: bytes) -> None:
            for piece in [data[i : i + 1] for i in range(len(data))] if drip else [data]:
                peer.sock.sendall(piece)

        def four(peer: Peer, reader: Reader) -> tuple[str, int]:
            port = int.from_bytes(reader.exactly(3)[1:], "big")
            raw = reader.exactly(4)
            who = reader.until(b"\0")[:-1].decode()
            host = socket.inet_ntoa(raw)
            if raw[:3] == b"\0\0\0":
                host = reader.until(b"\0")[:-1].decode()
            asked.append((who, host, port))
            say(peer, b"\0" + (b"\x5b" if refuse else b"\x5a") + b"\0" * 6)
            return host, port

        def five(peer: Peer, reader: Reader) -> tuple[str, int] | None:
            methods = reader.exactly(reader.exactly(1)[0])
            who = _log_in(methods, user, reader, partial(say, peer))
            if who is None:
                return None
            kind = reader.exactly(4)[3]
            if kind == 3:
                host = reader.exactly(reader.exactly(1)[0]).decode()
            else:
                family = socket.AF_INET if kind == 1 else socket.AF_INET6
                host = socket.inet_ntop(family, reader.exactly(4 if kind == 1 else 16))
            port = int.from_bytes(reader.exactly(2), "big")
            asked.append((who, host, port))
            # The bound address as a name: replies differ in length.
            say(peer, b"\x05" + (b"\x05" if refuse else b"\0") + b"\0\x03\x04name\0\0")
            return host, port

        def handle(peer: Peer) -> None:
            reader = Reader(peer.sock)
            version = reader.exactly(1)
            target = four(peer, reader) if version == b"\x04" else five(peer, reader)
            if target is not None and not refuse:
                with socket.create_connection(("127.0.0.1", target[1])) as onward:
                    relay(peer.sock, onward)

        return handle

    return make


@pytest.fixture
def connect_proxy() -> Callable[[Peer], None]:
    """A handler that is an HTTP proxy which answers CONNECT, whatever the name, on loopback."""

    def handle(peer: Peer) -> None:
        seen = peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        port = int(seen.target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            relay(peer.sock, onward)

    return handle
