"""The everyday failures: the right class, a message that names the origin, nothing left open.

All tests run with the cyclic collector off: what is dropped is given back at once.
"""

from __future__ import annotations

import gc
import socket
import ssl
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest

import pooledhttp
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ConnectTimeout,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    ReadTimeout,
    SSLError,
)
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors
from tests.support.scripted import Peer, ScriptedServer, answering, chunked, once, respond
from tests.wire.tools import names_origin, prompt


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def unused_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        port: int = there.getsockname()[1]
        return port


def test_connect_refused(session: pooledhttp.Session) -> None:
    """A refused connection is a ConnectionError with host and port, and what to check."""
    port = unused_port()
    with prompt(), pytest.raises(ConnectionError, match=f"{port}.*[Cc]heck") as caught:
        session.get(f"http://127.0.0.1:{port}/")
    assert not isinstance(caught.value, pooledhttp.Timeout)
    assert caught.value.request.url == f"http://127.0.0.1:{port}/"


def test_unknown_host(session: pooledhttp.Session) -> None:
    """A name without an address is a ConnectionError that names it."""
    with pytest.raises(ConnectionError, match=r"nowhere\.invalid.*[Cc]heck"):
        session.get("http://nowhere.invalid/", timeout=10)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "sends",
    [respond(b"half", length=8), chunked([b"half"], end=False), respond(b"", length=1)],
    ids=["length", "chunked", "empty"],
)
def test_body_cut_short(session: pooledhttp.Session, sends: bytes, stream: bool) -> None:
    """A truncated body is a ChunkedEncodingError that names the origin, however it is read."""
    with ScriptedServer(once(sends)) as server:
        with pytest.raises(ChunkedEncodingError) as caught:
            answer = session.get(server.url(), stream=stream, timeout=5)
            for _ in answer.iter_content(3):
                pass
        names_origin(caught.value, server)
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("error", ["name", "authority", "expired-ca", "plain"])
def test_tls_failures(session: pooledhttp.Session, authority: Authority, error: str) -> None:
    """A certificate that does not prove the server is an SSLError with a reason and advice."""
    names = ("other.example",) if error == "name" else ()
    context = None if error == "plain" else authority.server_context(*names)
    verify = authority.bundle if error in ("name", "plain") else True

    def handle(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(respond(b"The plain HTTP request was sent to HTTPS port", status=400))
        peer.wait_closed()

    with ScriptedServer(handle, tls=context) as server:
        url = server.url().replace("http:", "https:")
        with pytest.raises((SSLError, ConnectionError)) as caught:
            session.get(url, timeout=2, verify=verify)
        assert isinstance(caught.value, SSLError)
        names_origin(caught.value, server)
        session.close()


def test_read_timeout(session: pooledhttp.Session) -> None:
    """No response in time is a ReadTimeout with the time and the origin."""
    with ScriptedServer(lambda peer: peer.wait_closed()) as server:  # type: ignore[arg-type, return-value]
        with prompt(1), pytest.raises(ReadTimeout, match=r"Read timed out.*0\.1") as caught:
            session.get(server.url(), timeout=0.1)
        names_origin(caught.value, server)
        assert "Read timed out" in caught.value.args[0].args[0]
        session.close()


def test_connect_timeout(session: pooledhttp.Session) -> None:
    """A full backlog does not reply: a ConnectTimeout, which is also a ConnectionError."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(address)
        with prompt(1.5), pytest.raises(ConnectTimeout, match=str(address[1])) as caught:
            session.get(f"http://127.0.0.1:{address[1]}/", timeout=(0.2, 5))
        assert isinstance(caught.value, ConnectionError)
        for each in crowd:
            each.close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("example.com/", MissingSchema),
        ("//example.com/", MissingSchema),
        ("://example.com/", InvalidSchema),
        ("", MissingSchema),
        ("http://", InvalidURL),
        ("http:///path", InvalidURL),
        ("http://?query", InvalidURL),
        ("http://*example.com", InvalidURL),
        ("http://.example.com", InvalidURL),
        ("http://exa mple.com/", InvalidURL),
        ("http://example.com:99999/", InvalidURL),
        ("http://example.com:port/", InvalidURL),
        ("http://example.com:-1/", InvalidURL),
        ("http://[::1/", InvalidURL),
        ("http://[:::1]/", InvalidURL),
        ("http://exa\tmple.com/", InvalidURL),
        ("http://example.com\\@evil.example/", InvalidURL),
        ("http://exa\x00mple.com/", InvalidURL),
        ("http://example.com\r\nX: y/", InvalidURL),
        ("http://" + "a" * 64 + ".com/", InvalidURL),
        ("http://a..b/", InvalidURL),
        ("http://\u2100.example/", InvalidURL),
        ("ftp://example.com/", InvalidSchema),
        ("localhost:80/", InvalidSchema),
        ("file:///etc/passwd", InvalidSchema),
        ("javascript:alert(1)", InvalidSchema),
    ],
)
def test_bad_urls(session: pooledhttp.Session, url: str, error: type[Exception]) -> None:
    """An invalid URL is refused before a connection is made; the error is also a ValueError."""
    with prompt(), pytest.raises(error) as caught:
        session.get(url, timeout=2)
    assert isinstance(caught.value, ValueError)
    assert session.pool.stats().total.created == 0


# ---- what is dropped


def drop_unread(session: pooledhttp.Session, url: str) -> None:
    """Drop a response before its body is read."""
    session.get(url, stream=True, timeout=5)


def drop_half_read(session: pooledhttp.Session, url: str) -> None:
    """Drop a response in the middle of its body."""
    next(session.get(url, stream=True, timeout=5).iter_content(10))


def drop_iterator(session: pooledhttp.Session, url: str) -> None:
    """Drop an iterator of lines in the middle."""
    lines = session.get(url, stream=True, timeout=5).iter_lines()
    next(lines)
    del lines


def drop_in_hook(session: pooledhttp.Session, url: str) -> None:
    """A hook raises."""

    def raises(answer: pooledhttp.Response, *args: object, **kwargs: object) -> None:
        raise LookupError("hook")

    with pytest.raises(LookupError):
        session.get(url, stream=True, timeout=5, hooks={"response": raises})


def drop_in_block(session: pooledhttp.Session, url: str) -> None:
    """An error leaves the `with` block of a response."""
    with pytest.raises(LookupError), session.get(url, stream=True, timeout=5):
        raise LookupError


def drop_raw(session: pooledhttp.Session, url: str) -> None:
    """Keep `raw` for a while longer than the response."""
    raw = session.get(url, stream=True, timeout=5).raw
    assert raw.read(10)
    del raw


def close_half_read(session: pooledhttp.Session, url: str) -> None:
    """Close a response in the middle."""
    answer = session.get(url, stream=True, timeout=5)
    next(answer.iter_content(10))
    answer.close()


def close_unread(session: pooledhttp.Session, url: str) -> None:
    """Close a response unread."""
    session.get(url, stream=True, timeout=5).close()


def interrupted(session: pooledhttp.Session, url: str) -> None:
    """Ctrl-C in the middle of the body."""
    answer = session.get(url, stream=True, timeout=5)
    with pytest.raises(KeyboardInterrupt):
        for _ in answer.iter_content(10):
            raise KeyboardInterrupt


def raise_for_status_with_body(session: pooledhttp.Session, url: str) -> None:
    """An exception that carries the response is kept, then dropped."""
    with pytest.raises(ZeroDivisionError):
        answer = session.get(url, stream=True, timeout=5)
        answer.raise_for_status()
        1 / 0  # noqa: B018


WAYS = [
    drop_unread,
    drop_half_read,
    drop_iterator,
    drop_in_hook,
    drop_in_block,
    drop_raw,
    close_half_read,
    close_unread,
    interrupted,
    raise_for_status_with_body,
]

BIG = b"0123456789\n" * 100_000


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "sends",
    [
        respond(BIG),
        chunked([BIG[:1000], BIG]),
        respond(BIG, {"Content-Type": "text/plain; charset=utf-8"}),
    ],
    ids=["length", "chunked", "text"],
)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_dropped_response_gives_its_place_back(
    way: Callable[[pooledhttp.Session, str], None], sends: bytes
) -> None:
    """However a body is abandoned, its connection is closed and its slot is free at once."""
    before = len(open_descriptors())
    config = pooledhttp.PoolConfig(max_per_host=1, acquire_timeout=1)
    with ScriptedServer(answering(sends)) as server, pooledhttp.Session(pool=config) as session:
        for _ in range(3):
            way(session, server.url())
            sys.last_value = None  # type: ignore[assignment]  # pytest keeps the last error
        with prompt():
            assert len(session.get(server.url("/last")).content) >= len(BIG)
        stats = session.pool.stats().total
        assert stats.active == 0
        assert stats.created == 4
    assert len(open_descriptors()) <= before


def test_a_leak_is_reported_with_a_warning() -> None:
    """Dropping a response unread is a ResourceWarning and counted."""
    with ScriptedServer(answering(respond(BIG))) as server, pooledhttp.Session() as session:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drop_unread(session, server.url())
        assert [each.category for each in caught] == [ResourceWarning]
        assert session.pool.stats().total.leaks == 1


def test_session_and_response_form_no_cycle() -> None:
    """A session that is dropped closes its idle connections with the collector off."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        session = pooledhttp.Session()
        session.get(server.url())
        del session
        server.wait_all_closed()


def test_top_level_functions_leave_nothing() -> None:
    """`pooledhttp.get` closes what it opened, streamed or not."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        assert pooledhttp.get(server.url()).content == b"x"
        server.wait_all_closed()
        answer = pooledhttp.get(server.url(), stream=True)
        assert answer.raw.read() == b"x"
        server.wait_all_closed()


def test_tls_context_is_never_altered(authority: Authority) -> None:
    """A caller's context comes back as it was, verified or not."""
    context = authority.client_context()
    with ScriptedServer(answering(respond(b"x")), tls=authority.server_context()) as server:
        with pooledhttp.Session() as session:
            assert session.get(server.url(), verify=context).ok
            assert session.get(server.url(), verify=authority.bundle).ok
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
