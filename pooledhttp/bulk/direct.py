"""Plain GETs of a run: what they have in common is found out once for each host.

Most items of a run are a URL and nothing else. For the run's session, all such requests to one host
differ in their target only: headers, TLS settings and the connections to use are the same.
`DirectRequests` asks the session and its adapter for them by way of one request, and makes the
next ones itself.

```
small body, usual head        --> DirectHost.fetch -> transport, which returns the body;
                                  DirectHost.fetch_response makes a response of it
plain GET, nothing overridden --> DirectHost.send --> transport
anything else                 --> None: the session does it
```

What was found out holds for a second. So CA files that have changed, a netrc file, the environment
and replaced methods have their effect as everywhere else. A host for which any of them is out of
the ordinary (a proxy, auth that signs, hooks, cookies) is left to the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, TypeVar

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.auth import HTTPBasicAuth
from pooledhttp.bulk.placed_adapter import PlacedAdapter
from pooledhttp.bulk.urls import origin_of
from pooledhttp.cookies import extract_cookies_to_jar
from pooledhttp.hooks import default_hooks
from pooledhttp.http1 import HeadShapes
from pooledhttp.message import PreparedRequest, Request, Response, canonical_target, canonical_url
from pooledhttp.network import select_proxy
from pooledhttp.originals import Originals
from pooledhttp.sessions import Session
from pooledhttp.timing import Timeout, monotonic
from pooledhttp.transport import BegunExchange, PlainGets, PoolFacade, WholeResponse

__all__ = ["ADAPTER_STEPS", "SESSION_STEPS", "BegunGet", "DirectRequests"]

T = TypeVar("T")

#: How long what was found out of a host holds.
_SECONDS = 1.0

#: Hosts that are remembered.
_MOST_HOSTS = 4096
_UNKNOWN: tuple[float, DirectHost | None] = (0.0, None)

#: What a program may have replaced to have a say in each request.
SESSION_STEPS = Originals(
    Session,
    "request",
    "send",
    "prepare_request",
    "merge_environment_settings",
    "get_adapter",
    "resolve_redirects",
    "rebuild_auth",
    "rebuild_proxies",
)
ADAPTER_STEPS = Originals(
    HTTPAdapter,
    "send",
    "add_headers",
    "request_url",
    "build_response",
    "get_connection_with_tls_context",
)
_PREPARING = (
    *("__init__", "prepare", "path_url"),
    *(f"prepare_{step}" for step in ("method", "url", "headers", "cookies", "body", "auth")),
)

#: All of them, read at once.
_CLASSES = SimpleNamespace(session=Session, adapter=HTTPAdapter, request=PreparedRequest)
_STEPS = Originals(
    _CLASSES,
    *(f"session.{name}" for name in SESSION_STEPS.names),
    *(f"adapter.{name}" for name in ADAPTER_STEPS.names),
    *(f"request.{name}" for name in _PREPARING),
)

#: Auth whose effect is a header field, the same for all URLs of a host.
_FIELD_AUTH = (type(None), str, tuple, HTTPBasicAuth)


class DirectRequests:
    """Sends plain GETs for a session that belongs to a run.

    Args:
        session: The session. Nothing but the run changes its settings.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        #: By the beginning of the URL, up to the path, and the fields; None where there is none.
        self._hosts: dict[object, tuple[float, DirectHost | None]] = {}
        #: Hosts whose connection is kept for the next request, as a rule one: the workers of other
        #: hosts have no use for it. `append` and `pop` need no lock.
        self._keeping: list[DirectHost] = []

    def send(
        self, url: str, headers: Mapping[str, str] | None, timeout: object, stream: bool
    ) -> Response | None:
        """Send a GET and return its response, redirects followed, as `Session.request` does.

        Args:
            url: The URL.
            headers: Further fields, always the same object for the same fields.
            timeout: As for `Session.request`.
            stream: Whether the body is left unread.

        Returns:
            The response; None where the session has to send the request itself.

        Raises:
            RequestException: The request failed.
        """
        found = self._host_and_target(url, headers)
        return None if found is None else found[0].send(url, found[1], timeout, stream)

    def fetch(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> WholeResponse | BegunGet | None:
        """Fetch a small body by the shortest way.

        Args:
            url: The URL.
            headers: Further fields, always the same object for the same fields.
            timeout: As for `Session.request`, always the same.

        Returns:
            The response; what was begun, if it has to be gone on with; None if nothing was done.
        """
        return self._go_shortest_way(DirectHost.fetch, url, headers, timeout)

    def fetch_response(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> Response | BegunGet | None:
        """Fetch a small body as a response whose body was read; arguments as for `fetch`.

        Returns:
            The response; what was begun, if it has to be gone on with; None if nothing was done.
        """
        return self._go_shortest_way(DirectHost.fetch_response, url, headers, timeout)

    def _go_shortest_way(
        self,
        step: Callable[[DirectHost, str, str, object], T],
        url: str,
        headers: Mapping[str, str] | None,
        timeout: object,
    ) -> T | None:
        """Take a step at the host of a URL; at most that host keeps a connection after it."""
        found = self._host_and_target(url, headers)
        if found is None:
            return None
        host, target = found
        keeping = self._keeping
        if keeping[-1:] != [host]:
            self.rest()
        done = step(host, url, target, timeout)
        if keeping[-1:] != [host]:  # others may have gone this way while it waited
            self.rest()
            keeping.append(host)
        return done

    def rest(self) -> None:
        """Give back what is kept for the next request, since none comes soon."""
        keeping = self._keeping
        while keeping:
            try:
                host = keeping.pop()
            except IndexError:
                return  # another thread has taken it
            host.rest()

    def _host_and_target(
        self, url: str, headers: Mapping[str, str] | None
    ) -> tuple[DirectHost, str] | None:
        """Return the host of a URL and the target; None where the session has to send it."""
        if not _STEPS.are_in(_CLASSES) or self._session.cookies._cookies:
            return None
        start = url.find("/", 8)
        if start < 0:
            return None  # no target
        beginning = url[:start]
        key = (beginning, id(headers))
        now = monotonic()
        ends_at, host = self._hosts.get(key, _UNKNOWN)
        if ends_at <= now:
            if "#" in url or "@" in beginning:
                return None  # a password is not kept
            if len(self._hosts) > _MOST_HOSTS:
                self._hosts.clear()
            shapes = HeadShapes() if host is None else host.shapes
            shapes.try_again()
            host = self._find(url, headers, shapes)
            self._hosts[key] = (now + _SECONDS, host)
        if host is None or "#" in url:
            return None
        target = canonical_target(url)
        if target is None:
            if canonical_url(url) != url:
                return None
            target = url[start:]
        return host, target

    def _find(
        self, url: str, headers: Mapping[str, str] | None, shapes: HeadShapes
    ) -> DirectHost | None:
        """Prepare a request by the session, and see whether others differ in their target only."""
        session = self._session
        if session.params or any(session.hooks.values()) or type(session) is not Session:
            return None
        if type(session.auth) not in _FIELD_AUTH or session._extras.strict:
            return None
        if not url.startswith(("http://", "https://")) or canonical_url(url) != url:
            return None
        request = session.prepare_request(Request("GET", url, headers=headers))
        if any(request.hooks.values()) or request.body is not None:
            return None
        settings = session.merge_environment_settings(url, {}, True, None, None)
        adapter = session.get_adapter(url)
        if not isinstance(adapter, PlacedAdapter) or select_proxy(url, settings["proxies"]):
            return None
        pool = adapter.direct_pool(request, settings)
        return (
            None if pool is None else DirectHost(session, adapter, pool, request, settings, shapes)
        )


class DirectHost:
    """One host, of which all requests have the same fields.

    Args:
        session: The session, for redirects and cookies.
        adapter: Its adapter for this host.
        pool: The adapter's pool for this host.
        request: A request as the session has prepared it.
        settings: What the adapter is given with it.
        shapes: The shapes of its heads, as far as they are known.
    """

    def __init__(
        self,
        session: Session,
        adapter: PlacedAdapter,
        pool: PoolFacade,
        request: PreparedRequest,
        settings: dict[str, Any],
        shapes: HeadShapes,
    ) -> None:
        self._session = session
        self._adapter = adapter
        self._pool = pool
        self._origin = origin_of(request.url)
        self._headers = request.headers
        self._cookies = request._cookies
        self._settings = settings
        self.shapes = shapes
        self._gets: PlainGets | None = None
        self._has_looked = False

    def fetch(self, url: str, target: str, timeout: object) -> WholeResponse | BegunGet | None:
        """Fetch a small body; see `DirectRequests.fetch`."""
        if not self.shapes.may_fit:
            return None
        if not self._has_looked:
            self._has_looked = True
            self._gets = self._pool.plain_gets(self._headers, timeout, self.shapes)
        gets = self._gets
        places = self._adapter.places
        if gets is None or not Response._reads_as_defined():
            return None
        place = places.take(self._origin)
        if place is None:
            return None
        try:
            found = gets.get(target)
        except BaseException:
            places.give_back(place)
            raise
        if isinstance(found, WholeResponse):
            places.succeed(place)
            return found
        if found is None:
            places.give_back(place)
            return None
        places.adopt(place)
        return BegunGet(self, url, target, found)

    def fetch_response(self, url: str, target: str, timeout: object) -> Response | BegunGet | None:
        """Fetch a small body as a response; see `DirectRequests.fetch_response`."""
        found, gets = self.fetch(url, target, timeout), self._gets
        if gets is None or not isinstance(found, WholeResponse):
            return found  # type: ignore[return-value]  # no `WholeResponse` without a way
        response = Response.arrived(
            gets.arrival(found, target, self._adapter.max_retries),
            self._request(url),
            self._adapter,
            found.started_at,
        )
        response._content, response._content_consumed = found.body, True
        return response

    def rest(self) -> None:
        """Give back what is kept for the next `fetch`."""
        if self._gets is not None:
            self._gets.release()

    def send(
        self,
        url: str,
        target: str,
        timeout: object,
        stream: bool,
        begun: BegunExchange | None = None,
    ) -> Response:
        """Send a request; see `DirectRequests.send`."""
        if isinstance(timeout, Timeout) and timeout.total is not None:
            timeout = timeout.start(self._adapter.now)
        request = self._request(url)
        response = self._adapter.send_direct(
            self._pool, request, self._origin, target, timeout, stream=stream, begun=begun
        )
        arrival = response._arrival
        if arrival is None or response.is_redirect or arrival.sets_cookies:
            response = self._follow(response, request, timeout, stream=stream)
        if not stream:
            response.content  # noqa: B018  # read now, so that the connection is free
        return response

    def _request(self, url: str) -> PreparedRequest:
        """Return a request as the session would have prepared it."""
        # As `PreparedRequest()` does: whether a program has replaced it is known.
        request = PreparedRequest.__new__(PreparedRequest)
        request.method = "GET"
        request.url = url
        request.headers = self._headers.copy()
        request._cookies = self._cookies
        request.body = request._body_position = None
        request.hooks = default_hooks()
        return request

    def _follow(
        self, response: Response, request: PreparedRequest, timeout: object, *, stream: bool
    ) -> Response:
        """Do what the session does with a response that says more than its body."""
        session = self._session
        settings = {**self._settings, "stream": stream, "timeout": timeout}
        try:
            extract_cookies_to_jar(session.cookies, request, response.raw)
            if response.is_redirect:
                history = [response, *session.resolve_redirects(response, request, **settings)]
                response = history.pop()
                response.history = history
        except BaseException:
            response.close()
            raise
        return response


class BegunGet:
    """A request of which the shortest way was not the right one. It has its place at the host.

    Args:
        host: The host.
        url: The URL.
        target: Its target.
        begun: What was begun.
    """

    __slots__ = ("_begun", "_host", "_target", "_url")

    def __init__(self, host: DirectHost, url: str, target: str, begun: BegunExchange) -> None:
        self._host = host
        self._url = url
        self._target = target
        self._begun = begun

    def response(self, timeout: object) -> Response:
        """Go on with it; return the response with its body unread, as `DirectRequests.send` does.

        Args:
            timeout: As for `Session.request`.

        Raises:
            RequestException: The request failed.
        """
        return self._host.send(self._url, self._target, timeout, True, self._begun)

    def drop(self) -> None:
        """End what nothing has gone on with."""
        self._begun.drop()
