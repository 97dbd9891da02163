"""The pool of urllib3 that stands beside a facade, where requests are not sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import HTTPAdapter
from tests.support.scripted import ScriptedServer, answering, respond

TIMEOUT = 20


class Noted(HTTPConnection):
    """Notes each connect."""

    made: list[str]

    def connect(self) -> None:
        """Connect, and note the host."""
        self.made.append(self.host)
        super().connect()


@pytest.fixture
def noted() -> type[Noted]:
    """A class of connections with notes of its own."""
    return type("NotedHere", (Noted,), {"made": []})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Responds to every request with 200."""
    with ScriptedServer(answering(respond(b"ok"))) as running:
        yield running


def facade_for(adapter: Any, url: str) -> Any:
    """The pool of an adapter for a URL."""
    request = pooledhttp.Request("GET", url).prepare()
    return adapter.get_connection_with_tls_context(request, True)


def test_a_plain_request_makes_none(server: ScriptedServer) -> None:
    """Only those who read or change a step pay for it."""
    with pooledhttp.Session() as session:
        session.get(server.url(), timeout=TIMEOUT)
        adapter = session.get_adapter(server.url())
        assert facade_for(adapter, server.url()).counterpart is None


def test_bulk_uses_the_changed_class(
    server: ScriptedServer, noted: type[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way of bulk is not taken around a guard that changes each pool."""
    make = urllib3.PoolManager._new_pool

    def make_changed(*args: Any, **keywords: Any) -> Any:
        pool = make(*args, **keywords)
        pool.ConnectionCls = noted
        return pool

    monkeypatch.setattr(urllib3.PoolManager, "_new_pool", make_changed)
    results = list(bulk.fetch([server.url("/a"), server.url("/b")]))
    assert [result.response.content for result in results if result.response] == [b"ok"] * 2
    assert noted.made


@pytest.mark.parametrize("url", ["http+unix://%2Ftmp%2Fsocket/", "http://inner.invalid/"])
def test_another_way_there_refuses_the_change(url: str, noted: type[Noted]) -> None:
    """A class that knows nothing of the SOCKS proxy or the socket would go around it."""
    proxies = {"http": "socks5h://127.0.0.1:1"} if "unix" not in url else None
    request = pooledhttp.Request("GET", url).prepare()
    facade: Any = HTTPAdapter().get_connection_with_tls_context(request, True, proxies=proxies)
    with pytest.raises(AttributeError, match="no steps of urllib3"):
        facade.ConnectionCls = noted


def test_a_forked_child_forgets_the_connections(server: ScriptedServer, noted: type[Noted]) -> None:
    """They are those of the parent; what was changed stays."""
    with pooledhttp.Session() as session:
        facade = facade_for(session.get_adapter(server.url()), server.url())
        facade.ConnectionCls = noted
        session.get(server.url(), timeout=TIMEOUT)
        session.get(server.url(), timeout=TIMEOUT)
        of_parent = facade.counterpart.pool.pool.get()
        facade.counterpart.reset_after_fork()
        session.get(server.url(), timeout=TIMEOUT)
        of_parent.close()
    assert len(noted.made) == 2
