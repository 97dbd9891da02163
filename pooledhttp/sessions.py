"""Sessions: settings kept from one request to the next, and a request's way through them.

    request()                            the arguments of one call
      -> prepare_request()               + cookies, headers, auth, params, hooks of the session
      -> merge_environment_settings()    + proxies and CA bundle of the environment
      -> send()                          one exchange, by the adapter with the longest prefix
           -> resolve_redirects()        each further hop, through send() again

Each arrow is a call on `self`: subclasses override one step and keep the others. Helpers such as
`get_netrc_auth` are called by their names in this module, so that replacing one here takes effect.

Any number of threads may use a session, as long as none changes its attributes meanwhile.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from http import cookiejar as cookielib
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from urllib.parse import urljoin, urlparse

from pooledhttp import adapters as _adapters
from pooledhttp.adapters import BaseAdapter, HTTPAdapter, check_mount
from pooledhttp.auth import _basic_auth_str
from pooledhttp.certs import CertInput, VerifyInput
from pooledhttp.client import (
    KEEPS_BODY,
    CallCookies,
    GetOptions,
    PostOptions,
    PutOptions,
    RequestOptions,
    SessionExtras,
    bundle_from_environment,
    decode_location,
    get_netrc_auth,
    hooks_elsewhere,
    is_other_origin,
    merge_hooks,
    merge_setting,
    method_after,
    name_meant_argument,
    name_meant_setting,
    naming_redirect,
    resolve_location,
    too_many_redirects,
    warn_of_mixed_import,
)
from pooledhttp.cookies import (
    RequestsCookieJar,
    cookiejar_from_dict,
    extract_cookies_to_jar,
    jar_for,
    merge_cookies,
)
from pooledhttp.events import check_listeners, check_request_hooks
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    InvalidSchema,
    RequestException,
    TooManyRedirects,
)
from pooledhttp.hooks import Hook, HooksInput, default_hooks, dispatch_hook
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.message import (
    DEFAULT_PORTS,
    REDIRECT_STATI,
    AuthInput,
    CookiesInput,
    DataInput,
    FilesInput,
    HeadersInput,
    JsonInput,
    ParamsInput,
    PreparedRequest,
    ProxiesInput,
    Request,
    Response,
    TimeoutInput,
    UrlInput,
    attributes_of,
    blank_request,
    can_rewind,
    canonical_url,
    check_prepared,
    check_unprepared,
    copy_of_valid,
    default_headers,
    discard_body,
    fill_request,
    get_auth_from_url,
    is_preparing_as_defined,
    requote_uri,
    rewind_body,
    to_key_val_list,
    to_native_string,
    without_credentials,
    wrong_method,
)
from pooledhttp.network import (
    UNIX_SCHEME,
    get_environ_proxies,
    may_name_proxies,
    resolve_proxies,
    select_proxy,
    should_bypass_proxies,
    without_bypassed,
)
from pooledhttp.originals import Originals, settle_attributes
from pooledhttp.pool import PoolConfig, pool_advice
from pooledhttp.records import described, explain_misspelt
from pooledhttp.runtime import current_runtime
from pooledhttp.status_codes import codes
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.timing import Timeout, timeout_pair

if TYPE_CHECKING:
    from urllib3 import Retry

    from pooledhttp.events import Listener, RequestHook
    from pooledhttp.runtime import Runtime
    from pooledhttp.transport import ParserChoice, PoolView, Replay, TlsTruncation, TransportManager

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

#: Prefixes that the adapter of another prefix serves while none is mounted for them. They are not
#: mounted, since programs look through what is. Empty while `requests` means this package: code
#: written for it may rely on an error where nothing is mounted.
ALSO_SERVED = {f"{UNIX_SCHEME}://": "http://"}

#: What links of pages begin with that lead to no server.
_WITHOUT_HOSTS = ("about:", "blob:", "data:", "javascript:", "mailto:", "sms:", "tel:", "urn:")

#: The hooks of most sessions and requests.
_NO_HOOKS: dict[str, list[Hook]] = default_hooks()

#: The classes of a timeout that is handed to the adapter as it is.
_LIMITS = (type(None), int, float, tuple)

#: Returns those arguments of an adapter that a session has settings for, the timeout first.
_GIVEN = itemgetter("timeout", "stream", "verify", "cert", "proxies")

#: Returns what `merge_environment_settings` has merged.
_MERGED = itemgetter("proxies", "stream", "verify", "cert")

#: Headers that describe a body, and go when it goes.
_BODY_HEADERS = ("Content-Length", "Content-Type", "Transfer-Encoding")


class SessionRedirectMixin:
    """Following redirects, for anything with `send`, `cookies`, `max_redirects` and `trust_env`."""

    cookies: RequestsCookieJar
    max_redirects: int
    trust_env: bool

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send one request; the class that this is mixed into defines it.

        Raises:
            NotImplementedError: It does not.
        """
        raise NotImplementedError

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where a response sends the client, or None if it does not."""
        if not resp.is_redirect:
            return None
        return decode_location(resp.headers["location"])

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Return whether an `Authorization` field for one URL must not be sent to another."""
        return is_other_origin(old_url, new_url)

    def resolve_redirects(
        self,
        resp: Response,
        req: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutInput = None,
        verify: VerifyInput | None = True,
        cert: CertInput = None,
        proxies: ProxiesInput = None,
        yield_requests: bool = False,
        **adapter_kwargs: Any,
    ) -> Iterator[Response]:
        """Follow redirects and yield the response of each hop, each when it is asked for.

        Args:
            resp: The response to `req`; if it is not a redirect, nothing is yielded.
            req: The request.
            stream: As for `send`.
            timeout: As for `send`.
            verify: As for `send`.
            cert: As for `send`.
            proxies: As for `send`.
            yield_requests: Yield the next request instead, unsent, and leave the body of `resp`
                unread. Nothing is yielded if the redirect cannot be followed.
            **adapter_kwargs: Handed to `send`.

        Raises:
            TooManyRedirects: There were more than `max_redirects`. The last response is on it.
            InvalidURL: A redirect leads to an address that is not valid.
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
                    return  # it cannot be followed, and following was not asked for
                yield following  # type: ignore[misc]  # what `yield_requests` asks for
                return
            discard_body(resp)
            if len(resp.history) >= self.max_redirects:
                raise too_many_redirects(self.max_redirects, resp)
            req, proxies = self._follow(resp, req, location, call_cookies, proxies)
            req._is_hop = True
            with naming_redirect(resp):
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
        proxies: ProxiesInput,
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
        field = following.headers.get("Proxy-Authorization")
        if field and field == _proxy_authorization(following.url, rebuilt):
            # The adapter sends it to the proxy, and to nothing else. Here it would stay in a
            # request that programs keep, and may send without the proxy.
            del following.headers["Proxy-Authorization"]
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
        """Choose the cookies for the URL of the next hop, and set its `Cookie` field."""
        following.headers.pop("Cookie", None)
        jar = following._cookies
        if jar is None:  # prepared by hand
            jar = RequestsCookieJar(getattr(self.cookies, "_policy", None))
        _store_cookies(jar, req, resp)
        merge_cookies(jar, jar_for(self.cookies, following.url, _host_field(following.headers)))
        # Also the session's cookies without a domain: they are for every server that the caller
        # calls, but not for one to which another server redirects.
        call_cookies.fit(jar, following.url)
        following.prepare_cookies(jar)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Remove credentials that are not for the new origin; add those of the netrc."""
        headers, url = prepared_request.headers, prepared_request.url
        if "Authorization" in headers and self.should_strip_auth(response.request.url, url):
            del headers["Authorization"]
        found = get_netrc_auth(url) if self.trust_env else None
        if found is not None:
            prepared_request.prepare_auth(found)

    def rebuild_proxies(
        self, prepared_request: PreparedRequest, proxies: ProxiesInput
    ) -> dict[str, str]:
        """Return the proxies for a request, and set `Proxy-Authorization` to what they need.

        A former value, from before a redirect or set by hand, is removed. A new one is set only
        where the proxy reads the request itself: for plain HTTP over an HTTP proxy.
        """
        headers = prepared_request.headers
        table = resolve_proxies(prepared_request, proxies, self.trust_env)
        headers.pop("Proxy-Authorization", None)
        field = _proxy_authorization(prepared_request.url, table)
        if field is not None:
            headers["Proxy-Authorization"] = field
        return table

    def rebuild_method(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Set the method of the request that follows a redirect; often it is GET."""
        prepared_request.method = method_after(response.status_code, prepared_request.method)


#: The methods that are not called for a response that is no redirect.
_REDIRECTING = Originals(SessionRedirectMixin, "resolve_redirects", "get_redirect_target")


def _proxy_authorization(url: str, proxies: ProxiesInput) -> str | None:
    """Return the credentials in the URL of an HTTP proxy that reads the request; else `None`."""
    proxy = select_proxy(url, proxies)
    if proxy and "@" in proxy and proxy[:4].lower() == "http" and url[:5].lower() != "https":
        user, password = get_auth_from_url(proxy)
        if user and password:
            return _basic_auth_str(user, password)
    return None


def _more_to_remove(response: Response) -> Iterable[str]:
    """Name the fields that a retry policy removes on a redirect to another origin.

    urllib3 asks its policy when it follows a redirect. Here the session follows redirects.
    """
    policy = getattr(getattr(response, "connection", None), "max_retries", None)
    names: Iterable[str] = getattr(policy, "remove_headers_on_redirect", ())
    return names


def _store_cookies(jar: Any, request: Any, response: Response) -> None:
    """Store the cookies of a response in a jar."""
    # Few responses set cookies, and most of ours can tell without what `raw` is made of.
    arrival = response._arrival if isinstance(response, Response) else None
    if arrival is not None and "raw" in attributes_of(response):  # as in `_unread`
        arrival = None
    if arrival is not None:
        if not arrival.sets_cookies:
            return
    elif isinstance(response, Response) and not response._may_set_cookies:
        return
    extract_cookies_to_jar(jar, request, response.raw if arrival is None else arrival)


def _final_url(url: UrlInput | None) -> str:
    """Return a URL in the form that its cookies are chosen by; empty if that cannot be told."""
    try:
        return canonical_url(url)
    except (RequestException, ValueError):
        return ""  # preparing the request is what fails with it


def _host_field(headers: Any) -> Any:
    """Return the `Host` field of a request: cookies are filed under that name."""
    if not isinstance(headers, CaseInsensitiveDict):
        headers = CaseInsensitiveDict(headers or {})
    return headers.get("Host")


class _SessionPool:
    """The attribute `Session.pool`; a subclass or user may store something else under the name."""

    @overload
    def __get__(self, owner: None, kind: type[Session]) -> _SessionPool: ...

    @overload
    def __get__(self, owner: Session, kind: type[Session]) -> PoolView: ...

    def __get__(self, owner: Session | None, kind: type[Session]) -> Any:
        if owner is None:
            return self
        attributes = owner.__dict__
        return attributes["pool"] if "pool" in attributes else _adapters.session_pool(owner)

    def __set__(self, owner: Session, value: PoolView) -> None:
        if isinstance(value, PoolConfig):  # which would have no effect
            raise AttributeError(
                "session.pool is the pool, not its settings: use session.pool.resize(config), or "
                "Session(pool=config)"
            )
        owner.__dict__["pool"] = value

    def __delete__(self, owner: Session) -> None:
        if "pool" not in owner.__dict__:
            raise AttributeError("session.pool cannot be deleted")
        del owner.__dict__["pool"]


class Session(SessionRedirectMixin):
    """Settings, cookies and connections that are kept from one request to the next.

    Use it as a context manager, or `close` it, so that idle connections are closed.

    Args:
        pool: A `PoolConfig` with the limits of this session's pool of connections, or the pool of
            another session to share. None for the defaults, which set no maximum.
        timeout: What a call without a `timeout` uses: seconds, a `(connect, read)` tuple or a
            `Timeout`. None for no limit.
        retries: How often a failed request is repeated: a number, or a `Retry`. None for never.
        listeners: Called with each event of the pool and its connections.
        replay: Which requests are sent once more, on a new connection, when a kept one turns out
            to be dead: `"safe"` (those whose method, or an `Idempotency-Key`, allows it),
            `"always"` or `"off"`.
        runtime: How this session waits. None as the code that makes it: by blocking its thread, or
            in a greenlet of an `AsyncSession`.
        strict: Refuse every response head that breaks RFC 9112, instead of repairing what is
            harmless (see docs/odd-heads.md).
        tls_truncation: What comes of a body without length over TLS whose server closes without
            close_notify: `"error"`, since an attacker can cut such a body short, or `"allow"`.
        max_response_fields: The most header fields of a response. None for 512, or
            `http.client._MAXHEADERS` where a program has changed that.
        request_hooks: Called before each request is sent, each retry and redirect included. A hook
            may add header fields, and returns a function to call afterwards, or None; see
            docs/tracing.md.
        parser: What reads response heads: `"h11"`, `"httptools"` (the extra `fast`), or `"auto"`
            for what `POOLEDHTTP_PARSER` says, or else httptools if it is installed.

    Raises:
        TypeError: An argument is of a type that it does not take; the message names it.
        ValueError: The same for a value.

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

    @explain_misspelt(
        __attrs__, by_name=True, advice={**pool_advice("Session(pool={})"), "limits": "pool"}
    )
    def __init__(
        self,
        *,
        pool: PoolConfig | PoolView | TransportManager | None = None,
        timeout: TimeoutInput = None,
        retries: int | Retry | None = None,
        listeners: Iterable[Listener] = (),
        replay: Replay = "safe",
        runtime: Runtime | None = None,
        strict: bool = False,
        tls_truncation: TlsTruncation = "error",
        max_response_fields: int | None = None,
        request_hooks: Iterable[RequestHook] = (),
        parser: ParserChoice = "auto",
    ) -> None:
        self._extras = SessionExtras(
            pool,
            timeout,
            retries,
            check_listeners(listeners),
            replay,
            current_runtime() if runtime is None else runtime,
            strict,
            tls_truncation,
            max_response_fields,
            check_request_hooks(request_hooks),
            parser,
        )
        self.headers: CaseInsensitiveDict[str] = default_headers()  # type: ignore[assignment]
        self.auth: AuthInput = None
        self.proxies: MutableMapping[str, str] = {}
        self.hooks: dict[str, list[Hook]] = default_hooks()
        self.params: MutableMapping[str, Any] = {}
        self.stream = False
        self.verify: VerifyInput | None = True
        self.cert: CertInput = None
        self.max_redirects = DEFAULT_REDIRECT_LIMIT
        self.trust_env = True
        self.cookies = cookiejar_from_dict({})
        self.adapters: MutableMapping[str, BaseAdapter] = OrderedDict()
        self.mount("https://", self._default_adapter())
        self.mount("http://", self._default_adapter())
        settle_attributes(self)

    def _default_adapter(self) -> BaseAdapter:
        # No pool argument: such an adapter joins the session's pool when it is mounted.
        retries = self._extras.retries
        return HTTPAdapter() if retries is None else HTTPAdapter(max_retries=retries)

    def __enter__(self) -> Self:
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
        settle_attributes(self)

    # --- preparing -------------------------------------------------------------------------------

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Return a request as it will be sent, with this session's settings in it.

        Args:
            request: What to send. It is not changed.

        Raises:
            RequestException: Something in it cannot be sent; the class says what.
            AttributeError: It is no `Request`, or one without a method.
        """
        if type(request) is not Request:
            check_unprepared(request)
        try:
            verb = request.method.upper()  # type: ignore[union-attr]
        except AttributeError:
            raise wrong_method(request.method) from None
        return _prepare(
            self,
            _calls_as_defined(),
            verb,
            request.url,
            request.headers,
            request.files,
            request.data,
            request.json,
            request.params,
            request.auth,
            request.cookies,
            request.hooks,
        )

    def merge_environment_settings(
        self,
        url: str,
        proxies: ProxiesInput,
        stream: bool | None,
        verify: VerifyInput | None,
        cert: CertInput,
    ) -> dict[str, Any]:
        """Combine what a call says with the environment and with this session.

        Args:
            url: Where the request goes; it decides whether a proxy of the environment applies.
            proxies: Of the call. With None, the proxies of the environment are left out, as in
                requests; an empty mapping says nothing.
            stream: Of the call. None if it says nothing.
            verify: As `stream`.
            cert: As `stream`.

        Returns:
            The four settings by name: `proxies`, `stream`, `verify` and `cert`.

        Raises:
            AttributeError: `proxies` is no mapping.
        """
        if self.trust_env:
            if proxies or get_environ_proxies is not _ENVIRON_PROXIES or may_name_proxies():
                try:
                    no_proxy = proxies.get("no_proxy") if proxies else None
                except AttributeError:
                    raise AttributeError(
                        "proxies must be a mapping, such as {'https': 'http://proxy:3128'}, not "
                        f"{described(proxies)}"
                    ) from None
                found = get_environ_proxies(url, no_proxy=no_proxy)
                if found and proxies is not None:
                    proxies = {**found, **proxies}
            # True says "verify", and the variable says with what: libraries hand True on with every
            # call. A path, a context or False, of the call or of the session, beats the variable.
            if verify is True or (verify is None and (self.verify is True or self.verify is None)):
                verify = bundle_from_environment() or verify
        if merge_setting is _MERGE and proxies == {} and self.proxies == {}:
            return {  # no value of the others is a mapping, which would have to be merged
                "proxies": {},
                "stream": self.stream if stream is None else stream,
                "verify": self.verify if verify is None else verify,
                "cert": self.cert if cert is None else cert,
            }
        return {
            "proxies": merge_setting(proxies, self.proxies),
            "stream": merge_setting(stream, self.stream),
            "verify": merge_setting(verify, self.verify),
            "cert": merge_setting(cert, self.cert),
        }

    # --- sending ---------------------------------------------------------------------------------

    def request(
        self,
        method: str | bytes,
        url: UrlInput,
        params: ParamsInput = None,
        data: DataInput = None,
        headers: HeadersInput = None,
        cookies: CookiesInput = None,
        files: FilesInput = None,
        auth: AuthInput = None,
        timeout: TimeoutInput = None,
        allow_redirects: bool = True,
        proxies: ProxiesInput = None,
        hooks: HooksInput | None = None,
        stream: bool | None = None,
        verify: VerifyInput | None = None,
        cert: CertInput = None,
        json: JsonInput = None,
    ) -> Response:
        """Prepare and send a request, and return the response.

        A status of 400 or more is a response like others; `Response.raise_for_status` raises for
        it. What the session says holds for what a call leaves out.

        Args:
            method: The method, such as `"GET"`, in any case.
            url: The URL, with its scheme.
            params: Added to the query of the URL: a mapping, pairs, or text. None adds nothing.
            data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes,
                which is sent in chunks (RFC 9112, section 7.1). None sends none.
            headers: Header fields, added to the session's. None as a value removes the session's
                field of that name.
            cookies: A mapping or a jar, added to the session's. The cookies of a mapping go to the
                server that is called, and to no other one to which it redirects.
            files: Files to upload as `multipart/form-data` (RFC 7578): field name to file, or to
                `(filename, file[, content_type[, headers]])`.
            auth: `(user, password)` for Basic (RFC 7617), or a callable that alters the prepared
                request. None for the session's, or else that of netrc.
            timeout: Seconds for the connection and for each wait for data, `(connect, read)`, or a
                `Timeout`, which can also limit the whole call. None for the session's, which has
                none by default.
            allow_redirects: Whether redirects are followed, at most `max_redirects` of them.
            proxies: Scheme (or `scheme://host`) to URL of a proxy, added to the session's. None
                for the session's, or else those of the environment.
            hooks: Event to callback or callbacks. The one event is `"response"`.
            stream: Whether the body is left unread until asked for. Then read it to its end, or
                close the response: until then it keeps its connection. None for the session's.
            verify: Whether certificates are checked; or the path of a CA bundle, or an
                `SSLContext`. None for the session's. A path, a context or False overrules
                `REQUESTS_CA_BUNDLE`; True does not.
            cert: Client certificate: a path, or `(certificate, key)`. None for the session's.
            json: A value to send as JSON, if there is no `data`. None sends none.

        Returns:
            The response, after redirects. `Response.history` has those that led to it.

        Raises:
            ConnectionError: No connection, or it broke; `SSLError` and `ProxyError` are such.
            Timeout: A limit of `timeout` was reached: `ConnectTimeout`, `ReadTimeout` and others.
            TooManyRedirects: There were more than `max_redirects`.
            RequestException: The base of these and of all other failures of a request, such as
                `InvalidURL` and `InvalidHeader`.
            TypeError, ValueError, AttributeError: An argument has a wrong type or value.
        """
        try:
            verb = method.upper()
        except AttributeError:
            raise wrong_method(method) from None
        if (
            hooks is None
            and type(self).prepare_request is _PREPARE_REQUEST
            and "prepare_request" not in self.__dict__
            and _calls_as_defined()
        ):
            prepared = _prepare(
                self,
                True,
                verb,
                url,
                {} if headers is None else headers,
                files,
                data or {},
                json,
                params or {},
                auth,
                cookies,
                None,
            )
        else:
            prepared = self.prepare_request(
                Request(
                    method=verb,
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
        try:
            merged = _MERGED(settings)
        except KeyError:
            merged = ()
        if len(settings) != len(merged):  # those of a subclass
            return self.send(prepared, timeout=timeout, allow_redirects=allow_redirects, **settings)
        # Written out: Python would copy the table twice for `**settings`.
        return self.send(
            prepared,
            timeout=timeout,
            allow_redirects=allow_redirects,
            proxies=merged[0],
            stream=merged[1],
            verify=merged[2],
            cert=merged[3],
        )

    def get(
        self, url: UrlInput, params: ParamsInput = None, **kwargs: Unpack[GetOptions]
    ) -> Response:
        """Send a GET, and return the response.

        Args:
            url: The URL, with its scheme.
            params: Added to the query of the URL: a mapping, pairs, or text. None adds nothing.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("GET", url, params=params, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def options(self, url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
        """Send an OPTIONS, and return the response.

        Args:
            url: The URL, with its scheme.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("OPTIONS", url, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def head(self, url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
        """Send a HEAD, and return the response. Redirects are not followed by default.

        Args:
            url: The URL, with its scheme.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        kwargs.setdefault("allow_redirects", False)
        try:
            return self.request("HEAD", url, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def post(
        self,
        url: UrlInput,
        data: DataInput = None,
        json: JsonInput = None,
        **kwargs: Unpack[PostOptions],
    ) -> Response:
        """Send a POST, and return the response.

        Args:
            url: The URL, with its scheme.
            data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
                None sends none.
            json: A value to send as JSON, if there is no `data`. None sends none.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("POST", url, data=data, json=json, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def put(self, url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]) -> Response:
        """Send a PUT, and return the response.

        Args:
            url: The URL, with its scheme.
            data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
                None sends none.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("PUT", url, data=data, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def patch(
        self, url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]
    ) -> Response:
        """Send a PATCH, and return the response.

        Args:
            url: The URL, with its scheme.
            data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
                None sends none.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("PATCH", url, data=data, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def delete(self, url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
        """Send a DELETE, and return the response.

        Args:
            url: The URL, with its scheme.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        try:
            return self.request("DELETE", url, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request, and follow redirects through this same method.

        Args:
            request: What to send, as it is.
            **kwargs: `stream`, `timeout`, `verify`, `cert`, `proxies` and `allow_redirects` as for
                `request`; those that are missing are taken from the session. Any other one is
                handed to the adapter.

        Raises:
            ValueError: `request` is not prepared.
            AttributeError: `request` is no request, or has no URL.
            TypeError: The adapter does not take one of the arguments.
            RequestException: The request failed; the class says how.
        """
        if type(request) is not PreparedRequest:
            _check_sendable(request)
        is_hop = getattr(request, "_is_hop", False) is True
        if is_hop:
            del request._is_hop
        allow_redirects = kwargs.pop("allow_redirects", True)
        try:
            timeout = _GIVEN(kwargs)[0]
            is_complete = type(timeout) in _LIMITS
        except KeyError:
            timeout, is_complete = None, False
        if not is_complete or (timeout is None and self._extras.timeout is not None):
            self._complete(request, kwargs)
        response = self._exchange(request, kwargs)
        try:
            if request.hooks != _NO_HOOKS or dispatch_hook is not _DISPATCH:
                response = _hooked(response, request.hooks, kwargs)
            for earlier in response.history:  # an auth hook sent the request again
                _store_cookies(self.cookies, earlier.request, earlier)
            _store_cookies(self.cookies, request, response)
            # Overridden, these methods may follow what is no redirect by its status.
            may_lead_on = response.is_redirect or not _REDIRECTING.are_used_by(self)
            if may_lead_on and allow_redirects:
                history = [response, *self.resolve_redirects(response, request, **kwargs)]
                response = history.pop()
                if history:
                    response.history = history
            elif may_lead_on and not is_hop:
                ahead = self.resolve_redirects(response, request, yield_requests=True, **kwargs)
                response._next = next(ahead, None)  # type: ignore[assignment]
            is_discarded = is_hop and may_lead_on and self.get_redirect_target(response) is not None
            if not kwargs["stream"] and not is_discarded:
                response.content  # noqa: B018  # read now, so that the connection is free
        except BaseException as error:
            _leave(response, error, kwargs["stream"])
            raise
        return response

    def _complete(self, request: PreparedRequest, kwargs: dict[str, Any]) -> None:
        """Fill in those arguments of the adapter that the caller did not give."""
        kwargs.setdefault("stream", self.stream)
        kwargs.setdefault("verify", self.verify)
        kwargs.setdefault("cert", self.cert)
        if "proxies" not in kwargs:
            kwargs["proxies"] = resolve_proxies(request, self.proxies, self.trust_env)
        timeout = kwargs.get("timeout")
        if timeout is None and self._extras.timeout is not None:
            timeout = kwargs["timeout"] = self._extras.timeout
        if isinstance(timeout, Timeout) and timeout.total is not None:
            # Redirects, auth and retries get this running copy: they share the time that is left.
            runtime = self._extras.runtime
            kwargs["timeout"] = timeout.start() if runtime is None else timeout.start(runtime.now)

    def _exchange(self, request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
        """Have the adapter send, and note how long that took."""
        adapter = self.get_adapter(url=request.url)
        given = kwargs.get("timeout")
        if type(given) is Timeout and not isinstance(adapter, BaseAdapter):
            kwargs = {**kwargs, "timeout": timeout_pair(given)}  # other packages know no `Timeout`
        started = preferred_clock()
        if len(kwargs) == 5 and "timeout" in kwargs:  # and the four that `send` has seen to
            given_timeout, stream, verify, cert, proxies = _GIVEN(kwargs)
            response: Response = adapter.send(
                request,
                timeout=given_timeout,
                stream=stream,
                verify=verify,
                cert=cert,
                proxies=proxies,
            )
        else:
            try:
                response = adapter.send(request, **kwargs)
            except TypeError as error:
                name_meant_setting(error, kwargs)
                raise
        # Our adapter measures up to the arrival of the head, which may be before it returns.
        is_measured = isinstance(response, Response) and response._arrival is not None
        if not (isinstance(adapter, HTTPAdapter) and (is_measured or response.elapsed)):
            response.elapsed = timedelta(seconds=preferred_clock() - started)
        return response

    # --- adapters --------------------------------------------------------------------------------

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter whose prefix is the longest that a URL begins with, in any case.

        The adapter for `http://` serves Unix sockets (`http+unix://`) too, unless one is mounted
        for them. `dropin.install` ends that: in requests they have to be mounted.

        Args:
            url: The URL of a request.

        Raises:
            InvalidSchema: There is none.
            AttributeError: `url` is no text.
        """
        adapters = self.adapters
        try:
            if len(adapters) == 2 and "http://" in adapters and "https://" in adapters:
                # The usual table. Each is looked for by its whole prefix.
                if url[:8] == "https://":
                    return adapters["https://"]
                if url[:7] == "http://":
                    return adapters["http://"]
            lowered = url.lower()
        except (AttributeError, TypeError):
            if isinstance(url, (str, bytes)):
                raise
            raise AttributeError(
                f"url must be a str, such as 'https://example.com/', not {url!r}"
            ) from None
        for prefix, adapter in adapters.items():
            if lowered.startswith(prefix.lower()):
                found: BaseAdapter = adapter
                return found
        for prefix, other in ALSO_SERVED.items():
            plain = adapters.get(other)
            if lowered.startswith(prefix) and isinstance(plain, HTTPAdapter):
                return plain
        raise _no_adapter(url)

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Send requests whose URL starts with `prefix` through an adapter.

        An `HTTPAdapter` that has no pool of its own joins the session's. An adapter of requests is
        accepted with a `MixedImportWarning`: it has a pool and errors of its own.

        Args:
            prefix: The beginning of URLs, such as `"https://api.example.com"`.
            adapter: What sends them.

        Raises:
            TypeError: `prefix` is no text, or `adapter` has neither `send` nor `close`, or is a
                class.
        """
        check_mount(prefix, adapter)
        if not isinstance(adapter, BaseAdapter):
            warn_of_mixed_import(adapter)
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


def _prepare(
    session: Session,
    is_ours: bool,
    method: Any,
    url: Any,
    headers: Any,
    files: Any,
    data: Any,
    json: Any,
    params: Any,
    auth: Any,
    cookies: Any,
    hooks: Any,
) -> PreparedRequest:
    """Prepare a request from the attributes of `Request`; see `prepare_request`.

    `is_ours` says that everything called here is what this package defines: then what has
    nothing to do is not called. `hooks` may be `None`.
    """
    own, jar, jar_policy = session.headers, session.cookies, None
    fields = copy_of_valid(own) if is_ours and not headers else None
    if fields is None:
        headers = merge_setting(headers, own, dict_class=CaseInsensitiveDict)
    if is_ours and not cookies and type(jar) is RequestsCookieJar and not jar._cookies:
        jar_policy = jar._policy  # there is nothing to choose
    else:
        cookies = _cookies_for(jar, cookies, url, headers if fields is None else fields)
    if session.trust_env and not auth and not session.auth:
        auth = get_netrc_auth(url or "")
    if not is_ours or session.auth is not None:
        auth = merge_setting(auth, session.auth)
    if not is_ours or session.params or (params and type(params) is not dict):
        params = merge_setting(params, session.params)
    if is_ours and session.hooks == _NO_HOOKS and (hooks is None or hooks == _NO_HOOKS):
        hooks = None
    else:
        hooks = merge_hooks(hooks, session.hooks)
    if is_ours:
        prepared = blank_request()
        fill_request(
            prepared,
            True,
            fields,
            jar_policy,
            method,
            url,
            headers,
            files,
            data,
            params,
            auth,
            cookies,
            hooks,
            json,
        )
    else:
        prepared = PreparedRequest()
        prepared.prepare(
            method=method,
            url=url,
            files=files,
            data=data,
            json=json,
            headers=headers,
            params=params,
            auth=auth,
            cookies=cookies,
            hooks=hooks,
        )
    return prepared


def _cookies_for(own: Any, given: Any, url: Any, headers: Any) -> Any:
    """Return a jar with the cookies of a session for a request, and those of the call."""
    if getattr(own, "_cookies", None):
        jar = jar_for(own, _final_url(url), _host_field(headers))
    else:
        jar = jar_for(own, "")
    if not given:
        return jar
    if not isinstance(given, cookielib.CookieJar):
        given = cookiejar_from_dict(given)
    return merge_cookies(jar, given)


#: What `request` does not call as long as it is this.
_PREPARE_REQUEST = Session.prepare_request


def _called() -> tuple[object, ...]:
    """Return what `prepare_request` calls by names in this module, which programs may replace."""
    return (
        CaseInsensitiveDict,
        PreparedRequest,
        Request,
        Request.__init__,
        RequestsCookieJar.__init__,
        default_hooks,
        get_netrc_auth,
        merge_hooks,
        merge_setting,
    )


_CALLED = _called()
_MERGE, _DISPATCH, _ENVIRON_PROXIES = merge_setting, dispatch_hook, get_environ_proxies


def _calls_as_defined() -> bool:
    """Whether what is known of a request's preparation holds: nothing of it was replaced."""
    return _called() == _CALLED and is_preparing_as_defined()


def _no_adapter(url: str) -> InvalidSchema:
    """Return the error for a URL that no prefix of an adapter fits."""
    shown = without_credentials(url)
    advice = "mount one for its scheme, or check the beginning of the URL"
    if "://" not in url and not url.lower().startswith(_WITHOUT_HOSTS):
        # `localhost:8000/x` reads as a URL of the scheme `localhost`. There may be a password.
        shown = without_credentials(f"//{shown}").removeprefix("//")
        advice = f"the URL has no scheme. Perhaps you meant http://{shown.lstrip('/')}?"
    return InvalidSchema(f"No connection adapters were found for {shown!r}: {advice}")


def _check_sendable(request: object) -> None:
    """Check what is not an instance of `PreparedRequest` itself.

    Raises:
        ValueError: It is not prepared.
        AttributeError: It is no request.
    """
    if isinstance(request, Request):
        raise ValueError("You can only send PreparedRequests.")  # a text that programs look for
    check_prepared(request, ("url", "hooks"))


def _hooked(response: Response, hooks: Any, kwargs: dict[str, Any]) -> Response:
    """Return what the hooks of a request make of its response.

    Raises:
        AttributeError: They return something else than a response.
    """
    hooked: Any = dispatch_hook("response", hooks, response, **kwargs)
    if not isinstance(hooked, Response) and not hasattr(hooked, "history"):
        raise AttributeError(
            "a hook must return a response, or None to keep the one that it was given, not "
            f"{described(hooked)}"
        )
    replaced: Response = hooked
    return replaced


def _leave(response: Response, error: BaseException, stream: bool) -> None:
    """Release the connection of a response that an error keeps from being returned.

    The error's traceback keeps the response alive, perhaps for long. The caller may also want to
    read it: a hook that calls `raise_for_status` hands it over in the error.
    """
    try:
        if getattr(error, "response", None) is not response:
            response.close()
        elif not stream:
            response.content  # noqa: B018  # read now, so that the connection is free
    except Exception:
        pass  # the error that is already being raised says more


def session() -> Session:
    """Return a new `Session`; an older spelling."""
    return Session()


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
