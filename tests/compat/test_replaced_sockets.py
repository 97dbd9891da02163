"""Programs replace parts of `socket` and urllib3: to forbid the network, to pin addresses, to mock.

Each replacement has, in both packages, the same effect.
"""

from __future__ import annotations

import io
import socket
import textwrap
from types import ModuleType
from typing import Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.util import connection as urllib3_connection

from tests.support.certificates import Authority
from tests.support.commands import run_python
from tests.support.scripted import Peer, ScriptedServer, answering, respond

TIMEOUT = 20


class Blocked(RuntimeError):
    """What a guard raises; no `OSError`, so nothing may take it for a failed connection."""


# ------------------------------------------------------------- socket.socket.connect


def block(_: socket.socket, address: Any) -> None:
    """Stand in for `connect` and forbid it."""
    raise Blocked(address)


#: The socket that `requests` had made when the guard raised is left to the collector.
leaves_a_socket = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@leaves_a_socket
def test_a_guard_in_place_of_connect_stops_the_request(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raises reaches the caller as it is, and no connection is made."""
    with monkeypatch.context() as patch, http.Session() as session:
        patch.setattr(socket.socket, "connect", block)
        with pytest.raises(Blocked):
            session.get(server.url(), timeout=TIMEOUT)
        patch.undo()
        assert not server.connections
        assert session.get(server.url(), timeout=TIMEOUT).text == "ok"


def test_a_guard_that_raises_an_oserror_makes_a_connection_error(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual translation holds, with the guard's text in it."""

    def refuse(_: socket.socket, address: Any) -> None:
        raise OSError(f"no network in tests: {address[1]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(http.ConnectionError, match=f"no network in tests: {server.port}"):
        http.get(server.url(), timeout=TIMEOUT)


@leaves_a_socket
def test_a_guard_may_let_hosts_through(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given the address, and what it calls of the original connects."""
    original, asked = socket.socket.connect, []

    def only_local(sock: socket.socket, address: Any) -> None:
        asked.append(address)
        if address[0] != "127.0.0.1":
            raise Blocked(address)
        original(sock, address)

    monkeypatch.setattr(socket.socket, "connect", only_local)
    assert http.get(server.url(), timeout=TIMEOUT).text == "ok"
    assert asked == [("127.0.0.1", server.port)]
    with pytest.raises(Blocked):
        http.get("http://192.0.2.1/", timeout=TIMEOUT)


def test_a_guard_that_was_there_first_is_heeded(http: ModuleType, server: ScriptedServer) -> None:
    """A plugin replaces `connect` before the package is imported."""
    program = f"""
        import socket
        class Blocked(RuntimeError): pass
        def guard(self, address): raise Blocked(address)
        socket.socket.connect = guard
        import {http.__name__} as http
        try:
            http.get({server.url()!r}, timeout={TIMEOUT})
        except Blocked:
            print("blocked")
    """
    assert run_python("-c", textwrap.dedent(program)).stdout.strip() == "blocked"
    assert not server.connections


def test_connect_may_talk_to_the_peer_first(
    http: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class in place of `socket.socket`, as for SOCKS, may read and write before it returns."""

    def greet(peer: Peer) -> None:
        peer.send(b"hello")
        answering(respond(b"ok"))(peer)

    class Greeted(socket.socket):
        def connect(self, address: Any) -> None:
            super().connect(address)
            assert self.recv(5, socket.MSG_WAITALL) == b"hello"

    with ScriptedServer(greet) as server:
        monkeypatch.setattr(socket, "socket", Greeted)
        assert http.get(server.url(), timeout=TIMEOUT).text == "ok"


def test_the_connect_timeout_bounds_a_replaced_connect(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set on the socket, and what comes too late is a `ConnectTimeout`."""
    limits = []

    def silent(sock: socket.socket, _: Any) -> None:
        limits.append(sock.gettimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", silent)
    with pytest.raises(http.ConnectionError):
        http.get(server.url(), timeout=(7, TIMEOUT))
    assert 0 < limits[0] <= 7


# ----------------------------------------------------------------- create_connection


def test_create_connection_decides_where_to(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given name and port, and none is looked up before."""
    original, asked = urllib3_connection.create_connection, []

    def pinned(address: Any, *args: Any, **kwargs: Any) -> socket.socket:
        asked.append(address)
        return original(("127.0.0.1", server.port), *args, **kwargs)

    monkeypatch.setattr(urllib3_connection, "create_connection", pinned)
    with http.Session() as session:
        for _ in range(2):
            assert session.get("http://pinned.invalid/", timeout=TIMEOUT).text == "ok"
    assert asked == [("pinned.invalid", 80)]  # the second request took the first's connection


def test_create_connection_is_called_as_urllib3_calls_it(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replacement may have exactly the signature of the original."""
    original, limits = urllib3_connection.create_connection, []

    def spelled(
        address: Any, timeout: Any = 0, source_address: Any = 0, socket_options: Any = 0
    ) -> socket.socket:
        limits.append(timeout)
        assert source_address is None
        assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in socket_options
        return original(address, timeout, source_address, socket_options)

    monkeypatch.setattr(urllib3_connection, "create_connection", spelled)
    assert http.get(server.url(), timeout=(7, TIMEOUT)).text == "ok"
    assert http.get(server.url()).text == "ok"
    assert 6 < limits[0] <= 7
    assert limits[1] is None


def test_create_connection_serves_tls(
    http: ModuleType,
    secure: ScriptedServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name of the URL is verified, wherever the connection leads."""
    original = urllib3_connection.create_connection
    there = ("127.0.0.1", secure.port)
    monkeypatch.setattr(
        urllib3_connection, "create_connection", lambda _, *args, **kw: original(there, *args, **kw)
    )
    bundle = authority.bundle
    assert http.get("https://localhost:1/", verify=bundle, timeout=TIMEOUT).text == "ok"
    with pytest.raises(http.exceptions.SSLError):
        http.get("https://pinned.invalid/", verify=bundle, timeout=TIMEOUT)


def test_create_connection_is_asked_for_the_proxy(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is connected to is the proxy."""
    original, asked = urllib3_connection.create_connection, []

    def watch(address: Any, *args: Any, **kwargs: Any) -> socket.socket:
        asked.append(address)
        return original(address, *args, **kwargs)

    monkeypatch.setattr(urllib3_connection, "create_connection", watch)
    proxies = {"http": f"http://127.0.0.1:{server.port}"}
    assert http.get("http://origin.invalid/", proxies=proxies, timeout=TIMEOUT).text == "ok"
    assert asked == [("127.0.0.1", server.port)]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionRefusedError(111, "no entry"), "ConnectionError"),
        (socket.gaierror(-2, "no entry"), "ConnectionError"),
        (TimeoutError("no entry"), "ConnectTimeout"),
        (Blocked("no entry"), None),
    ],
    ids=["refused", "unknown-name", "timeout", "guard"],
)
def test_errors_of_create_connection(
    http: ModuleType, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: str | None
) -> None:
    """They are translated as those of the original; what is no `OSError` passes."""

    def fail(*_: Any, **__: Any) -> socket.socket:
        raise raised

    monkeypatch.setattr(urllib3_connection, "create_connection", fail)
    wanted = Blocked if expected is None else getattr(http.exceptions, expected)
    with pytest.raises(wanted):
        http.get("http://origin.invalid/", timeout=TIMEOUT)


def test_a_create_connection_that_was_there_first_is_heeded(
    http: ModuleType, server: ScriptedServer
) -> None:
    """It was replaced before the package was imported."""
    program = f"""
        from urllib3.util import connection
        original = connection.create_connection
        connection.create_connection = lambda _, *args, **kwargs: original(
            ("127.0.0.1", {server.port}), *args, **kwargs)
        import {http.__name__} as http
        print(http.get("http://pinned.invalid/", timeout={TIMEOUT}).text)
    """
    assert run_python("-c", textwrap.dedent(program)).stdout.strip() == "ok"


# -------------------------------------------------------------------- socket options


def option_of(response: Any, level: int, name: int) -> int:
    """What is set on the socket of a response whose body is unread."""
    duplicate = socket.socket(fileno=socket.dup(response.raw.fileno()))
    try:
        return duplicate.getsockopt(level, name)
    finally:
        duplicate.close()


def test_default_socket_options_altered_in_place(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections made afterwards have them, those that are kept stay as they are."""
    keep_alive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with http.Session() as session:
        with session.get(server.url(), stream=True, timeout=TIMEOUT) as response:
            assert option_of(response, *nodelay)
            assert not option_of(response, *keep_alive)
        defaults = HTTPConnection.default_socket_options
        before = list(defaults)
        defaults[:] = [(*keep_alive, 1)]
        try:
            with session.get(server.url(), stream=True, timeout=TIMEOUT) as response:
                assert option_of(response, *keep_alive)
                assert not option_of(response, *nodelay)
        finally:
            defaults[:] = before


# ----------------------------------------------------------------- a mocked `socket`


class FakeSocket:
    """A socket of no system, as mocks of the `socket` module make them."""

    sent: list[bytes] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(respond(b"mocked"))

    def setsockopt(self, *_: Any) -> None:
        pass

    settimeout = connect = setsockopt

    def shutdown(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_mocked_socket_class_is_used(http: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects have no descriptor: nothing can wait for them, and nothing has to."""
    monkeypatch.setattr(socket, "socket", FakeSocket)
    assert http.get("http://127.0.0.1:1/", timeout=TIMEOUT).text == "mocked"


def test_a_mocked_socket_class_is_used_though_a_connection_is_kept(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request gets out while the mock is there; afterwards the kept connection serves again."""
    import pooledhttp

    with pooledhttp.Session() as session:
        assert session.get(server.url(), timeout=TIMEOUT).text == "ok"
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", FakeSocket)
            assert session.get(server.url(), timeout=TIMEOUT).text == "mocked"
        assert session.get(server.url(), timeout=TIMEOUT).text == "ok"
    assert len(server.connections) == 1


def test_a_mock_object_in_place_of_the_class(
    http: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not be a class at all."""
    monkeypatch.setattr(socket, "socket", lambda *_: FakeSocket())
    assert http.get("http://127.0.0.1:1/", timeout=TIMEOUT).text == "mocked"


# ---------------------------------------------------------------------- getaddrinfo


def test_getaddrinfo_is_asked_for_addresses_too(
    http: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard in its place sees every host, also one that needs no lookup."""

    def block_lookup(host: str, *_: Any, **__: Any) -> Any:
        raise Blocked(host)

    monkeypatch.setattr(socket, "getaddrinfo", block_lookup)
    with pytest.raises(Blocked):
        http.get("http://127.0.0.1:1/", timeout=TIMEOUT)


def test_getaddrinfo_may_lead_an_address_elsewhere(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for names."""
    original = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *args: original("127.0.0.1", server.port, *args[1:])
    )
    assert http.get("http://192.0.2.1:9/", timeout=TIMEOUT).text == "ok"
