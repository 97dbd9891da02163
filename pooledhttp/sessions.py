"""Sessions: settings that last over many requests, and the way of a request through them.

    request()                            the arguments of one call
      -> prepare_request()               + cookies, headers, auth, params, hooks of the session
      -> merge_environment_settings()    + proxies and CA bundle of the environment
      -> send()                          one exchange, by the adapter with the longest prefix
           -> resolve_redirects()        each further hop, through send() again

Each arrow is a call on `self`: subclasses override one step and keep the others. Helpers such as
`get_netrc_auth` are called by their names in this module, so that replacing one here takes effect.

A session may be used from any number of threads as long as its attributes are left alone meanwhile.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from http import cookiejar as cookielib
from typing import Any, overload
from urllib.parse import urljoin, urlparse

from pooledhttp import adapters as _adapters
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.auth import _basic_auth_str
from pooledhttp.client import (
    KEEPS_BODY,
    CallCookies,
    SessionExtras,
    bundle_from_environment,
    decode_location,
    get_netrc_auth,
    hooks_elsewhere,
    is_other_origin,
    merge_hooks,
    merge_setting,
    method_after,
    resolve_location,
)
from pooledhttp.cookies import (
    RequestsCookieJar,
    cookiejar_from_dict,
    extract_cookies_to_jar,
    merge_cookies,
)
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    InvalidSchema,
    RequestException,
    TooManyRedirects,
)
from pooledhttp.hooks import default_hooks, dispatch_hook
from pooledhttp.message import (
    DEFAULT_PORTS,
    REDIRECT_STATI,
    PreparedRequest,
    RawResponse,
    Request,
    Response,
    can_rewind,
    default_headers,
    get_auth_from_url,
    pass_by,
    requote_uri,
    rewind_body,
    to_key_val_list,
    to_native_string,
    without_credentials,
)
from pooledhttp.network import (
    UNIX_SCHEME,
    get_environ_proxies,
    resolve_proxies,
    select_proxy,
    should_bypass_proxies,
    without_bypassed,
)
from pooledhttp.status_codes import codes
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.timing import Timeout
from pooledhttp.transport import PoolView, TlsTruncation

__all__ = [
    "Session",
    "SessionRedirectMixin",
    "merge_hooks",
    "merge_setting",
    "preferred_clock",
    "session",
    # known to `requests.sessions`, and imported or replaced there
    "DEFAULT_PORTS",
    "DEFAULT_REDIRECT_LIMIT",
    "REDIRECT_STATI",
    "BaseAdapter",
    "CaseInsensitiveDict",
    "ChunkedEncodingError",
    "ContentDecodingError",
    "HTTPAdapter",
    "InvalidSchema",
    "Mapping",
    "MutableMapping",
    "OrderedDict",
    "PreparedRequest",
    "Request",
    "RequestsCookieJar",
    "Response",
    "TooManyRedirects",
    "codes",
    "cookiejar_from_dict",
    "cookielib",
    "default_headers",
    "default_hooks",
    "dispatch_hook",
    "extract_cookies_to_jar",
    "get_auth_from_url",
    "get_environ_proxies",
    "get_netrc_auth",
    "merge_cookies",
    "requote_uri",
    "resolve_proxies",
    "rewind_body",
    "should_bypass_proxies",
    "timedelta",
    "to_key_val_list",
    "to_native_string",
    "urljoin",
    "urlparse",
]

#: How many redirects are followed unless `Session.max_redirects` says otherwise.
DEFAULT_REDIRECT_LIMIT = 30

#: What `Response.elapsed` is measured with.
preferred_clock = time.perf_counter

#: Prefixes that the adapter of another one serves while none is mounted for them. They are not
#: mounted, as what is mounted is looked through. Emptied while `requests` means this package: code
#: written for it may count on what is not mounted being refused.
ALSO_SERVED = {f"{UNIX_SCHEME}://": "http://"}

#: Headers that describe a body, and go when it goes.
_BODY_HEADERS = ("Content-Length", "Content-Type", "Transfer-Encoding")


class SessionRedirectMixin:
    """Following redirects, for anything with `send`, `cookies`, `max_redirects` and `trust_env`."""

    cookies: Any
    max_redirects: int
    trust_env: bool

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send one request; to be provided by whoever mixes this in."""
        raise NotImplementedError

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where a response sends the client, or None if it does not."""
        if not resp.is_redirect:
            return None
        return decode_location(resp.headers["location"])

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Whether an `Authorization` for one URL must not go to another."""
        return is_other_origin(old_url, new_url)

    def resolve_redirects(
        self,
        resp: Response,
        req: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
        yield_requests: bool = False,
        **adapter_kwargs: Any,
    ) -> Iterator[Any]:
        """Follow redirects, yielding the response of each hop; nothing happens before it is asked.

        Args:
            resp: What answered `req`; if it is no redirect, nothing is yielded.
            req: The request that it answers.
            stream: As for `send`; so are `timeout`, `verify`, `cert`, `proxies` and the rest.
            yield_requests: Yield the next request instead, unsent, and leave the body of `resp`
                unread. Nothing is yielded if the redirect cannot be followed.

        Raises:
            TooManyRedirects: There were more than `max_redirects`. The last response is on it.
            InvalidURL: A redirect leads to an address that cannot be right.
            UnrewindableBodyError: The body would have to be sent again and cannot be.
        """
        history: list[Response] = []
        call_cookies = CallCookies(req.url)
        while location := self.get_redirect_target(resp):
            resp.history = history.copy()
            history.append(resp)
            if yield_requests:
                try:
                    following, _ = self._follow(resp, req, location, call_cookies, proxies)
                except (RequestException, ValueError):
                    return  # it cannot be followed, which nobody asked for
                yield following
                return
            pass_by(resp)
            if len(resp.history) >= self.max_redirects:
                raise TooManyRedirects(f"Exceeded {self.max_redirects} redirects.", response=resp)
            req, proxies = self._follow(resp, req, location, call_cookies, proxies)
            req.__dict__["_is_hop"] = True
            resp = self.send(
                req,
                stream=stream,
                timeout=timeout,
                verify=verify,
                cert=cert,
                proxies=proxies,
                allow_redirects=False,
                **adapter_kwargs,
            )
            _store_cookies(self.cookies, req, resp)
            yield resp

    def _follow(
        self,
        resp: Response,
        req: PreparedRequest,
        location: str,
        call_cookies: CallCookies,
        proxies: Any,
    ) -> tuple[PreparedRequest, dict[str, str]]:
        """Make the request that a redirect asks for, and the proxies for it."""
        following = req.copy()
        following.url = resolve_location(location, resp.url, urlparse(req.url).fragment)
        self.rebuild_method(following, resp)
        if resp.status_code not in KEEPS_BODY:
            for name in _BODY_HEADERS:
                following.headers.pop(name, None)
            following.body = None
        if is_other_origin(req.url, following.url):
            for name in ("Host", *_more_to_remove(resp)):
                following.headers.pop(name, None)
            following.hooks = hooks_elsewhere(following.hooks)
        self._rebuild_cookies(following, req, resp, call_cookies)
        if self.trust_env:
            own = getattr(self, "proxies", None) or {}
            proxies = without_bypassed(proxies, own, req.url, following.url)
        rebuilt = self.rebuild_proxies(following, proxies)
        self.rebuild_auth(following, resp)
        if following._body_position is not None or not can_rewind(following.body, None):
            if following.body is not None:
                rewind_body(following)
        return following, rebuilt

    def _rebuild_cookies(
        self,
        following: PreparedRequest,
        req: PreparedRequest,
        resp: Response,
        call_cookies: CallCookies,
    ) -> None:
        """Choose the cookies anew: a header written for one URL says nothing of another."""
        following.headers.pop("Cookie", None)
        jar = following._cookies
        if jar is None:  # prepared by hand
            jar = RequestsCookieJar()
        _store_cookies(jar, req, resp)
        merge_cookies(jar, self.cookies)
        # The session's own cookies without a domain, too: on their own they go to every server that
        # the caller asks, but not to one that another server points to.
        call_cookies.fit(jar, following.url)
        following.prepare_cookies(jar)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Take away what another origin must not see; add what the netrc has for it."""
        headers, url = prepared_request.headers, prepared_request.url
        if "Authorization" in headers and self.should_strip_auth(response.request.url, url):
            del headers["Authorization"]
        found = get_netrc_auth(url) if self.trust_env else None
        if found is not None:
            prepared_request.prepare_auth(found)

    def rebuild_proxies(self, prepared_request: PreparedRequest, proxies: Any) -> dict[str, str]:
        """Return the proxies for a request, and set `Proxy-Authorization` to what they need.

        One that stands there, from before a redirect or set by hand, is taken away. A new one is
        set only where the proxy reads the request itself: for plain HTTP by way of an HTTP proxy.
        """
        headers, url = prepared_request.headers, prepared_request.url
        table = resolve_proxies(prepared_request, proxies, self.trust_env)
        headers.pop("Proxy-Authorization", None)
        proxy = select_proxy(url, table)
        if proxy and "@" in proxy and not url[:5].lower() == "https":
            is_http_proxy = proxy[:4].lower() == "http"
            user, password = get_auth_from_url(proxy)
            if is_http_proxy and user and password:
                headers["Proxy-Authorization"] = _basic_auth_str(user, password)
        return table

    def rebuild_method(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Set the method that follows a redirect: often GET, whatever it was."""
        prepared_request.method = method_after(response.status_code, prepared_request.method)


