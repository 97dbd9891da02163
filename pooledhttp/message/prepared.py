"""A request in the form that goes to the wire: everything checked, encoded and counted.

`prepare` runs one step per field, in an order in which each step may use those before it:

    method -> url -> headers -> cookies -> body -> auth -> hooks
                                 |          |       |
                                 needs url  adds    may read and replace all of them
                                            Content-*

Each step can be called alone, and every attribute can be set by hand: code built on requests does
both. So no step relies on another having run, beyond the attributes it reads.

Framing is decided here and only once: afterwards the headers hold at most one of `Content-Length`
and `Transfer-Encoding`. A body of known length gets the first; a stream of unknown length the
second, unless the caller states its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from http.cookiejar import CookieJar, CookiePolicy
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pooledhttp.auth import HTTPBasicAuth
from pooledhttp.cookies import (
    RequestsCookieJar,
    _copy_cookie_jar,
    cookiejar_from_dict,
    get_cookie_header,
)
from pooledhttp.exceptions import InvalidHeader, InvalidJSONError
from pooledhttp.hooks import Hook, HooksInput, default_hooks, no_hooks
from pooledhttp.message import payload, urls
from pooledhttp.message.headers import check_header_validity
from pooledhttp.message.lazy import LazyAttributes, lazy
from pooledhttp.message.mistakes import wrong_method
from pooledhttp.message.types import (
    Body,
    CookiesInput,
    DataInput,
    FilesInput,
    HeadersInput,
    JsonInput,
    ParamsInput,
    UrlInput,
)
from pooledhttp.message.urls import final_target, get_auth_from_url
from pooledhttp.originals import Originals
from pooledhttp.records import described
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import CREDENTIALS, TOKEN

__all__ = ["AuthInput", "PreparedRequest", "RequestEncodingMixin", "RequestHooksMixin"]

#: What `auth=` takes: user name and password, or a callable that signs the prepared request.
AuthInput: TypeAlias = (
    "tuple[str | bytes, str | bytes] | Callable[[PreparedRequest], PreparedRequest] | None"
)

#: A space or line break in a method would write the rest of the request line, or a second request.
_TOKEN = re.compile(TOKEN)

#: Methods that need no check.
_USUAL = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: The classes of `data` of which an empty value is no body.
_EMPTY = (dict, list, type(None))

#: Methods whose meaning does not expect a body, so that a missing one needs no `Content-Length: 0`.
_BODILESS = ("GET", "HEAD")

#: The hooks of most requests.
_NO_HOOKS: Any = default_hooks()

_COOKIE_HEADER = get_cookie_header

#: Fields, in their order, that were found valid; without credentials.
_valid_fields: set[tuple[tuple[str, Any], ...]] = set()
_MAX_VALID = 64
#: Those that were asked for last: most sessions have the same fields in each request.
_last_valid: dict[str, tuple[str, Any]] = {}
_CHECK = check_header_validity


def _remember_valid(fields: tuple[tuple[str, Any], ...]) -> None:
    if all(isinstance(name, str) and isinstance(value, (str, bytes)) for name, value in fields):
        if len(_valid_fields) >= _MAX_VALID:
            _valid_fields.clear()
        _valid_fields.add(fields)


def copy_of_valid(headers: Any) -> CaseInsensitiveDict[Any] | None:
    """Return a copy of fields that were found valid before; `None` if they are not known."""
    if type(headers) is not CaseInsensitiveDict or check_header_validity is not _CHECK:
        return None
    global _last_valid
    store = headers._store
    if store != _last_valid:
        try:
            if tuple(store.values()) not in _valid_fields:
                return None
        except TypeError:
            return None  # a value that cannot be hashed is none of a field
        _last_valid = store.copy()
    twin: CaseInsensitiveDict[Any] = CaseInsensitiveDict.__new__(CaseInsensitiveDict)
    twin._store = store.copy()
    return twin


def is_preparing_as_defined() -> bool:
    """Whether no program has replaced a step of preparing that may be skipped."""
    return get_cookie_header is _COOKIE_HEADER and _STEPS.are_in(PreparedRequest)


def _pairs_of(headers: Any) -> tuple[tuple[Any, Any], ...]:
    try:
        return tuple(headers.items())
    except AttributeError:
        if hasattr(headers, "items"):
            raise
        raise AttributeError(
            "headers must be a mapping, such as {'Accept': 'text/html'}, not "
            f"{described(headers)}"
        ) from None


def _path_url(url: Any) -> str:
    target = final_target(url) if type(url) is str else None
    if target is not None:
        return target
    parts = urlsplit(url)
    path: str = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


_remembered_path_url = lru_cache(maxsize=512)(_path_url)


class RequestHooksMixin:
    """Adding and removing callbacks, for a class with a `hooks` table."""

    hooks: dict[str, list[Hook]]

    def register_hook(self, event: str, hook: Hook | Iterable[Hook]) -> None:
        """Add a callback, or several, for an event; what cannot be called is ignored.

        Raises:
            ValueError: There is no such event.
        """
        if event not in self.hooks:
            raise ValueError(
                f'Unsupported event specified, with event name "{event}". '
                f"The events are {', '.join(map(repr, self.hooks))}."
            )
        if type(hook) is list and not hook:
            return  # as most requests have it
        if callable(hook):
            self.hooks[event].append(hook)
        elif hasattr(hook, "__iter__"):
            self.hooks[event].extend(one for one in hook if callable(one))

    def deregister_hook(self, event: str, hook: Hook) -> bool:
        """Remove a callback; return whether it was there."""
        try:
            self.hooks[event].remove(hook)
        except ValueError:
            return False
        return True


class RequestEncodingMixin:
    """The encoders, as the static methods that plugins call."""

    url: str

    @property
    def path_url(self) -> str:
        """What follows the host: the path, "/" when empty, and the query."""
        url: object = self.url  # set by hand, it may be None or bytes
        # A URL with a password is not kept in memory longer than its request.
        if not isinstance(url, str) or "@" in url:
            return _path_url(url)
        return _remembered_path_url(url)

    @staticmethod
    def _encode_params(data: Any) -> Any:
        return payload.encode_params(data)

    @staticmethod
    def _encode_files(files: Any, data: Any) -> tuple[bytes, str]:
        return payload.encode_files(files, data)


class PreparedRequest(RequestEncodingMixin, RequestHooksMixin, LazyAttributes):
    """The exact request that is sent.

    Attributes:
        method: Upper-case method; None until prepared, like all that follow.
        url: The full URL in its final form.
        headers: `CaseInsensitiveDict` of the fields, in the order they are sent.
        body: Bytes, text (sent as UTF-8), a stream, or None.
        hooks: Event to list of callbacks.
    """

    #: Whether it follows a redirect. The session sets and deletes it.
    _is_hop = False
    #: The policy of a jar without cookies, which is made when it is read.
    _jar_policy: CookiePolicy | None = None

    def __init__(self) -> None:
        # None until prepared. Code that signs or logs a request reads them when they are set:
        # `str | None` would make each such line an error in a strictly typed program.
        self.method: str = None  # type: ignore[assignment]
        self.url: str = None  # type: ignore[assignment]
        self.headers: CaseInsensitiveDict[str] = None  # type: ignore[assignment]
        self._cookies = None
        self.body: Body = None
        self.hooks = default_hooks()
        # Where a stream stood when it was prepared; an object() when it would not tell.
        self._body_position: Any = None

    def _make_jar(self) -> RequestsCookieJar:
        return RequestsCookieJar(self._jar_policy)

    #: The jar the Cookie header was made from; a redirect makes the next one from it.
    _cookies: Any = lazy(_make_jar)

    def __repr__(self) -> str:
        return f"<PreparedRequest [{self.method}]>"

    def prepare(
        self,
        method: str | bytes | None = None,
        url: UrlInput | None = None,
        headers: HeadersInput = None,
        files: FilesInput = None,
        data: DataInput = None,
        params: ParamsInput = None,
        auth: AuthInput = None,
        cookies: CookiesInput = None,
        hooks: HooksInput | None = None,
        json: JsonInput = None,
    ) -> None:
        """Fill in everything from the arguments of a caller. They mean what they mean to `Request`.

        Args:
            method: The method, in any case.
            url: The URL, with its scheme.
            headers: Header fields.
            files: Files to upload.
            data: The body.
            params: Added to the query of the URL.
            auth: `(user, password)` or a callable that alters this request.
            cookies: A mapping or a cookie jar.
            hooks: Event to callback or callbacks.
            json: Sent as JSON, if there is no `data`.

        Raises:
            RequestException: Something cannot be sent; the class says what.
        """
        is_ours = _STEPS.are_used_by(self) and get_cookie_header is _COOKIE_HEADER
        fill_request(
            self,
            is_ours,
            None,
            None,
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

    def copy(self) -> PreparedRequest:
        """Return a copy that can be changed by itself; body and hooks are shared."""
        twin = PreparedRequest()
        twin.method = self.method
        twin.url = self.url
        twin.headers = None if self.headers is None else self.headers.copy()
        twin._cookies = _copy_cookie_jar(self._cookies)
        twin.body = self.body
        twin.hooks = self.hooks
        twin._body_position = self._body_position
        if "_sends" in self.__dict__:
            twin.__dict__["_sends_before"] = self.__dict__["_sends"]
        return twin

    def prepare_method(self, method: str | bytes | None) -> None:
        """Set the method, in upper case.

        Raises:
            AttributeError: It is neither `str` nor `bytes`.
            InvalidHeader: It is not a token (it has a space, a line break or the like in it), so
                that it would change what the rest of the request line says. Also a ValueError.
        """
        if method is not None and method not in _USUAL:
            try:
                name = (method.decode("ascii") if isinstance(method, bytes) else method).upper()
            except AttributeError:
                raise wrong_method(method) from None
            if not _TOKEN.fullmatch(name):
                advice = "; method and URL seem to be swapped" if "://" in name else ""
                raise InvalidHeader(f"Invalid method {name!r}: it must be a single word{advice}")
            method = name
        self.method = method  # type: ignore[assignment]

    @staticmethod
    def _get_idna_encoded_host(host: str) -> str:
        return urls.encode_idna(host)

    def prepare_url(self, url: UrlInput | None, params: ParamsInput) -> None:
        """Set the URL in its final form; see `canonical_url`.

        Raises:
            MissingSchema: It has no scheme.
            InvalidURL: It has no host, or one that cannot be right.
        """
        self.url = urls.canonical_url(url, params)

    def prepare_headers(self, headers: HeadersInput) -> None:
        """Set the header fields; names become `str`, values stay what they are.

        Raises:
            InvalidHeader: A name or value is neither `str` nor `bytes`, starts with white space,
                or has a line break in it.
        """
        known = copy_of_valid(headers)
        if known is not None:
            self.headers = known
            return
        if type(headers) is CaseInsensitiveDict:
            pairs: Any = headers.snapshot()
        else:
            pairs = _pairs_of(headers) if headers else ()
        fields: CaseInsensitiveDict[Any] = CaseInsensitiveDict()
        for name, value in pairs:
            check_header_validity((name, value))
            fields[name.decode("ascii") if isinstance(name, bytes) else name] = value
        self.headers = fields
        if check_header_validity is _CHECK and not fields.has_any(CREDENTIALS):
            _remember_valid(pairs)

    def prepare_cookies(self, cookies: CookiesInput) -> None:
        """Keep the jar, and set the `Cookie` header to its cookies for this URL.

        A `Cookie` header that is there already is kept, as a jar does: call this once per request.

        Args:
            cookies: A cookie jar, which is kept itself, or a mapping.

        Raises:
            InvalidHeader: A cookie has a control character in it.
        """
        jar = cookies if isinstance(cookies, CookieJar) else cookiejar_from_dict(cookies)
        self._cookies = jar
        header = get_cookie_header(jar, self)
        if header is not None:
            self.headers["Cookie"] = header

    def prepare_body(self, data: DataInput, files: FilesInput, json: JsonInput = None) -> None:
        """Set the body, and the headers that describe it.

        Raises:
            NotImplementedError: A stream and files: a multipart body is built in memory.
            InvalidJSONError: `json` cannot be expressed in JSON.
            ValueError: `files` together with `data` that is not a form.
        """
        body: Any = None
        content_type: str | None = None
        if json is None and not files and type(data) in _EMPTY and not data:
            self.prepare_content_length(None)
            self.body = None
            return
        if not data and json is not None:
            body, content_type = self._json_body(json), payload.JSON
        if payload.is_stream(data):
            if files:
                raise NotImplementedError("Streamed bodies and files are mutually exclusive.")
            self._prepare_stream(data)
            return
        if files:
            body, content_type = self._encode_files(files, data)
        elif data:
            body = self._encode_params(data)
            self._note_position(body)
            if not isinstance(data, (str, bytes)) and not hasattr(data, "read"):
                content_type = payload.FORM
        self.prepare_content_length(body)
        # Lower case, as in requests: where `headers` is a plain dict, `responses` counts on an
        # empty "Content-Type" there being filled in.
        if content_type and "content-type" not in self.headers:
            self.headers["Content-Type"] = content_type
        self.body = body

    def _json_body(self, value: Any) -> bytes:
        try:
            return payload.encode_json(value)
        except InvalidJSONError as error:
            error.request = self
            raise

    def _prepare_stream(self, stream: Any) -> None:
        self.body = stream
        self._note_position(stream)
        try:
            length = payload.super_len(stream)
        except (TypeError, AttributeError, ValueError):
            length = 0  # it has something like a length that cannot be asked for
        if length:
            self._frame_by_length(length)
        elif "Content-Length" not in self.headers:
            self.headers["Transfer-Encoding"] = "chunked"
        else:
            # The caller knows better: a generator of a stated length needs no chunks.
            self.headers.pop("Transfer-Encoding", None)

    def _note_position(self, body: Any) -> None:
        """Remember the position in a file, so that it can be sent again from there."""
        if getattr(body, "tell", None) is None:
            return
        try:
            self._body_position = body.tell()
        except OSError:
            # Not None: an unknown position must not read as "no position".
            self._body_position = object()

    def prepare_content_length(self, body: Body) -> None:
        """Set `Content-Length` for a body; for none, where a server would wait for it."""
        if body is not None:
            length = payload.super_len(body)
            if length:
                self._frame_by_length(length)
        elif self.method not in _BODILESS and self.headers.get("Content-Length") is None:
            self.headers["Content-Length"] = "0"

    def _frame_by_length(self, length: int) -> None:
        # Both fields together are how requests are smuggled past proxies (RFC 9112, section 6.1).
        self.headers.pop("Transfer-Encoding", None)
        self.headers["Content-Length"] = str(length)

    def prepare_auth(self, auth: AuthInput, url: UrlInput | None = "") -> None:
        """Apply credentials to this request.

        Args:
            auth: A `(user, password)` pair for basic authentication, a callable that gets and
                returns a request, or None to use the user information of the URL, if any.
            url: Not used; it is there for callers that give it.

        Raises:
            TypeError: `auth` is neither a pair nor a callable.
            AttributeError: The callable returned no request.
        """
        if auth is None and "@" in (self.url or ""):
            credentials = get_auth_from_url(self.url)
            auth = credentials if any(credentials) else None
        if not auth:
            return
        if isinstance(auth, tuple) and len(auth) == 2:
            auth = HTTPBasicAuth(*auth)
        if not callable(auth):
            size = f" of {len(auth)}" if isinstance(auth, tuple) else ""
            raise TypeError(
                "auth must be a (user, password) tuple or a callable that takes a request, not "
                f"{described(auth)}{size}"
            )
        result = _called_with(auth, self)
        if result is not self:
            self.__dict__.update(result.__dict__)
        # It may have put in a body of another length.
        self.prepare_content_length(self.body)

    def prepare_hooks(self, hooks: HooksInput | None) -> None:
        """Add callbacks, event by event, to those that are there.

        Raises:
            ValueError: There is no such event.
            TypeError: `hooks` is no mapping.
        """
        given = hooks or {}
        if not hasattr(given, "__iter__"):
            raise TypeError(no_hooks(given))
        for event in given:
            self.register_hook(event, given[event])


def _called_with(auth: Callable[[PreparedRequest], object], request: PreparedRequest) -> object:
    """Return what an auth callable makes of a request: an object with attributes.

    Raises:
        AttributeError: It returned something else, such as None.
    """
    try:
        result = auth(request)
    except TypeError as error:
        if isinstance(auth, type):
            error.add_note(
                f"auth is the class {auth.__name__}; give an object of it, such as "
                f"{auth.__name__}('user', 'password')."
            )
        raise
    if not hasattr(result, "__dict__"):
        raise AttributeError(
            "a callable that is given as auth must return the request that it gets, not "
            f"{described(result)}"
        )
    return result


def blank_request() -> PreparedRequest:
    """Return what `PreparedRequest()` does, but for the attributes that `fill_request` sets."""
    request = PreparedRequest.__new__(PreparedRequest)
    request.hooks = default_hooks()
    request.body = request._body_position = None
    return request


def fill_request(
    request: PreparedRequest,
    is_ours: bool,
    fields: CaseInsensitiveDict[Any] | None,
    jar_policy: CookiePolicy | None,
    method: Any,
    url: Any,
    headers: Any,
    files: Any,
    data: Any,
    params: Any,
    auth: Any,
    cookies: Any,
    hooks: Any,
    json: Any,
) -> None:
    """Take the steps of `PreparedRequest.prepare`, without those that have nothing to do.

    `is_ours` says that the steps are those that are defined here; all are taken otherwise.
    `fields` are valid header fields that become those of the request, or `None` to prepare
    `headers`; `jar_policy` is that of a jar without cookies, or `None` to prepare `cookies`.
    """
    if is_ours and method in _USUAL:
        request.method = method
    else:
        request.prepare_method(method)
    request.prepare_url(url, params)
    if fields is None:
        request.prepare_headers(headers)
    else:
        request.headers = fields
    if jar_policy is None:
        request.prepare_cookies(cookies)
    else:
        request._jar_policy = jar_policy
    has_body = data or files or json is not None or type(data) not in _EMPTY
    if has_body or not is_ours or request.method not in _BODILESS:
        request.prepare_body(data, files, json)
    else:
        request.body = None
    # Late, so that a signature can cover the whole request.
    if auth or not is_ours or "@" in (request.url or ""):
        request.prepare_auth(auth, url)
    # After auth, which may have added hooks of its own.
    if not is_ours or (hooks and hooks != _NO_HOOKS):
        request.prepare_hooks(hooks)


#: Steps that are left out where they have nothing to do.
_STEPS = Originals(
    PreparedRequest,
    "__init__",
    "prepare",
    "prepare_method",
    "prepare_headers",
    "prepare_cookies",
    "prepare_body",
    "prepare_content_length",
    "prepare_auth",
    "prepare_hooks",
    "register_hook",
)
