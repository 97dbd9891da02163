"""Resumption: cheap second handshakes that prove exactly what the first one proved."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest

from pooledhttp.exceptions import TlsError
from pooledhttp.network import Connector, Route, SessionStore, StaticResolver, TlsSettings
from pooledhttp.network.tls_sessions import SessionKey
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.scripted import Handler, ScriptedServer

Soon = Callable[..., Deadline]


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    """A server context that speaks one version only, for the names a.test and localhost."""
    context = authority.new_server_context("a.test", "localhost")
    version = ssl.TLSVersion[request.param]
    context.minimum_version = context.maximum_version = version
    return context


class Client:
    """Connects by any name to one port, exchanges a byte, and tells whether it resumed."""

    def __init__(self, runtime: Runtime, port: int, soon: Soon) -> None:
        table = {name: ["127.0.0.1"] for name in ("a.test", "b.test")}
        self.sessions = SessionStore()
        self._connector = Connector(runtime, resolver=StaticResolver(table), sessions=self.sessions)
        self._port = port
        self._soon = soon

    def resumes(self, host: str = "a.test", **settings: object) -> bool:
        route = Route("https", host, self._port, TlsSettings(**settings))  # type: ignore[arg-type]
        stream = self._connector.connect(route, self._soon())
        try:
            stream.send(b"x", self._soon())
            assert stream.recv(1, self._soon()) == b"x"
            stream.remember_session()
            assert stream.getpeercert(True)
            return stream.is_resumed
        finally:
            stream.close()


@pytest.fixture
def client(tls: ssl.SSLContext, echo: Handler, runtime: Runtime, soon: Soon) -> Client:
    """A client of a server that echoes."""
    with ScriptedServer(echo, tls=tls) as server:
        yield Client(runtime, server.port, soon)


def test_second_connection_resumes(client: Client, authority: Authority) -> None:
    """After the first answer, connections under the same settings resume, again and again."""
    resumed = [client.resumes(ca_certs=authority.bundle) for _ in range(5)]
    assert resumed == [False, True, True, True, True]
    assert len(client.sessions) == 1


def test_ticket_is_never_shown_to_another_host(client: Client, authority: Authority) -> None:
    """With a ticket of host A, host B on the same address is verified in full, and refused."""
    assert not client.resumes("a.test", ca_certs=authority.bundle)
    assert client.resumes("a.test", ca_certs=authority.bundle)
    with pytest.raises(TlsError, match="mismatch"):
        client.resumes("b.test", ca_certs=authority.bundle)


def test_unverified_session_never_serves_a_verified_dial(
    client: Client, authority: Authority
) -> None:
    """What was made without verification proves nothing later."""
    assert not client.resumes("b.test", verify=False)
    assert client.resumes("b.test", verify=False)
    with pytest.raises(TlsError):
        client.resumes("b.test", ca_certs=authority.bundle)
    with pytest.raises(TlsError):
        client.resumes("b.test")


def test_assertions_keep_to_themselves(client: Client, authority: Authority) -> None:
    """Sessions made under one assertion are not offered under another, and are checked anew."""
    bundle = authority.bundle
    assert not client.resumes("b.test", ca_certs=bundle, assert_hostname="a.test")
    assert client.resumes("b.test", ca_certs=bundle, assert_hostname="a.test")
    with pytest.raises(TlsError):
        client.resumes("b.test", ca_certs=bundle, assert_hostname="b.test")
    assert not client.resumes("b.test", ca_certs=bundle, assert_hostname=False)
    with pytest.raises(TlsError, match="Fingerprints"):
        client.resumes("b.test", ca_certs=bundle, assert_fingerprint="00" * 32)
    with pytest.raises(TlsError):
        client.resumes("b.test", ca_certs=bundle)


def test_fingerprint_is_checked_on_a_resumed_handshake(
    tls: ssl.SSLContext, echo: Handler, authority: Authority, runtime: Runtime, soon: Soon
) -> None:
    """A session that got under a pin's key by mistake is still compared with the pin."""
    with ScriptedServer(echo, tls=tls) as server:
        client = Client(runtime, server.port, soon)
        client.resumes(verify=False)
        ((key, entry),) = client.sessions._sessions.items()
        session = entry.session
        assert session is not None
        client.sessions.put(key._replace(assert_fingerprint="00" * 32), session)
        with pytest.raises(TlsError, match="Fingerprints"):
            client.resumes(verify=False, assert_fingerprint="00" * 32)
        assert len(client.sessions) == 1  # one that failed its check is not offered again


def test_refused_ticket_costs_nothing_but_time(
    authority: Authority, echo: Handler, runtime: Runtime, soon: Soon
) -> None:
    """A server that has forgotten its tickets is met with a full, verified handshake."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    client = Client(runtime, port, soon)
    for _ in range(2):
        context = authority.new_server_context("a.test")
        server = ScriptedServer(echo, tls=context)
        server._listener.close()
        server._listener = socket.create_server(("127.0.0.1", port))
        with server:
            assert not client.resumes(ca_certs=authority.bundle)
            assert client.resumes(ca_certs=authority.bundle)


def test_new_ticket_is_taken_only_from_servers_that_want_it(
    client: Client, authority: Authority
) -> None:
    """A session that works is kept; after a refusal every answer's new one is."""
    client.resumes(ca_certs=authority.bundle)
    ((key, entry),) = client.sessions._sessions.items()
    first = entry.session
    assert client.resumes(ca_certs=authority.bundle) and client.sessions.get(key) is first
    assert client.sessions.wants_another(key, True, False)
    assert client.resumes(ca_certs=authority.bundle) and client.sessions.get(key) is not first


def test_callers_context_resumes_too(client: Client, authority: Authority) -> None:
    """Sessions are kept per context of a caller's, and never cross to another one."""
    one = ssl.create_default_context(cafile=authority.bundle)
    two = ssl.create_default_context(cafile=authority.bundle)
    assert not client.resumes(ssl_context=one)
    assert client.resumes(ssl_context=one)
    assert not client.resumes(ssl_context=two)
    three = ssl.create_default_context(cafile=authority.bundle)
    three.check_hostname = False
    assert not client.resumes("b.test", ssl_context=three, context_rules=True)
    three.check_hostname = True
    with pytest.raises(TlsError):  # what the lax context proved is not enough for the strict one
        client.resumes("b.test", ssl_context=three, context_rules=True)


def test_map_is_bounded(authority: Authority, client: Client) -> None:
    """The least recently used session goes when there are too many."""
    client.resumes(ca_certs=authority.bundle)
    ((key, entry),) = client.sessions._sessions.items()
    session = entry.session
    assert session is not None
    store = SessionStore(3)
    keys = [SessionKey(*key._replace(port=port)) for port in range(5)]
    for each in keys[:3]:
        store.put(each, session)
    assert store.get(keys[0]) is session
    for each in keys[3:]:
        store.put(each, session)
    assert [store.get(each) is not None for each in keys] == [True, False, False, True, True]
    store.clear()
    assert len(store) == 0
