"""Programs replace methods of urllib3 and http.client, and rely on it that requests calls them."""

from __future__ import annotations

import http.client as http_client
import math
import ssl
from collections.abc import Callable
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import pytest
import urllib3.connection
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool

import pooledhttp
from tests.support.certificates import Authority
from tests.support.commands import run_python
from tests.support.scripted import Peer, ScriptedServer, answering, once, respond

TIMEOUT = 20

STEPS = [
    (HTTPConnection, "connect"),
    (HTTPConnection, "_new_conn"),
    (HTTPConnection, "request"),
    (HTTPConnection, "getresponse"),
    (HTTPConnection, "putheader"),
    (http_client.HTTPConnection, "send"),
    (http_client.HTTPConnection, "putheader"),
    (http_client.HTTPConnection, "endheaders"),
    (http_client.HTTPConnection, "_send_output"),
    (http_client, "parse_headers"),
    (HTTPConnectionPool, "urlopen"),
    (HTTPConnectionPool, "_make_request"),
    (HTTPConnectionPool, "_get_conn"),
    (HTTPResponse, "begin"),
    (HTTPResponse, "_read_status"),
]


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Replaces a method by one that notes on what it was called, and calls it."""

    def replace(owner: Any, name: str) -> list[object]:
        original = getattr(owner, name)
        called: list[object] = []

        def noting(self: object, *args: Any, **kwargs: Any) -> Any:
            called.append(self)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, noting)
        return called

    return replace


@pytest.mark.parametrize(
    ("owner", "name"), STEPS, ids=[f"{owner.__name__}-{name}" for owner, name in STEPS]
)
def test_a_replaced_method_is_called(
    http: Any, replace: Callable[..., list[object]], owner: Any, name: str
) -> None:
    """Also on a session that has sent requests before, and the connection is used again."""
    with ScriptedServer(answering(respond(b"ok"))) as server, http.Session() as session:
        session.get(server.url(), timeout=TIMEOUT)
        called = replace(owner, name)
        session.close()
        for _ in range(2):
            assert session.post(server.url(), data=b"x", timeout=TIMEOUT).content == b"ok"
        assert called
        if name != "urlopen":  # a test's: each request has its own connection
            assert len(server.connections) == 2
    called.clear()


def test_a_total_that_is_over_is_a_timeout(replace: Callable[..., list[object]]) -> None:
    """Urllib3's pools refuse a timeout of zero: it was their `ValueError`."""
    called = replace(HTTPConnectionPool, "urlopen")

    def silent(peer: Peer) -> None:
        peer.wait_closed()

    with ScriptedServer(silent) as server, pytest.raises(pooledhttp.exceptions.Timeout):
        pooledhttp.get(server.url(), timeout=pooledhttp.Timeout(total=1e-9))
    assert called


def test_a_limit_that_is_infinite_is_none(replace: Callable[..., list[object]]) -> None:
    """A socket refuses it: it was an `OverflowError`."""
    called = replace(HTTPConnectionPool, "urlopen")
    endless = pooledhttp.Timeout(total=math.inf, connect=math.inf, read=math.inf)
    with ScriptedServer(answering(respond(b"ok"))) as server:
        assert pooledhttp.get(server.url(), timeout=endless).content == b"ok"
    assert called


def test_a_replaced_connect_sees_the_socket_of_tls(
    http: Any, replace: Callable[..., list[object]], authority: Authority
) -> None:
    """Programs set options of the socket there, or read the certificate."""
    called = replace(HTTPSConnection, "connect")
    context = authority.server_context()
    with ScriptedServer(answering(respond(b"ok")), tls=context) as server:
        with http.Session() as session:
            session.verify = authority.bundle
            for _ in range(2):
                assert session.get(server.url(host="localhost"), timeout=TIMEOUT).ok
            (connection,) = called
            assert connection.sock.getpeercert()  # type: ignore[attr-defined]


