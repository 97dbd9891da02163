"""Other ways to a server than a name and a port: Unix sockets, addresses, resolvers, options."""

from __future__ import annotations

import contextlib
import http.server
import pickle
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import pooledhttp
from pooledhttp import PoolConfig, Session, Timeout
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.exceptions import InvalidSchema, InvalidURL
from pooledhttp.network import Address, KeepAlive, SocketOptions, StaticResolver
from pooledhttp.transport import TransportManager
from tests.support.scripted import ScriptedServer, answering, respond
from tests.wire.tools import prompt

# ---- Unix sockets


class _Application(http.server.BaseHTTPRequestHandler):
    """Responds with the target of the request, on a connection that is kept alive."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path.startswith("/to"):
            self.send_response(302)
            self.send_header("Location", self.headers["X-To"])
            body = b""
        else:
            self.send_response(200)
            body = f"{self.command} {self.path} {self.headers['Host']}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    connections = 0

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


@contextlib.contextmanager
def _serving(path: Path) -> Iterator[_UnixServer]:
    with _UnixServer(str(path), _Application) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[_UnixServer]:
    """A server on a Unix socket whose path has capital letters and a space in it."""
    with _serving(tmp_path / "App 1.sock") as server:
        yield server


def _url(server: _UnixServer, path: str = "/") -> str:
    return f"http+unix://{quote(str(server.server_address), safe='')}{path}"


def test_a_unix_socket_is_reached_and_its_connection_kept(
    session: Session, app: _UnixServer
) -> None:
    """Nothing has to be mounted; the connection is pooled under the socket's own origin."""
    for _ in range(3):
        answer = session.get(_url(app, "/a/b"), params={"c": "d"}, timeout=5)
        assert answer.text == "GET /a/b?c=d localhost"
        assert session.post(_url(app, "/p"), timeout=5).text == "POST /p localhost"
    assert app.connections == 1
    (origin,) = session.pool.stats().origins
    assert origin == _url(app).rstrip("/")
    assert session.pool.warm(_url(app), 2) == 2
    assert session.pool.evict(_url(app)) == 2


@pytest.mark.parametrize("prefix", ["http+unix://", "http+"])
def test_an_adapter_may_be_mounted_for_them(app: _UnixServer, prefix: str) -> None:
    """Our adapter works there with its own settings; a foreign one is used instead of ours."""
    with Session() as session:
        session.mount(prefix, HTTPAdapter(pool=PoolConfig(max_per_host=1)))
        assert session.get(_url(app), timeout=5).text == "GET / localhost"
        assert session.pool.stats().total.created == 0

        class Theirs(BaseAdapter):
            def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                raise RuntimeError("theirs")

            def close(self) -> None:
                pass

        session.mount(prefix, Theirs())
        with pytest.raises(RuntimeError, match="theirs"):
            session.get(_url(app))


def test_without_our_adapter_for_http_there_is_none_for_sockets(app: _UnixServer) -> None:
    """A removed or replaced adapter for http:// is respected."""
    with Session() as session:
        del session.adapters["http://"]
        with pytest.raises(InvalidSchema):
            session.get(_url(app))


def test_sockets_are_told_apart_by_case(session: Session, tmp_path: Path) -> None:
    """`a.sock` and `A.sock` are two servers."""
    with _serving(tmp_path / "a.sock") as one, _serving(tmp_path / "A.sock") as two:
        for server in (one, two, one, two):
            assert session.get(_url(server), timeout=5).ok
        assert (one.connections, two.connections) == (1, 1)
        assert len(session.pool.stats().origins) == 2


def test_no_proxy_is_asked_for_a_unix_socket(
    monkeypatch: pytest.MonkeyPatch, session: Session, app: _UnixServer
) -> None:
    """A Unix socket is never behind a proxy, even if the environment names one."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    session.proxies = {"all": "http://127.0.0.1:1", "http+unix": "http://127.0.0.1:1"}
    assert session.get(_url(app), timeout=5).ok


def test_redirects_on_a_unix_socket(session: Session, app: _UnixServer) -> None:
    """A server may send its client elsewhere on the same socket, relatively and in full."""
    for where in ("/there", _url(app, "/there"), "there"):
        answer = session.get(_url(app, "/to"), headers={"X-To": where}, timeout=5)
        assert answer.text == "GET /there localhost"
        assert answer.url == _url(app, "/there")


def test_nobody_is_sent_to_a_unix_socket_by_a_server(
    session: Session, app: _UnixServer, tmp_path: Path
) -> None:
    """Neither from the network nor from another socket: that would be a way into the machine."""
    with ScriptedServer(
        answering(respond(b"", {"Location": _url(app, "/secret")}, status=307))
    ) as server:
        for send in (session.get, session.post):
            with pytest.raises(InvalidURL, match="Unix socket"):
                send(server.url(), timeout=5)
        session.close()
    with _serving(tmp_path / "other.sock") as other:
        with pytest.raises(InvalidURL, match="Unix socket"):
            session.get(_url(other, "/to"), headers={"X-To": _url(app)}, timeout=5)
    assert app.connections == 0


def test_a_unix_socket_that_is_not_there(session: Session, tmp_path: Path) -> None:
    """The error names the path."""
    url = f"http+unix://{quote(str(tmp_path / 'none.sock'), safe='')}/"
    with pytest.raises(pooledhttp.ConnectionError, match=r"none\.sock"):
        session.get(url, timeout=5)


def test_a_redirect_from_a_socket_drops_credentials(session: Session, app: _UnixServer) -> None:
    """Credentials for the socket are not sent over the network."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        headers = {"X-To": server.url(), "Authorization": "Bearer secret"}
        assert session.get(_url(app, "/to"), headers=headers, timeout=5).content == b"x"
        assert server.requests[0].header("authorization") is None
        session.close()


