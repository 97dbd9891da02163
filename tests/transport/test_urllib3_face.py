"""The object in the place of urllib3's pool; how it sends is in `wire/` and `compat/`."""

from __future__ import annotations

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.http1 import HeadShapes
from pooledhttp.transport import PoolFacade


def facade_for(url: str) -> PoolFacade:
    """What an adapter sends requests to a URL over."""
    request = pooledhttp.Request("GET", url).prepare()
    found = HTTPAdapter().get_connection_with_tls_context(request, True)
    assert isinstance(found, PoolFacade)
    return found


def test_where_requests_go_is_found_once() -> None:
    """A bulk run asks for the shortest way each second, to each of its hosts."""
    facade = facade_for("http://127.0.0.1:1/")
    for _ in range(3):
        assert facade.plain_gets({}, None, HeadShapes()) is not None
    assert len(facade._destinations) == 1


def test_a_changed_setting_changes_where_requests_go() -> None:
    """What was found before is not used any more."""
    facade = facade_for("https://127.0.0.1:1/")
    before = facade._find_destination("/")
    assert facade._find_destination("/other") is before
    facade.cert_reqs = "CERT_NONE"
    after = facade._find_destination("/")
    assert before.route != after.route and facade._find_destination("/") is after
