"""Resumption: cheap second handshakes that prove exactly what the first one proved."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pooledhttp.exceptions import TlsError
from pooledhttp.network import Connector, Route, SessionStore, StaticResolver, TlsSettings
from pooledhttp.network.tls.sessions import SessionKey
from pooledhttp.network.tls.stream import SecureStream
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

    def route(self, host: str = "a.test", **settings: object) -> Route:
        return Route("https", host, self._port, TlsSettings(**settings))  # type: ignore[arg-type]

    def connect(self, route: Route) -> SecureStream:
        stream = self._connector.connect(route, self._soon())
        assert isinstance(stream, SecureStream)
        return stream

    def exchange(self, stream: SecureStream) -> None:
        stream.send(b"x", self._soon())
        assert stream.recv(1, self._soon()) == b"x"
        stream.remember_session()

    def resumes(self, host: str = "a.test", **settings: object) -> bool:
        stream = self.connect(self.route(host, **settings))
        try:
            self.exchange(stream)
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


def test_connections_that_open_at_once_keep_one_session(
    client: Client, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None was there when they began, and the first of them that has one keeps it."""
    route, put = client.route(ca_certs=authority.bundle), SessionStore.put
    kept: list[ssl.SSLSession] = []

    def put_and_tell(store: SessionStore, key: SessionKey, session: ssl.SSLSession) -> None:
        kept.append(session)
        put(store, key, session)

    monkeypatch.setattr(SessionStore, "put", put_and_tell)
    streams = [client.connect(route) for _ in range(3)]
    for stream in streams:
        client.exchange(stream)
        stream.close()
    assert len(kept) == 1
    assert client.resumes(ca_certs=authority.bundle)


def test_a_session_that_works_is_used_again(client: Client, authority: Authority) -> None:
    """No new session is taken off a connection while the one there is does its work."""
    client.resumes(ca_certs=authority.bundle)
    ((_, entry),) = client.sessions._sessions.items()
    first = entry.session
    assert client.resumes(ca_certs=authority.bundle)
    assert entry.session is first


@dataclass
class Ticket:
    """What the store reads of a session."""

    time: int
    timeout: int = 7200
    ticket_lifetime_hint: int = 0


class Store(SessionStore):
    """A store with one key and a clock of its own."""

    def __init__(self) -> None:
        self.at = 1_000_000.0
        super().__init__(now=lambda: self.at)

    def keep(self, **facts: int) -> object:
        """Put a ticket issued now."""
        ticket: Any = Ticket(int(self.at), **facts)
        self.put(ANY_KEY, ticket)
        return ticket

    def asks(self, *, resumed: bool) -> bool:
        """Whether a new session is wanted after the one here was offered."""
        return self.wants_another(ANY_KEY, True, resumed)


ANY_KEY: Any = "key"


@pytest.mark.parametrize(
    ("facts", "lifetime"),
    [({}, 7200), ({"ticket_lifetime_hint": 300}, 300), ({"ticket_lifetime_hint": 604_800}, 7200)],
    ids=["nothing-said", "short", "long"],
)
def test_a_session_is_renewed_before_its_life_is_over(facts: dict[str, int], lifetime: int) -> None:
    """In the second half of its life one new session is taken; one that is over is not offered."""
    store = Store()
    ticket = store.keep(**facts)
    assert not store.asks(resumed=True)
    store.at += lifetime / 2 - 1
    assert not store.asks(resumed=True)
    store.at += 1
    assert store.asks(resumed=True)
    assert not store.asks(resumed=True)
    store.at += lifetime / 2 - 1
    assert store.get(ANY_KEY) is ticket
    store.at += 1
    assert store.get(ANY_KEY) is None
    renewed = store.keep(**facts)
    assert store.get(ANY_KEY) is renewed
    assert not store.asks(resumed=True)


def test_servers_that_take_a_session_once() -> None:
    """They are noticed by their first refusal; from then on each connection's session is taken."""
    store = Store()
    store.keep()
    assert not store.asks(resumed=True)
    assert store.asks(resumed=False)
    for _ in range(5):
        store.keep()
        assert store.asks(resumed=True)


@pytest.mark.parametrize("uses", [0, 2, 5])
def test_a_server_with_new_keys_is_not_taken_for_one_that_takes_sessions_once(uses: int) -> None:
    """A session refused at first sight or after several uses gives way to the next one, no more."""
    store = Store()
    store.keep()
    for _ in range(uses):
        assert not store.asks(resumed=True)
    assert store.asks(resumed=False)
    store.keep()
    assert not store.asks(resumed=True)


def test_servers_that_refuse_every_session_are_asked_less_and_less() -> None:
    """A session that is taken and offered for nothing costs half a handshake; there are few."""
    store = Store()
    taken = 0
    for _ in range(1000):
        has_one = store.get(ANY_KEY) is not None
        if store.wants_another(ANY_KEY, has_one, False):
            store.keep()
            taken += 1
    assert 10 < taken < 30
    store.keep()
    assert not store.asks(resumed=True)  # one that is accepted after all makes all well
    assert store.asks(resumed=False)


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