# ---- addresses


def test_ipv6_literals(session: Session) -> None:
    """An address in brackets is dialled and named in Host as it should be."""
    with ScriptedServer(answering(respond(b"x")), host="::1") as server:
        assert session.get(server.url(), timeout=5).content == b"x"
        assert server.requests[0].header("host") == f"[::1]:{server.port}"
        session.close()


@pytest.mark.parametrize("spelled", ["%25lo", "%lo", "%251"])
def test_zone_ids(session: Session, spelled: str) -> None:
    """A zone id is for this machine: it is used to connect, and not sent to the server."""
    index = socket.if_nametoindex("lo") if hasattr(socket, "if_nametoindex") else 1
    with ScriptedServer(answering(respond(b"x")), host="::1") as server:
        host = f"[::1{spelled.replace('1', str(index)) if '251' in spelled else spelled}]"
        assert session.get(server.url(host=host), timeout=5).content == b"x"
        assert server.requests[0].header("host") == f"[::1]:{server.port}"
        session.close()


def test_no_proxy_with_networks(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    """NO_PROXY names networks of both families; what is not in them meets the dead proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with ScriptedServer(answering(respond(b"x"))) as four:
        with ScriptedServer(answering(respond(b"x")), host="::1") as six:
            monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8, ::/64")
            for server in (four, six):
                assert session.get(server.url(), timeout=5).content == b"x"
            monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fd00::/8")
            for server in (four, six):
                with pytest.raises(pooledhttp.exceptions.ProxyError):
                    session.get(server.url(), timeout=5)
            session.close()


# ---- resolvers


class _Counting:
    """A resolver that knows one name."""

    def __init__(self, *addresses: Address) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def resolve(self, host: str, port: int, deadline: object, runtime: object) -> Sequence[Address]:
        self.asked.append(host)
        return self.addresses


def test_an_adapter_with_a_resolver(session: Session) -> None:
    """Names are looked up by it, and its connections serve no other adapter of the session."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        resolver = StaticResolver({"api.internal": ["127.0.0.1"]})
        session.mount("http://api.internal", HTTPAdapter(resolver=resolver))
        for _ in range(2):
            assert session.get(server.url(host="api.internal"), timeout=5).content == b"x"
        assert server.requests[0].header("host") == f"api.internal:{server.port}"
        assert len(server.connections) == 1
        session.mount("http://api.internal", HTTPAdapter(resolver=StaticResolver({})))
        with pytest.raises(pooledhttp.ConnectionError, match=r"resolve 'api\.internal'"):
            session.get(server.url(host="api.internal"), timeout=5)
        session.close()


def test_a_resolver_for_the_whole_session() -> None:
    """The pool's own resolver serves every adapter that brings none."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        resolver = _Counting(Address(socket.AF_INET, ("127.0.0.1", server.port)))
        with Session(pool=TransportManager(PoolConfig(max_per_host=2), resolver=resolver)) as own:
            for host in ("one.example", "two.example", "one.example"):
                assert own.get(server.url(host=host), timeout=5).content == b"x"
            assert resolver.asked == ["one.example", "two.example"]
            assert own.pool.config.max_per_host == 2


def test_a_dot_at_the_end_of_a_name_is_for_the_lookup_alone(session: Session) -> None:
    """The name is looked up with the dot, as given; `Host` is sent without it, as requests does."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        resolver = _Counting(Address(socket.AF_INET, ("127.0.0.1", server.port)))
        session.mount("http://", HTTPAdapter(resolver=resolver))
        assert session.get(server.url(host="a.example."), timeout=5).content == b"x"
        assert resolver.asked == ["a.example."]
        assert server.requests[0].header("host") == f"a.example:{server.port}"
        session.close()


def test_a_proxy_is_looked_up_by_the_resolver_too(session: Session) -> None:
    """The name of a proxy is a name like others."""
    with ScriptedServer(answering(respond(b"x"))) as proxy:
        session.mount("http://", HTTPAdapter(resolver=StaticResolver({"gate": ["127.0.0.1"]})))
        table = {"http": f"http://gate:{proxy.port}"}
        assert session.get("http://away.example/", proxies=table, timeout=5).content == b"x"
        session.close()


def test_happy_eyeballs(session: Session) -> None:
    """A first address that does not reply costs a quarter of a second, not the timeout."""
    with ScriptedServer(answering(respond(b"x"))) as server, _black_hole() as hole:
        resolver = _Counting(hole, Address(socket.AF_INET, ("127.0.0.1", server.port)))
        session.mount("http://", HTTPAdapter(resolver=resolver))
        with prompt(0.6):
            answer = session.get(server.url(host="both.example"), timeout=Timeout(total=5))
        assert answer.content == b"x"
        session.close()


def test_all_addresses_share_the_time(session: pooledhttp.Session) -> None:
    """Three addresses that do not reply take no longer than one."""
    with contextlib.ExitStack() as holes:
        addresses = [holes.enter_context(_black_hole()) for _ in range(3)]
        session.mount("http://", HTTPAdapter(resolver=_Counting(*addresses)))
        for timeout in (0.25, Timeout(total=0.25), Timeout(connect=0.25)):
            with prompt(0.6), pytest.raises(pooledhttp.ConnectTimeout, match="3 addresses"):
                session.get("http://nowhere.example/", timeout=timeout)


def test_a_unix_socket_under_a_patched_urllib3(
    monkeypatch: pytest.MonkeyPatch, session: Session, app: _UnixServer
) -> None:
    """Recorders and mocks put themselves into urllib3, which has no Unix sockets."""
    monkeypatch.setattr("urllib3.connectionpool.HTTPConnectionPool.urlopen", None)
    assert session.get(_url(app), timeout=5).ok


@contextlib.contextmanager
def _black_hole() -> Iterator[Address]:
    """An address that does not reply to a SYN: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as crowd:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield Address(socket.AF_INET, listener.getsockname())


# ---- sockets


def _option(answer: pooledhttp.Response, level: int, name: int) -> int:
    sock: socket.socket = answer.raw._fp.fp.raw._sock
    return sock.getsockopt(level, name)


def test_socket_options_and_keep_alive(session: Session) -> None:
    """What an adapter asks for is set on its sockets; Nagle stays off unless options say."""
    options = SocketOptions(
        options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)],
        keepalive=KeepAlive(idle_seconds=30, interval_seconds=5, probes=3),
    )
    session.mount("http://", HTTPAdapter(socket_options=options))
    big = respond(b"x" * 1_000_000)
    with ScriptedServer(answering(big)) as server:
        with session.get(server.url(), stream=True, timeout=5) as answer:
            assert _option(answer, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert _option(answer, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
            assert _option(answer, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            assert _option(answer, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        with Session() as plain, plain.get(server.url(), stream=True, timeout=5) as answer:
            assert _option(answer, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
            assert _option(answer, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        manager = TransportManager(socket_options=SocketOptions(keepalive=KeepAlive()))
        with Session(pool=manager) as whole, whole.get(server.url(), stream=True) as answer:
            assert _option(answer, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_the_source_address(session: Session) -> None:
    """Connections come from the address that was asked for, in our words and in urllib3's."""

    class Bound(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, source_address=("127.0.0.3", 0), **kwargs)

    with ScriptedServer(answering(respond(b"x"))) as server:
        options = SocketOptions(source_address=("127.0.0.2", 0))
        for adapter in (HTTPAdapter(socket_options=options), Bound()):
            session.mount("http://", adapter)
            assert session.get(server.url(), timeout=5).content == b"x"
        peers = [peer.sock.getpeername()[0] for peer in server.connections]
        assert peers == ["127.0.0.2", "127.0.0.3"]
        session.close()


def test_a_source_address_of_another_machine(session: Session) -> None:
    """It cannot be bound to: an error that names the server, not a hang."""
    options = SocketOptions(source_address=("203.0.113.7", 0))
    session.mount("http://", HTTPAdapter(socket_options=options))
    with prompt(), pytest.raises(pooledhttp.ConnectionError, match=r"127\.0\.0\.1"):
        session.get("http://127.0.0.1:9/", timeout=5)


def test_an_adapter_is_pickled_with_its_network() -> None:
    """Resolver and socket options go along: without them connections would lead elsewhere."""
    resolver = StaticResolver({"api.internal": ["127.0.0.1"]})
    options = SocketOptions(source_address=("127.0.0.2", 0))
    twin = pickle.loads(pickle.dumps(HTTPAdapter(resolver=resolver, socket_options=options)))
    with ScriptedServer(answering(respond(b"x"))) as server, Session() as session:
        session.mount("http://", twin)
        assert session.get(server.url(host="api.internal"), timeout=5).content == b"x"
        assert server.connections[0].sock.getpeername()[0] == "127.0.0.2"