def _more_to_remove(response: Response) -> Iterable[str]:
    """Name the fields that a policy wants left out where a redirect leads to another origin.

    urllib3 asks its policy about it where urllib3 follows the redirect; here it is the session.
    """
    policy = getattr(getattr(response, "connection", None), "max_retries", None)
    names: Iterable[str] = getattr(policy, "remove_headers_on_redirect", ())
    return names


def _store_cookies(jar: Any, request: Any, response: Response) -> None:
    """Put into a jar what a response sets."""
    raw = response.raw
    # Every response comes by here and few set cookies. Its own header table answers that without
    # the fields being parsed into the form that cookie jars want.
    if isinstance(raw, RawResponse):
        if "set-cookie" not in raw.headers and "set-cookie2" not in raw.headers:
            return
    extract_cookies_to_jar(jar, request, raw)


class _SessionPool:
    """The attribute `Session.pool`; a subclass or user may store something else under the name."""

    @overload
    def __get__(self, owner: None, kind: type[Session]) -> _SessionPool: ...

    @overload
    def __get__(self, owner: Session, kind: type[Session]) -> PoolView: ...

    def __get__(self, owner: Session | None, kind: type[Session]) -> _SessionPool | PoolView:
        return self if owner is None else _adapters.session_pool(owner)