def test_a_replaced_read_takes_a_body_that_is_cut_short(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way in which many programs read from servers that lie about the length."""
    read = HTTPResponse.read

    def forgiving(self: HTTPResponse, *args: Any) -> bytes:
        try:
            return read(self, *args)
        except IncompleteRead as error:
            return error.partial

    monkeypatch.setattr(HTTPResponse, "read", forgiving)
    with ScriptedServer(once(respond(b"part", length=9))) as server:
        assert http.get(server.url(), stream=True, timeout=TIMEOUT).raw.read() == b"part"


def test_the_version_of_requests_may_be_http_1_0(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A well-known way to get a body without chunks from a server."""
    with ScriptedServer(answering(respond(b"ok"))) as server, http.Session() as session:
        session.get(server.url(), timeout=TIMEOUT)
        with monkeypatch.context() as patch:
            patch.setattr(http_client.HTTPConnection, "_http_vsn", 10)
            patch.setattr(http_client.HTTPConnection, "_http_vsn_str", "HTTP/1.0")
            assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
        session.get(server.url(), timeout=TIMEOUT)
        seen = [request.version for request in server.requests]
        assert seen == ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1"]


def test_a_class_of_responses_is_used(http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that repair what a server sends put their own class there."""

    class Renamed(HTTPResponse):
        def begin(self) -> None:
            super().begin()
            self.headers["X-Mine"] = "yes"

    monkeypatch.setattr(http_client.HTTPConnection, "response_class", Renamed)
    with ScriptedServer(answering(respond(b"ok"))) as server:
        assert http.get(server.url(), timeout=TIMEOUT).headers["X-Mine"] == "yes"


EARLY = """
import urllib3
class Replaced(Exception): pass
def urlopen(*args, **kwargs): raise Replaced
import {package} as http
real, urllib3.HTTPConnectionPool.urlopen = urllib3.HTTPConnectionPool.urlopen, urlopen
try:
    http.get("http://127.0.0.1:1/")
except Replaced:
    print("called")
urllib3.HTTPConnectionPool.urlopen = real
try:
    http.get("http://127.0.0.1:1/")
except http.ConnectionError as error:
    print("Dial" in repr(error.args[0]))
"""


@pytest.mark.parametrize(("package", "is_ours"), [("requests", False), ("pooledhttp", True)])
def test_a_method_replaced_before_the_first_request(package: str, is_ours: bool) -> None:
    """It is seen, and that it has ended as well."""
    done = run_python("-c", EARLY.format(package=package))
    assert done.stdout.split() == ["called", str(is_ours)], done.stderr


MOCKED = """
import http.client, logging, os, socket, urllib3.connectionpool
from unittest import mock
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
server.timeout = 20
if not (child := os.fork()):
    server.handle_request()
    server.handle_request()
    os._exit(0)
import {package} as http
def get():
    try:
        print(http.get(f"http://127.0.0.1:{{server.server_port}}/", timeout=20).text)
    except RuntimeError as error:
        print(error)
with mock.patch("{name}", side_effect=RuntimeError("mock")):
    get()
get()
os.kill(child, 9)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("package", ["requests", "pooledhttp"])
@pytest.mark.parametrize(
    ("name", "printed"), [("socket.socket", "mock hi"), ("http.client.HTTPConnection", "hi hi")]
)
def test_a_class_mocked_during_the_first_request(name: str, printed: str, package: str) -> None:
    """Modules that are loaded with it are whole, and keep nothing of the mock."""
    done = run_python("-c", MOCKED.format(package=package, name=name))
    assert done.stdout.split() == printed.split(), done.stderr


class TestContexts:
    """`urllib3.connection.create_urllib3_context` replaced, to speak to servers with old TLS."""

    @pytest.fixture
    def alter(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[ssl.SSLContext]]:
        """Has each new context changed; returns those that were made."""

        def alter(change: Callable[[ssl.SSLContext], None]) -> list[ssl.SSLContext]:
            original = urllib3.connection.create_urllib3_context
            made: list[ssl.SSLContext] = []

            def changing(*args: Any, **kwargs: Any) -> ssl.SSLContext:
                context = original(*args, **kwargs)
                change(context)
                made.append(context)
                return context

            monkeypatch.setattr(urllib3.connection, "create_urllib3_context", changing)
            return made

        return alter

    def test_its_protocol_settings(
        self, http: Any, authority: Authority, alter: Callable[..., list[ssl.SSLContext]]
    ) -> None:
        """The version and the ciphers are those that it sets; a client certificate is shown."""
        spoken: list[tuple[Any, ...]] = []

        def handle(peer: Peer) -> None:
            spoken.append((peer.sock.cipher()[0], bool(peer.sock.getpeercert())))
            answering(respond(b"ok"))(peer)

        def change(context: ssl.SSLContext) -> None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")

        asking = authority.new_server_context()
        asking.verify_mode = ssl.CERT_REQUIRED
        asking.load_verify_locations(authority.bundle)
        mine = authority.write_certificate("me", stem="client-by-replacement")
        made = alter(change)
        with ScriptedServer(handle, tls=asking) as server, http.Session() as session:
            for _ in range(2):
                reply = session.get(
                    server.url(), verify=authority.bundle, cert=mine, timeout=TIMEOUT
                )
                assert reply.content == b"ok"
        ((cipher, is_shown),) = spoken
        assert cipher.endswith("AES128-GCM-SHA256") and is_shown
        assert len(made) == 1

    def test_it_does_not_decide_what_is_verified(
        self, http: Any, authority: Authority, alter: Callable[..., list[ssl.SSLContext]]
    ) -> None:
        """The settings of the call do: trust and name are checked, or nothing is."""

        def change(context: ssl.SSLContext) -> None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE

        alter(change)
        ok = answering(respond(b"ok"))
        with ScriptedServer(ok, tls=authority.server_context()) as server:
            with pytest.raises(http.exceptions.SSLError):
                http.get(server.url(), timeout=TIMEOUT)
            with pytest.warns(Warning, match="Unverified"):
                assert http.get(server.url(), verify=False, timeout=TIMEOUT).content == b"ok"
        with ScriptedServer(ok, tls=authority.server_context("other.test")) as server:
            with pytest.raises(http.exceptions.SSLError):
                http.get(server.url(), verify=authority.bundle, timeout=TIMEOUT)

    def test_one_of_the_process_is_used_again_afterwards(
        self, http: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What fails by the replacement does not fail without it."""

        def failing(*args: Any, **kwargs: Any) -> ssl.SSLContext:
            raise ssl.SSLError("no context")

        ok = answering(respond(b"ok"))
        with ScriptedServer(ok, tls=authority.server_context()) as server:
            with monkeypatch.context() as patch, http.Session() as session:
                patch.setattr(urllib3.connection, "create_urllib3_context", failing)
                with pytest.raises(http.exceptions.SSLError):
                    session.get(server.url(), verify=authority.bundle, timeout=TIMEOUT)
            reply = http.get(server.url(), verify=authority.bundle, timeout=TIMEOUT)
            assert reply.content == b"ok"


@pytest.mark.parametrize("name", ["HTTPConnection", "HTTPResponse"])
def test_a_class_that_stands_in_for_one_of_http_client(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not have all the methods, as that of vcrpy has not: urllib3 sends the request."""
    with ScriptedServer(answering(lambda seen: respond(b"hello"))) as server:
        with pooledhttp.Session() as session:
            assert session.get(server.url(), timeout=TIMEOUT).content == b"hello"
            with monkeypatch.context() as patch:
                patch.setattr(http_client, name, type("StandIn", (), {}))
                response = session.get(server.url(), timeout=TIMEOUT)
                assert response.content == b"hello"
                assert isinstance(response.raw.connection, HTTPConnection | None)
            assert session.get(server.url(), timeout=TIMEOUT).content == b"hello"
