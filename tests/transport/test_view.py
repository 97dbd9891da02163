"""`session.pool`: routes with the settings of its owner, and several views of one pool."""

from __future__ import annotations

import gc
import pickle
import weakref

import pytest

import pooledhttp
from pooledhttp import PoolConfig, Session
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.exceptions import InvalidSchema
from pooledhttp.network import Route
from pooledhttp.transport import PoolView, ResponseLimits, TransportManager


class Owner:
    """An owner that knows the routes of URLs, and is asked for them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def route(self, url: str) -> Route:
        self.asked.append(url)
        return Route("http", "127.0.0.1", 9)


def test_a_view_asks_its_owner_and_passes_the_route_down() -> None:
    """The manager below is given a route, never a URL."""
    owner = Owner()
    view = PoolView(TransportManager, owner, Owner.route)
    assert view.evict("http://any.test/") == 0
    assert view.warm("http://any.test/", 0) == 0
    assert owner.asked == ["http://any.test/"] * 2


def test_a_view_outlives_its_owner() -> None:
    """It refers to the owner weakly, and finds routes with default settings afterwards."""
    owner = Owner()
    view = PoolView(TransportManager, owner, Owner.route)
    asked = owner.asked
    del owner
    gc.collect()
    assert view.evict("https://any.test/") == 0 and view.evict("http+unix://%2Frun%2Fx/") == 0
    assert asked == []


def test_the_manager_is_made_once_and_when_it_is_needed() -> None:
    """Looking at `session.pool` makes nothing; all that use it get the same manager."""
    made: list[TransportManager] = []

    def make() -> TransportManager:
        made.append(TransportManager())
        return made[-1]

    view = PoolView(make, Owner(), Owner.route)
    assert made == []
    assert view.stats().total.idle == 0
    assert view.manager is view.manager is made[0] and len(made) == 1


def test_views_of_one_pool_are_equal() -> None:
    """Sessions that share a pool have a view each, because each has its own settings."""
    first = Session(pool=PoolConfig(max_per_host=7))
    second = Session(pool=first.pool)
    third = Session(pool=first.pool.manager)
    assert first.pool == second.pool == third.pool != Session().pool
    assert len({first.pool, second.pool, third.pool}) == 1
    assert second.pool is not first.pool and second.pool is second.pool
    assert second.pool.config.max_per_host == 7
    assert repr(second.pool) == repr(first.pool) and first.pool != "a pool"


def test_each_view_uses_the_settings_of_its_own_session() -> None:
    """A route differs where the session's verification differs."""
    first = Session()
    second = Session(pool=first.pool)
    second.verify = False
    routes = []
    for session in (first, second):
        session.trust_env = False
        session.pool.manager.evict_origin = lambda route: routes.append(route) or 0  # type: ignore
        session.pool.evict("https://any.test/")
    ours, theirs = routes
    assert ours.tls is not None and ours.tls.verify
    assert theirs.tls is not None and not theirs.tls.verify


def test_an_adapter_is_given_a_view_or_a_manager() -> None:
    """`HTTPAdapter(pool=...)` shares the pool of either, and has a view of its own."""
    session = Session()
    for pool in (session.pool, session.pool.manager):
        adapter = HTTPAdapter(pool=pool)
        assert adapter.pool == session.pool
        other = pooledhttp.Session()
        other.mount("https://", adapter)
        assert adapter.pool == session.pool != other.pool


def test_a_url_of_a_foreign_adapter_has_no_route() -> None:
    """Its connections are in no pool of this package, and the error says so."""

    class Foreign(BaseAdapter):
        pass

    session = Session()
    session.mount("foreign://", Foreign())
    for call in (session.pool.warm, session.pool.evict):
        with pytest.raises(InvalidSchema, match="no pool of this package"):
            call("foreign://host/")  # type: ignore[operator]


def test_a_session_that_is_dropped_is_collected_at_once() -> None:
    """The view of its pool is in no reference cycle with it."""
    session = Session()
    assert session.pool.stats().total.idle == 0 and session.adapters["https://"].pool
    dropped = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert dropped() is None
    finally:
        gc.enable()


def test_a_pickled_session_has_a_pool_of_its_own() -> None:
    """A view does not travel to another process."""
    session = Session()
    assert pickle.loads(pickle.dumps(session)).pool != session.pool


def test_the_old_name_of_the_limits_is_deprecated() -> None:
    """`transport.Limits` is `ResponseLimits`: the pool has limits too."""
    with pytest.warns(DeprecationWarning, match="ResponseLimits"):
        from pooledhttp.transport import Limits  # type: ignore[attr-defined]
    assert Limits is ResponseLimits