class Session(SessionRedirectMixin):
    """Settings, cookies and connections that are kept from one request to the next.

    Use it as a context manager, or `close` it, so that idle connections are closed.

    Args:
        pool: A `PoolConfig` with the limits of this session's pool of connections, or a pool to
            share with others. None for the defaults, which never make a request wait.
        timeout: What a call without a `timeout` uses: seconds, a `(connect, read)` tuple or a
            `Timeout`. None for no limit.
        retries: How often a failed request is repeated: a number, or a `Retry`. None for never.
        listeners: Called with each event of the pool and its connections.
        replay: Which requests are sent once more, on a new connection, when a kept one turns out
            dead: `"safe"` (those that may be repeated by their method or an `Idempotency-Key`),
            `"always"` or `"off"`.
        runtime: How this session waits. None for threads.
        strict: Refuse every response head that breaks RFC 9112, instead of repairing what is
            harmless (see docs/odd-heads.md).
        tls_truncation: What comes of a body without length over TLS whose server closes without
            close_notify: `"error"`, since an attacker can cut such a body short, or `"allow"`.
        max_response_fields: The most header fields of a response. None for 512, or
            `http.client._MAXHEADERS` where a program has changed that.

    Attributes:
        headers: Sent with every request.
        cookies: The jar; what responses set is kept in it.
        auth: Credentials for every request.
        proxies: Scheme (or `scheme://host`) to URL of a proxy.
        hooks: Event to list of callbacks.
        params: Added to every URL.
        stream: Whether bodies are left unread until asked for. False by default.
        verify: Whether certificates are checked; or the path of a CA bundle, or an `SSLContext`.
        cert: Client certificate: a path, or `(certificate, key)`.
        adapters: URL prefix to adapter, longest first.
        trust_env: Whether proxies, CA bundles and netrc of the environment are used.
        max_redirects: How many redirects are followed.
    """

    #: What pickling keeps.
    __attrs__ = [
        "headers",
        "cookies",
        "auth",
        "proxies",
        "hooks",
        "params",
        "verify",
        "cert",
        "adapters",
        "stream",
        "trust_env",
        "max_redirects",
    ]

    #: The pool of connections: `stats()`, `warm(url, n)`, `resize(config)`, `shutdown()` and so on.
    pool = _SessionPool()

    _extras = SessionExtras()

    def __init__(
        self,
        *,
        pool: Any = None,
        timeout: Any = None,
        retries: Any = None,
        listeners: Iterable[Callable[[Any], None]] = (),
        replay: str = "safe",
        runtime: Any = None,
        strict: bool = False,
        tls_truncation: TlsTruncation = "error",
        max_response_fields: int | None = None,
    ) -> None:
        self._extras = SessionExtras(
            pool,
            timeout,
            retries,
            tuple(listeners),
            replay,
            runtime,
            strict,
            tls_truncation,
            max_response_fields,
        )
        self.headers: Any = default_headers()
        self.auth: Any = None
        self.proxies: Any = {}
        self.hooks: Any = default_hooks()
        self.params: Any = {}
        self.stream = False
        self.verify: Any = True
        self.cert: Any = None
        self.max_redirects = DEFAULT_REDIRECT_LIMIT
        self.trust_env = True
        self.cookies = cookiejar_from_dict({})
        self.adapters: Any = OrderedDict()
        self.mount("https://", self._default_adapter())
        self.mount("http://", self._default_adapter())

    def _default_adapter(self) -> BaseAdapter:
        # No pool argument: such an adapter joins the session's pool when it is mounted.
        retries = self._extras.retries
        return HTTPAdapter() if retries is None else HTTPAdapter(max_retries=retries)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name, None) for name in self.__attrs__}
        extras = self._extras.portable()
        if extras != SessionExtras():
            state["_extras"] = extras
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        for adapter in (state.get("adapters") or {}).values():
            self._attach(adapter)

    # --- preparing -------------------------------------------------------------------------------

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Return a request as it will be sent, with this session's settings in it.

        Raises:
            RequestException: Something in it cannot be sent; the class says what.
        """
        jar = merge_cookies(RequestsCookieJar(), self.cookies)
        if request.cookies:
            given = request.cookies
            if not isinstance(given, cookielib.CookieJar):
                given = cookiejar_from_dict(given)
            jar = merge_cookies(jar, given)
        auth = request.auth
        if self.trust_env and not auth and not self.auth:
            auth = get_netrc_auth(request.url)
        prepared = PreparedRequest()
        prepared.prepare(
            method=request.method.upper(),
            url=request.url,
            files=request.files,
            data=request.data,
            json=request.json,
            headers=merge_setting(request.headers, self.headers, dict_class=CaseInsensitiveDict),
            params=merge_setting(request.params, self.params),
            auth=merge_setting(auth, self.auth),
            cookies=jar,
            hooks=merge_hooks(request.hooks, self.hooks),
        )
        return prepared

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Combine what a call says with the environment and with this session.

        Args:
            url: Where the request goes; it decides whether a proxy of the environment applies.
            proxies: Of the call; so are `stream`, `verify` and `cert`. None says nothing.

        Returns:
            `proxies`, `stream`, `verify` and `cert`.
        """
        if self.trust_env:
            no_proxy = proxies.get("no_proxy") if proxies is not None else None
            found = get_environ_proxies(url, no_proxy=no_proxy)
            if found:
                proxies = {**found, **(proxies or {})}
            # A session that was told what to verify with is not to be overruled by a variable.
            if verify is True or (verify is None and (self.verify is True or self.verify is None)):
                verify = bundle_from_environment() or verify
        return {
            "proxies": merge_setting(proxies, self.proxies),
            "stream": merge_setting(stream, self.stream),
            "verify": merge_setting(verify, self.verify),
            "cert": merge_setting(cert, self.cert),
        }

    # --- sending ---------------------------------------------------------------------------------

    def request(
        self,
        method: Any,
        url: Any,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = None,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: bool | None = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
    ) -> Response:
        """Prepare and send a request, and return the response.

        Args:
            method: The method, in any case.
            url: Where to.
            params: Added to the query: a mapping, pairs, or text.
            data: The body: a form (mapping or pairs), text, bytes, or a stream.
            headers: Header fields; None as a value takes one of the session's away.
            cookies: A mapping or a jar. A mapping's cookies go to the server called, and to no
                other one that it redirects to.
            files: Files to upload, as multipart.
            auth: `(user, password)` or a callable that alters the prepared request.
            timeout: Seconds, `(connect, read)`, or a `Timeout`. None for the session's.
            allow_redirects: Whether redirects are followed.
            proxies: Scheme (or `scheme://host`) to URL of a proxy.
            hooks: Event to callback or callbacks.
            stream: Whether the body is left unread until asked for. None for the session's.
            verify: As the session's attribute. Given here, it also overrules the environment.
            cert: As the session's attribute.
            json: Sent as JSON, if there is no `data`.

        Raises:
            RequestException: Anything that went wrong; the class says what.
        """
        prepared = self.prepare_request(
            Request(
                method=method.upper(),
                url=url,
                headers=headers,
                files=files,
                data=data or {},
                json=json,
                params=params or {},
                auth=auth,
                cookies=cookies,
                hooks=hooks,
            )
        )
        settings = self.merge_environment_settings(
            prepared.url, proxies or {}, stream, verify, cert
        )
        if verify is True and settings["verify"] == bundle_from_environment():
            settings["verify"] = True
        return self.send(prepared, timeout=timeout, allow_redirects=allow_redirects, **settings)

    def get(self, url: Any, params: Any = None, **kwargs: Any) -> Response:
        """Send a GET; arguments as for `request`."""
        return self.request("GET", url, params=params, **kwargs)

    def options(self, url: Any, **kwargs: Any) -> Response:
        """Send an OPTIONS; arguments as for `request`."""
        return self.request("OPTIONS", url, **kwargs)

    def head(self, url: Any, **kwargs: Any) -> Response:
        """Send a HEAD; arguments as for `request`, but redirects are not followed unless asked."""
        kwargs.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **kwargs)

    def post(self, url: Any, data: Any = None, json: Any = None, **kwargs: Any) -> Response:
        """Send a POST; arguments as for `request`."""
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: Any, data: Any = None, **kwargs: Any) -> Response:
        """Send a PUT; arguments as for `request`."""
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: Any, data: Any = None, **kwargs: Any) -> Response:
        """Send a PATCH; arguments as for `request`."""
        return self.request("PATCH", url, data=data, **kwargs)

    def delete(self, url: Any, **kwargs: Any) -> Response:
        """Send a DELETE; arguments as for `request`."""
        return self.request("DELETE", url, **kwargs)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request, and follow redirects through this same method.

        Args:
            request: What to send, as it is.
            **kwargs: `stream`, `timeout`, `verify`, `cert`, `proxies` and `allow_redirects` as for
                `request`; what is missing comes from the session. Anything else is handed to the
                adapter.

        Raises:
            ValueError: `request` is not prepared.
            RequestException: Anything that went wrong; the class says what.
        """
        if isinstance(request, Request):
            raise ValueError("You can only send PreparedRequests.")
        is_hop = request.__dict__.pop("_is_hop", False)
        allow_redirects = kwargs.pop("allow_redirects", True)
        self._complete(request, kwargs)
        response = self._exchange(request, kwargs)
        try:
            response = dispatch_hook("response", request.hooks, response, **kwargs)
            for earlier in response.history:  # an auth hook asked twice
                _store_cookies(self.cookies, earlier.request, earlier)
            _store_cookies(self.cookies, request, response)
            if allow_redirects:
                history = [response, *self.resolve_redirects(response, request, **kwargs)]
                response = history.pop()
                if history:
                    response.history = history
            elif not is_hop:
                ahead = self.resolve_redirects(response, request, yield_requests=True, **kwargs)
                response._next = next(ahead, None)
            is_passed_by = is_hop and self.get_redirect_target(response) is not None
            if not kwargs["stream"] and not is_passed_by:
                response.content  # noqa: B018  # read now, so that the connection is free
        except BaseException as exc:
            _leave(response, exc, kwargs["stream"])
            raise
        return response

    def _complete(self, request: PreparedRequest, kwargs: dict[str, Any]) -> None:
        """Fill in the arguments of the adapter that the caller left out."""
        kwargs.setdefault("stream", self.stream)
        kwargs.setdefault("verify", self.verify)
        kwargs.setdefault("cert", self.cert)
        if "proxies" not in kwargs:
            kwargs["proxies"] = resolve_proxies(request, self.proxies, self.trust_env)
        timeout = kwargs.get("timeout")
        if timeout is None and self._extras.timeout is not None:
            timeout = kwargs["timeout"] = self._extras.timeout
        if isinstance(timeout, Timeout) and timeout.total is not None:
            # Redirects, auth and retries get this running copy, and with it what is left of it.
            runtime = self._extras.runtime
            kwargs["timeout"] = timeout.start() if runtime is None else timeout.start(runtime.now)

    def _exchange(self, request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
        """Have the adapter send, and note how long that took."""
        adapter = self.get_adapter(url=request.url)
        started = preferred_clock()
        response: Response = adapter.send(request, **kwargs)
        # Ours stops the clock when the head is there, which may be before it returns.
        if not (response.elapsed and isinstance(adapter, HTTPAdapter)):
            response.elapsed = timedelta(seconds=preferred_clock() - started)
        return response

    # --- adapters --------------------------------------------------------------------------------

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter with the longest prefix of a URL, in any case.

        Unix sockets (`http+unix://`) are reached by the one for `http://` unless one is mounted for
        them. `dropin.install` ends that: in requests they have to be mounted.

        Raises:
            InvalidSchema: There is none.
        """
        lowered = url.lower()
        for prefix, adapter in self.adapters.items():
            if lowered.startswith(prefix.lower()):
                found: BaseAdapter = adapter
                return found
        for prefix, other in ALSO_SERVED.items():
            plain = self.adapters.get(other)
            if lowered.startswith(prefix) and isinstance(plain, HTTPAdapter):
                return plain
        raise InvalidSchema(
            f"No connection adapters were found for {without_credentials(url)!r}: mount one for its"
            " scheme, or check the beginning of the URL"
        )

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Send requests whose URL starts with `prefix` through an adapter.

        An adapter of ours that has no pool of its own joins this session's.
        """
        self.adapters[prefix] = adapter
        for shorter in [known for known in self.adapters if len(known) < len(prefix)]:
            self.adapters[shorter] = self.adapters.pop(shorter)
        self._attach(adapter)

    def _attach(self, adapter: BaseAdapter) -> None:
        attach = getattr(adapter, "attach", None)
        if callable(attach):
            attach(self)

    def close(self) -> None:
        """Close idle connections; those in use close when their body has been read.

        The session can be used again, and opens new ones then.
        """
        for adapter in self.adapters.values():
            adapter.close()


def _leave(response: Response, error: BaseException, stream: bool) -> None:
    """Give back the connection of a response that an error keeps from being returned.

    The error's traceback keeps the response alive, perhaps for long. It may also be there to be
    read: a hook that calls `raise_for_status` hands it over in the error.
    """
    try:
        if getattr(error, "response", None) is not response:
            response.close()
        elif not stream:
            response.content  # noqa: B018  # read now, so that the connection is free
    except Exception:
        pass  # what is already being raised says more


def session() -> Session:
    """Return a new `Session`; an older spelling."""
    return Session()
