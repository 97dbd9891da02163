"""Dialling while other programs have replaced parts of `socket` and urllib3."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import connection as urllib3_connection

from pooledhttp.exceptions import DialTimeout
from pooledhttp.network import (
    Address,
    Connector,
    KeepAlive,
    Proxy,
    Route,
    SocketOptions,
    StaticResolver,
    is_socket_mocked,
)
from pooledhttp.network.happy_eyeballs import race
from pooledhttp.network.overrides import (
    is_connect_replaced,
    is_getaddrinfo_replaced,
    replaced_create_connection,
)
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.scripted import Handler, ScriptedServer

Soon = Callable[..., Deadline]


class Blocked(RuntimeError):
    """What a guard raises."""


def block(*_: Any, **__: Any) -> Any:
    """Stand in for anything that connects."""
    raise Blocked


@pytest.fixture
def server(echo: Handler) -> Iterator[ScriptedServer]:
    """Sends back what comes."""
    with ScriptedServer(echo) as running:
        yield running


def test_nothing_is_replaced_by_itself() -> None:
    """Neither the originals nor their subclasses count as replaced."""

    class Named(socket.socket):
        pass

    assert not is_socket_mocked()
    assert not is_getaddrinfo_replaced()
    assert replaced_create_connection() is None
    with Named() as sock:
        assert not is_connect_replaced(sock)


def test_a_wrapper_that_looks_like_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """`functools.wraps` copies names, which so prove nothing."""
    for module, name, is_replaced in (
        (urllib3_connection, "create_connection", replaced_create_connection),
        (socket, "getaddrinfo", is_getaddrinfo_replaced),
    ):
        original = getattr(module, name)
        wrapper = functools.wraps(original)(block)
        monkeypatch.setattr(module, name, wrapper)
        assert is_replaced()
        monkeypatch.setattr(module, name, original)
        assert not is_replaced()


@pytest.mark.parametrize("library", ["gevent._socket3", "eventlet.greenio.base"])
def test_sockets_of_greenlet_libraries_count_as_the_originals(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """They block only the greenlet, and are dialled as ever."""

    class Cooperative(socket.socket):
        def connect(self, address: Any) -> None:
            block()

    Cooperative.__module__ = Cooperative.connect.__module__ = library
    monkeypatch.setattr(socket, "socket", Cooperative)
    assert not is_socket_mocked()
    with Cooperative() as sock:
        assert not is_connect_replaced(sock)


@pytest.mark.parametrize("replaced", ["connect", "create_connection"])
def test_a_guard_leaves_no_socket_open(
    connector: Connector,
    soon: Soon,
    monkeypatch: pytest.MonkeyPatch,
    no_fd_leak: None,
    replaced: str,
) -> None:
    """What it raises passes unchanged, and the socket is closed."""
    owner = socket.socket if replaced == "connect" else urllib3_connection
    monkeypatch.setattr(owner, replaced, block)
    with pytest.raises(Blocked):
        connector.connect(Route("http", "127.0.0.1", 1), soon())
    with pytest.raises(Blocked):
        proxy = Proxy("socks5h", "127.0.0.1", 1)
        connector.connect(Route("http", "origin.test", 80, proxy=proxy), soon())


def test_a_guard_stops_unix_sockets(
    connector: Connector, soon: Soon, monkeypatch: pytest.MonkeyPatch, no_fd_leak: None
) -> None:
    """It is given the path."""
    asked = []

    def guard(_: socket.socket, address: Any) -> None:
        asked.append(address)
        raise Blocked

    monkeypatch.setattr(socket.socket, "connect", guard)
    with pytest.raises(Blocked):
        connector.connect(Route("http+unix", "/no/such/socket", 0), soon())
    assert asked == ["/no/such/socket"]


def test_a_unix_socket_is_connected_by_a_replaced_connect(
    connector: Connector, soon: Soon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What lets it through gets a connection that works."""
    original = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: original(sock, address))
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        stream = connector.connect(Route("http+unix", path, 0), soon())
        assert stream.sock.gettimeout() == 0.0
        stream.close()


def test_each_address_is_tried_by_a_replaced_connect(
    runtime: Runtime,
    soon: Soon,
    server: ScriptedServer,
    refused_port: int,
    monkeypatch: pytest.MonkeyPatch,
    no_fd_leak: None,
) -> None:
    """One after the other, as urllib3 does; what connects is non-blocking again."""
    original, asked = socket.socket.connect, []

    def watch(sock: socket.socket, address: Any) -> None:
        asked.append(address[1])
        original(sock, address)

    monkeypatch.setattr(socket.socket, "connect", watch)
    ports = (refused_port, server.port)
    addresses = [Address(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
    sock = race(addresses, SocketOptions(), runtime, soon())
    assert asked == [*ports]
    assert sock.gettimeout() == 0.0
    sock.close()


@pytest.mark.parametrize("replaced", ["connect", "create_connection"])
def test_a_replacement_is_bounded_by_the_deadline(
    connector: Connector,
    soon: Soon,
    black_hole: int,
    monkeypatch: pytest.MonkeyPatch,
    no_fd_leak: None,
    replaced: str,
) -> None:
    """A port that never answers costs the connect timeout, and the error is a timeout."""
    owner: Any = socket.socket if replaced == "connect" else urllib3_connection
    original = getattr(owner, replaced)
    monkeypatch.setattr(owner, replaced, lambda *args, **kwargs: original(*args, **kwargs))
    with pytest.raises(DialTimeout):
        connector.connect(Route("http", "127.0.0.1", black_hole), soon(0.2))
    with pytest.raises(DialTimeout):
        connector.connect(Route("http", "127.0.0.1", black_hole), soon(0.0))


def test_socket_settings_reach_a_replaced_create_connection(
    connector: Connector, soon: Soon, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options and source address are passed; keep-alive, which urllib3 lacks, is set after."""
    original, given = urllib3_connection.create_connection, []

    def watch(address: Any, timeout: Any, **kwargs: Any) -> socket.socket:
        given.append(kwargs)
        return original(address, timeout, **kwargs)

    monkeypatch.setattr(urllib3_connection, "create_connection", watch)
    buffer = (socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    options = SocketOptions((buffer,), ("127.0.0.1", 0), KeepAlive(7, 8, 9))
    stream = connector.connect(Route("http", "127.0.0.1", server.port, options=options), soon())
    assert given == [{"socket_options": [buffer], "source_address": ("127.0.0.1", 0)}]
    assert stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    stream.close()


def test_an_own_resolver_is_not_asked_for_addresses(
    runtime: Runtime, soon: Soon, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replaced `getaddrinfo` concerns what would call it, the system's resolver alone."""
    monkeypatch.setattr(socket, "getaddrinfo", block)
    connector = Connector(runtime, resolver=StaticResolver({}))
    connector.connect(Route("http", "127.0.0.1", server.port), soon()).close()


def test_threads_see_a_mocked_class_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is looked at anew each time."""
    seen: list[bool] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(is_socket_mocked()))
        thread.start()
        thread.join()

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", object)
        seen.append(is_socket_mocked())
        look()
    look()
    assert seen == [True, True, False]
