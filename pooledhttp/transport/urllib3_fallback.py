"""Sends requests over urllib3's own pools, in four cases.

A subclass of the adapter returns such a pool. `send_over_urllib3` uses it as requests would.

A test has patched urllib3. vcrpy replaces `HTTPConnectionPool.ConnectionCls` while a cassette is in
use; pook and many tests replace `HTTPConnectionPool.urlopen`. With requests such a patch catches
every request, so that none reaches the network. So while these attributes are not urllib3's own,
requests go over urllib3's own pools, with the settings that ours would have used. The same is done
while the socket class is a mock (mocket), because only urllib3's connections can use the objects of
the mock.

A program has replaced a method below them: `HTTPConnection.connect` to set options of the socket,
`_make_request` to note the address of the peer, `send` to print what goes out, `HTTPResponse.read`
to take a body that is cut short. urllib3's pools call the method. Here one pool is kept for each of
ours, so that connections are used again as with requests.

A program has changed such a step in one pool: `urllib3_counterpart` has the pool that takes it.
"""

from __future__ import annotations

import http.client
from operator import attrgetter
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from pooledhttp.network import UNIX_SCHEME, is_socket_mocked
from pooledhttp.runtime import register_fork_reset
from pooledhttp.transport.http_client_hook import is_http_client_patched
from pooledhttp.transport.urllib3_counterpart import KEPT_SIZE, given_settings, make_pool
from pooledhttp.transport.urllib3_face import PoolFacade
from pooledhttp.transport.urllib3_settings import urllib3_timeout

__all__ = ["is_urllib3_patched", "send_over_urllib3", "urllib3_pool"]

# What a request of requests passes through. The secure classes inherit from the others, so a method
# that is replaced in one of those is seen in them.
_of_pool = attrgetter("ConnectionCls", "urlopen", "_make_request", "_get_conn", "_new_conn")
_of_connection = attrgetter("connect", "_new_conn", "request", "getresponse", "putheader", "send")
_CLIENT_NAMES = (
    *("HTTPConnection.putheader", "HTTPConnection.endheaders", "HTTPConnection._send_output"),
    *("HTTPConnection.response_class", "HTTPConnection._http_vsn_str", "parse_headers"),
    *("HTTPResponse.begin", "HTTPResponse.read", "HTTPResponse._read_status"),
)
_of_client = attrgetter(*_CLIENT_NAMES)

_Steps = tuple[Any, ...]

# Those of an unchanged urllib3, once they were seen. A program may replace some before this import.
_own_plain: _Steps = (None, None)
_own_pool: _Steps = ()
_own_connection: _Steps = ()
_own_client: _Steps = ()


def is_urllib3_patched() -> bool:
    """Whether urllib3's pools, or what is below them, differ from how they were defined."""
    try:
        if (  # written out: each request asks
            HTTPConnectionPool.ConnectionCls is _own_plain[0]
            and HTTPConnection.connect is _own_plain[1]
            and _of_pool(HTTPSConnectionPool) == _own_pool
            and _of_connection(HTTPSConnection) == _own_connection
            and _of_client(http.client) == _own_client
        ):
            return is_socket_mocked()
    except AttributeError:
        pass  # see `_client_steps`
    return not _are_all_own() or is_socket_mocked()


def _are_all_own() -> bool:
    """Whether all steps are urllib3's; they are remembered then."""
    global _own_plain, _own_pool, _own_connection, _own_client
    steps = _steps()
    if is_http_client_patched():
        # A tracer: `http_client_hook` shows it each request, and what it has replaced in
        # http.client (sentry-sdk: `read` and `close` of responses) belongs to that.
        steps = steps[: -len(_CLIENT_NAMES)]
    if not all(map(_is_own, steps)):
        return False
    _own_plain = (HTTPConnectionPool.ConnectionCls, HTTPConnection.connect)
    _own_pool = _of_pool(HTTPSConnectionPool)
    _own_connection = _of_connection(HTTPSConnection)
    _own_client = _client_steps()
    return True


def _steps() -> _Steps:
    return (
        HTTPConnectionPool.ConnectionCls,
        *_of_pool(HTTPSConnectionPool),
        HTTPConnection.connect,
        *_of_connection(HTTPSConnection),
        *_client_steps(),
    )


def _client_steps() -> _Steps:
    """Return the steps of http.client.

    A class that stands in for one of its own, as vcrpy's does, may lack some. Then these are the
    classes, which tell one such patch from another.
    """
    try:
        return _of_client(http.client)
    except AttributeError:
        classes = [getattr(http.client, name, None) for name in ("HTTPConnection", "HTTPResponse")]
        return (*classes, *(None,) * (len(_CLIENT_NAMES) - len(classes)))


def _is_own(step: Any) -> bool:
    """Whether a class, function or value is as urllib3 or http.client defines it, not wrapped."""
    if isinstance(step, type):
        return step in (HTTPConnection, HTTPSConnection, http.client.HTTPResponse)
    if isinstance(step, str):
        return step == "HTTP/1.1"
    if type(step) is not FunctionType:
        return False
    home = str(step.__globals__.get("__name__"))
    return home.startswith(("urllib3.", "http.client"))


def _are_pools_replaced(steps: _Steps) -> bool:
    """Whether a test has put its own pool or connections in the place of urllib3's."""
    return is_socket_mocked() or not all(map(_is_own, steps[:3]))


class _KeptPools:
    """The pools of urllib3 that serve while methods are replaced; each ends with its facade."""

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[PoolFacade, tuple[_Steps, dict[str, Any], Any]] = (
            WeakKeyDictionary()
        )
        register_fork_reset(self)

    def find(self, conn: PoolFacade, steps: _Steps, settings: dict[str, Any]) -> Any:
        """Return the pool made for the same methods and settings, or make it."""
        kept = self._pools.get(conn)
        if kept is None or kept[:2] != (steps, settings):
            pool = make_pool(conn, settings | KEPT_SIZE)
            kept = self._pools[conn] = steps, settings, pool
        return kept[2]

    def reset_after_fork(self) -> None:
        """Forget the pools: their connections are those of the parent."""
        self._pools = WeakKeyDictionary()


_kept_pools = _KeptPools()


def urllib3_pool(conn: PoolFacade) -> Any:
    """Return the pool that serves a request in the place of `conn`.

    Returns:
        The counterpart, if it was changed; `conn` itself if nothing is replaced. Else a pool of
        urllib3 with the destination and settings of `conn`: a new one each time that pools or
        connections are replaced, so that a patch never finds a connection made before it; that of
        the last time while only methods are. For SOCKS proxies and Unix sockets, to which such
        patches do not apply, `conn` itself.
    """
    counterpart = conn.counterpart
    if counterpart is not None:
        if counterpart.is_changed:
            return counterpart.pool
        if not is_urllib3_patched():
            return conn
    if conn.scheme == UNIX_SCHEME or (conn.proxy is not None and conn.proxy.is_socks):
        return conn
    settings = given_settings(conn)
    steps = _steps()
    if _are_pools_replaced(steps):
        return make_pool(conn, settings)
    return _kept_pools.find(conn, steps, settings)


def send_over_urllib3(conn: Any, request: Any, target: str, retries: Retry, timeout: Any) -> Any:
    """Send a prepared request through a pool of urllib3, or an object with its `urlopen`.

    Args:
        conn: The pool.
        request: The prepared request.
        target: A path, or a whole URL over a forward proxy.
        retries: What is tried again.
        timeout: As users give it.

    Returns:
        The response of `urlopen`, body unread and not decoded.

    Raises:
        urllib3.exceptions.HTTPError: The request failed.
        ValueError: `timeout` is not a timeout.
    """
    return conn.urlopen(
        method=request.method,
        url=target,
        body=request.body,
        headers=request.headers,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
        retries=retries,
        timeout=urllib3_timeout(timeout),
        chunked=not (request.body is None or "Content-Length" in request.headers),
    )
