"""Cookies: a jar that also works as a dictionary, and the bridge to `http.cookiejar`.

`http.cookiejar` stores and selects cookies, by the rules of `pooledhttp.cookie_rules`. It was
written for `urllib.request` and reads requests and responses of that form. `MockRequest` and
`MockResponse` give it ours in that form.

    Response --MockResponse--> jar.extract_cookies     (extract_cookies_to_jar)
    Request <--MockRequest--- jar.add_cookie_header    (get_cookie_header)

No control character passes in either direction. A `Set-Cookie` line with one is ignored (RFC
6265bis, section 5.6). A cookie of the caller with one is an `InvalidHeader`.
"""

from __future__ import annotations

import calendar
import copy
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from http.cookiejar import Cookie, CookieJar, CookiePolicy
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload
from urllib.parse import urlsplit, urlunsplit

from pooledhttp.cookie_rules import (
    CONTROL,
    Asked,
    BoundedJar,
    ReadableFields,
    Site,
    SitePolicy,
    copy_cookie,
    default_policy,
    goes_by_domain,
    header_for,
    pick_of,
    selects_as_defined,
    site_of,
)
from pooledhttp.exceptions import InvalidHeader
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.originals import Originals
from pooledhttp.records import described
from pooledhttp.runtime import new_rlock

__all__ = [
    "CookieConflictError",
    "MockRequest",
    "MockResponse",
    "RequestsCookieJar",
    "SitePolicy",
    "add_dict_to_cookiejar",
    "cookiejar_from_dict",
    "create_cookie",
    "dict_from_cookiejar",
    "extract_cookies_to_jar",
    "get_cookie_header",
    "merge_cookies",
    "morsel_to_cookie",
    "remove_cookie_by_name",
]

JarT = TypeVar("JarT", bound=CookieJar)
D = TypeVar("D")


class _Sent(Protocol):
    """The part of a request that cookies depend on: its URL and its header fields."""

    @property
    def url(self) -> Any: ...
    @property
    def headers(self) -> Any: ...


class _Keyed(Protocol):
    """Anything with `keys` and items, such as a mapping."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, key: str, /) -> str | None: ...


class CookieConflictError(RuntimeError):
    """More than one cookie has the name, and neither domain nor path was given to choose one."""


class MockRequest:
    """A request in the form that `http.cookiejar` reads.

    New header fields are kept apart, see `get_new_headers`: the request itself is not changed.

    Args:
        request: A request that has a URL and header fields.
    """

    def __init__(self, request: _Sent) -> None:
        self._r = request
        self._new_headers: dict[str, str] = {}
        self._url = urlsplit(_text(request.url))
        self.type = self._url.scheme

    @property
    def site(self) -> Site:
        """What the cookies of the request depend on."""
        headers = self._r.headers
        return _site(self._r.url, headers.get("Host") if headers else None)

    def get_type(self) -> str:
        """Return the URL's scheme."""
        return self.type

    def get_host(self) -> str:
        """Return the URL's host, with the port if it names one."""
        return self._url.netloc

    def get_origin_req_host(self) -> str:
        """Return the host that the user called; third parties are told from it."""
        return self.get_host()

    def get_full_url(self) -> str:
        """Return the URL, with the host of the `Host` header field if there is one.

        Cookies belong to the name by which the server is addressed, which is that of the field.
        """
        host = self._r.headers.get("Host") if self._r.headers else None
        if not host:
            return _text(self._r.url)
        return urlunsplit(self._url._replace(netloc=_text(host)))

    def is_unverifiable(self) -> bool:
        """Return whether the user had no chance to approve this request: always true."""
        return True

    def has_header(self, name: str) -> bool:
        """Return whether the request has the header field, or got it since."""
        return name in self._r.headers or name in self._new_headers

    def get_header(self, name: str, default: str | None = None) -> Any:
        """Return a header field, the request's own first, or `default`."""
        return self._r.headers.get(name, self._new_headers.get(name, default))

    def add_header(self, key: str, val: str) -> None:
        """Refuse: cookies are never added to the request itself.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("Cookie fields are added by add_unredirected_header().")

    def add_unredirected_header(self, name: str, value: str) -> None:
        """Add a header field for this request, which is not for redirects that follow it."""
        self._new_headers[name] = value

    def get_new_headers(self) -> dict[str, str]:
        """Return the header fields that were added."""
        return self._new_headers

    @property
    def unverifiable(self) -> bool:
        """Whether the request is unverifiable, as an attribute; see `is_unverifiable`."""
        return self.is_unverifiable()

    @property
    def origin_req_host(self) -> str:
        """The host of the first request, as an attribute; see `get_origin_req_host`."""
        return self.get_origin_req_host()

    @property
    def host(self) -> str:
        """The host of the request, as an attribute; see `get_host`."""
        return self.get_host()


class MockResponse:
    """The header fields of a response, in the form that `http.cookiejar` reads.

    Args:
        headers: The fields, as an `email.message.Message` or something else with its `get_all`.
    """

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def info(self) -> Any:
        """Return the header fields."""
        return self._headers

    def getheaders(self, name: str) -> Any:
        """Return every value of one field."""
        return self._headers.get_all(name)


class RequestsCookieJar(BoundedJar, MutableMapping[str, str | None]):
    """A cookie jar that is also a dictionary of names and values.

    Iterating yields `Cookie` objects, as for every jar; `keys`, `values` and `items` are lists of
    strings. Cookies of several domains and paths may have the same name: then `jar[name]` raises
    `CookieConflictError`, and `get` and `set` take `domain` and `path` to choose one.

    Args:
        policy: What is stored and what is sent. `None` is a `SitePolicy`, or while
            `http.cookiejar.DefaultCookiePolicy` is replaced, an instance of what replaces it.
    """

    def __init__(self, policy: CookiePolicy | None = None) -> None:
        super().__init__(default_policy() if policy is None else policy)

    @overload
    def get(
        self, name: str, default: None = None, domain: str | None = None, path: str | None = None
    ) -> str | None: ...
    @overload
    def get(
        self, name: str, default: D, domain: str | None = None, path: str | None = None
    ) -> str | D | None: ...
    def get(
        self, name: str, default: Any = None, domain: str | None = None, path: str | None = None
    ) -> Any:
        """Return a cookie's value.

        Args:
            name: The cookie's name.
            default: What to return when there is none.
            domain: Only a cookie of exactly this domain. `None` takes any.
            path: Only a cookie of exactly this path. `None` takes any.

        Raises:
            CookieConflictError: Several cookies match.
        """
        try:
            return self._find_no_duplicates(name, domain, path)
        except KeyError:
            return default

    def set(self, name: str, value: str | Morsel[Any] | None, **kwargs: Any) -> Cookie | None:
        """Store a cookie.

        Args:
            name: The cookie's name; a `Morsel` brings its own.
            value: Its value. `None` removes the cookies of that name (and `domain` and `path`, if
                given).
            **kwargs: Attributes as `create_cookie` takes them.

        Returns:
            The cookie stored, or `None` after a removal.

        Raises:
            InvalidHeader: The name or the value holds a control character.
        """
        if value is None:
            remove_cookie_by_name(self, name, kwargs.get("domain"), kwargs.get("path"))
            return None
        if isinstance(value, Morsel):
            cookie = morsel_to_cookie(value)
        else:
            cookie = create_cookie(name, value, **kwargs)
        self.set_cookie(cookie)
        return cookie

    def iterkeys(self) -> Iterator[str]:
        """Iterate over the cookies' names."""
        return (cookie.name for cookie in self)

    def keys(self) -> list[str]:  # type: ignore[override]
        """Return the names of the cookies; one that several domains use is there several times."""
        return list(self.iterkeys())

    def itervalues(self) -> Iterator[str | None]:
        """Iterate over the cookies' values."""
        return (cookie.value for cookie in self)

    def values(self) -> list[str | None]:  # type: ignore[override]
        """Return the cookies' values."""
        return list(self.itervalues())

    def iteritems(self) -> Iterator[tuple[str, str | None]]:
        """Iterate over pairs of name and value."""
        return ((cookie.name, cookie.value) for cookie in self)

    def items(self) -> list[tuple[str, str | None]]:  # type: ignore[override]
        """Return pairs of name and value; `dict(jar.items())` is the jar as a plain dictionary."""
        return list(self.iteritems())

    def list_domains(self) -> list[str]:
        """Return each domain there is a cookie for, once."""
        return list(dict.fromkeys(cookie.domain for cookie in self))

    def list_paths(self) -> list[str]:
        """Return each path there is a cookie for, once."""
        return list(dict.fromkeys(cookie.path for cookie in self))

    def multiple_domains(self) -> bool:
        """Return whether two cookies share one named domain."""
        named = [cookie.domain for cookie in self if cookie.domain is not None]
        return len(set(named)) < len(named)

    def get_dict(self, domain: str | None = None, path: str | None = None) -> dict[str, str | None]:
        """Return names and values as a dictionary.

        Args:
            domain: Only cookies of exactly this domain. `None` takes all.
            path: Only cookies of exactly this path. `None` takes all.
        """
        return {cookie.name: cookie.value for cookie in _matching(self, None, domain, path)}

    def __iter__(self) -> Iterator[Cookie]:  # type: ignore[override]
        return super().__iter__()

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self)

    def __getitem__(self, name: str) -> str | None:
        return self._find_no_duplicates(name)

    def __setitem__(self, name: str, value: str | Morsel[Any] | None) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        remove_cookie_by_name(self, name)

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        """Store a cookie object; escaped quotes are removed from a value in quotes."""
        value = cookie.value
        if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
            cookie.value = value.replace('\\"', "")
        super().set_cookie(cookie, *args, **kwargs)

    def update(
        self,
        other: CookieJar | _Keyed | Iterable[tuple[str, str | None]] = (),
        /,
        **kwargs: str | None,
    ) -> None:
        """Store copies of another jar's cookies, or the names and values of a mapping."""
        if isinstance(other, CookieJar):
            for cookie in other:
                self.set_cookie(copy_cookie(cookie))
            other = ()
        super().update(other, **kwargs)

    def copy(self) -> RequestsCookieJar:
        """Return a new jar with copies of the cookies and the same policy."""
        twin = RequestsCookieJar(self.get_policy())
        twin.update(self)
        return twin

    def get_policy(self) -> CookiePolicy:
        """Return the policy that decides what is stored and what is sent."""
        return self._policy  # type: ignore[no-any-return]

    def _find(self, name: str, domain: str | None = None, path: str | None = None) -> str | None:
        """Return the value of the first cookie that matches.

        Raises:
            KeyError: There is none.
        """
        for cookie in _matching(self, name, domain, path):
            return cookie.value
        raise KeyError(f"name={name!r}, domain={domain!r}, path={path!r}")

    def _find_no_duplicates(
        self, name: str, domain: str | None = None, path: str | None = None
    ) -> str | None:
        """Return the value of the one cookie that matches.

        Raises:
            KeyError: There is none.
            CookieConflictError: There are several.
        """
        found = list(_matching(self, name, domain, path))
        if len(found) > 1:
            raise CookieConflictError(f"There are multiple cookies with name, {name!r}")
        return found[0].value if found else self._find(name, domain, path)

    def __getstate__(self) -> dict[str, Any]:
        self._drop_picks()
        cookies = self._cookies  # first: it makes the cookies of a pick, which is then gone
        state = {**self.__dict__, "_cookies": cookies}
        for name in ("_cookies_lock", "_picks"):
            state.pop(name, None)  # locks do not pickle
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_cookies_lock", new_rlock())
        self.__dict__.setdefault("_had_secure", True)  # not known of another release's pickle


def create_cookie(name: str, value: str | None, **kwargs: Any) -> Cookie:
    """Make a cookie; without further attributes it is sent to every host and path.

    Args:
        name: The cookie's name.
        value: Its value.
        **kwargs: Attributes that differ from the defaults: `version` 0, `port` None, `domain` `""`,
            `path` `"/"`, `secure` False, `expires` None (seconds since the epoch), `discard` True,
            `comment` None, `comment_url` None, `rest` `{"HttpOnly": None}`, `rfc2109` False.

    Raises:
        TypeError: A keyword is not one of these.
        InvalidHeader: The name or the value holds a control character.
    """
    facts: dict[str, Any] = {
        "version": 0,
        "port": None,
        "domain": "",
        "path": "/",
        "secure": False,
        "expires": None,
        "discard": True,
        "comment": None,
        "comment_url": None,
        "rest": {"HttpOnly": None},
        "rfc2109": False,
    }
    unknown = [key for key in kwargs if key not in facts]
    if unknown:
        raise TypeError(f"create_cookie() got unexpected keyword arguments: {unknown}")
    facts.update(kwargs)
    _refuse_control(f"The cookie {name!r}", name, value)
    return Cookie(
        name=name,
        value=value,
        port_specified=bool(facts["port"]),
        domain_specified=bool(facts["domain"]),
        domain_initial_dot=facts["domain"].startswith("."),
        path_specified=bool(facts["path"]),
        **facts,
    )


def morsel_to_cookie(morsel: Morsel[Any]) -> Cookie:
    """Make a cookie from an `http.cookies.Morsel`.

    Raises:
        TypeError: Its `max-age` is not a number of seconds.
        ValueError: Its `expires` is not a date of the form `Thu, 01-Jan-1970 00:00:01 GMT`.
    """
    expires: int | None = None
    if morsel["max-age"]:
        try:
            expires = int(time.time() + int(morsel["max-age"]))
        except ValueError:
            raise TypeError(f"max-age: {morsel['max-age']} must be integer") from None
    elif morsel["expires"]:
        moment = time.strptime(morsel["expires"], "%a, %d-%b-%Y %H:%M:%S GMT")
        expires = calendar.timegm(moment)
    return create_cookie(
        morsel.key,
        morsel.value,
        version=morsel["version"] or 0,
        domain=morsel["domain"],
        path=morsel["path"],
        secure=bool(morsel["secure"]),
        expires=expires,
        discard=False,
        comment=morsel["comment"],
        comment_url=bool(morsel["comment"]),
        rest={"HttpOnly": morsel["httponly"]},
    )


@overload
def cookiejar_from_dict(
    cookie_dict: Mapping[str, str | None] | None, cookiejar: None = None, overwrite: bool = True
) -> RequestsCookieJar: ...
@overload
def cookiejar_from_dict(
    cookie_dict: Mapping[str, str | None] | None, cookiejar: JarT, overwrite: bool = True
) -> JarT: ...
def cookiejar_from_dict(
    cookie_dict: Mapping[str, str | None] | None,
    cookiejar: CookieJar | None = None,
    overwrite: bool = True,
) -> CookieJar:
    """Store names and values in a jar.

    Args:
        cookie_dict: Names and values. `None` adds nothing.
        cookiejar: The jar to add to. `None` makes a new `RequestsCookieJar`.
        overwrite: Whether a name the jar already has is replaced.

    Returns:
        The jar.

    Raises:
        TypeError: `cookie_dict` is no mapping.
    """
    jar = RequestsCookieJar() if cookiejar is None else cookiejar
    if not cookie_dict:
        return jar
    if not hasattr(cookie_dict, "items"):
        raise TypeError(
            "cookies must be a mapping, such as {'name': 'value'}, or a CookieJar, not "
            f"{described(cookie_dict)}"
        )
    taken = set() if overwrite else {cookie.name for cookie in jar}
    for name, value in cookie_dict.items():
        if name not in taken:
            jar.set_cookie(create_cookie(name, value))
    return jar


def add_dict_to_cookiejar(cj: JarT, cookie_dict: Mapping[str, str | None]) -> JarT:
    """Store names and values in a jar of any kind, and return it; they replace equal names."""
    return cookiejar_from_dict(cookie_dict, cj)


def dict_from_cookiejar(cj: CookieJar) -> dict[str, str | None]:
    """Return the names and values in a jar; of several cookies of one name the last."""
    return {cookie.name: cookie.value for cookie in cj}


def merge_cookies(cookiejar: JarT, cookies: Mapping[str, str | None] | CookieJar | None) -> JarT:
    """Add cookies to a jar; from a mapping only the names it does not have yet.

    Args:
        cookiejar: The jar, of any kind.
        cookies: A jar or a mapping of names and values. Anything else adds nothing, as in requests:
            programs set `session.cookies` to an empty list.

    Returns:
        The jar.

    Raises:
        ValueError: `cookiejar` is not a cookie jar.
    """
    if not isinstance(cookiejar, CookieJar):
        raise ValueError("You can only merge into CookieJar")
    if isinstance(cookies, CookieJar):
        update = getattr(cookiejar, "update", None)
        if update is not None:
            update(cookies)
        else:
            for cookie in cookies:
                cookiejar.set_cookie(cookie)
    elif hasattr(cookies, "items"):
        cookiejar_from_dict(cookies, cookiejar, overwrite=False)
    return cookiejar


def remove_cookie_by_name(
    cookiejar: CookieJar, name: str, domain: str | None = None, path: str | None = None
) -> None:
    """Remove the cookies of a name; of exactly that `domain` and `path` if given."""
    for cookie in list(_matching(cookiejar, name, domain, path)):
        cookiejar.clear(cookie.domain, cookie.path, cookie.name)


def extract_cookies_to_jar(jar: CookieJar, request: _Sent, response: Any) -> None:
    """Store the cookies a response sets.

    Args:
        jar: The jar to store them in.
        request: The request.
        response: The raw response to it. Its header fields are in `_original_response`; a response
            without one sets no cookies.
    """
    original = getattr(response, "_original_response", None)
    if not original:
        return
    headers = ReadableFields(original.msg)
    if headers.any():
        # The jar is typed for urllib.request; it reads only what these two classes have.
        jar.extract_cookies(MockResponse(headers), MockRequest(request))  # type: ignore[arg-type]


def get_cookie_header(jar: CookieJar, request: _Sent) -> str | None:
    """Return the `Cookie` field that a jar gives a request.

    Returns:
        The field's value, or `None` if no cookie of the jar is for that request.

    Raises:
        InvalidHeader: A cookie for that request holds a control character.
    """
    kind = type(jar)
    pick = pick_of(jar) if kind is RequestsCookieJar else None
    if pick is None and (kind is RequestsCookieJar or kind is CookieJar) and not jar._cookies:  # type: ignore[attr-defined]
        return None  # most requests: there is nothing to choose from
    if type(jar) is RequestsCookieJar and selects_as_defined(jar):
        headers = request.headers
        if headers and "Cookie" in headers:
            return None
        site = _site(request.url, headers.get("Host") if headers else None)
        header = header_for(jar, site)
        if pick is not None and not pick.is_for(site):
            pick = None
    else:
        pick = None
        asked = MockRequest(request)
        jar.add_cookie_header(asked)  # type: ignore[arg-type]
        header = asked.get_new_headers().get("Cookie")
    if header is not None and not (pick is not None and pick.is_checked):
        _refuse_control("The cookies of this request", header)
        if pick is not None:
            pick.is_checked = True
    return header


def _new_jar(policy: CookiePolicy | None) -> RequestsCookieJar:
    """Make an empty jar; its lock is made when it is needed, as few jars of requests need one."""
    if policy is None or not _MAKING.are_in(RequestsCookieJar) or CookieJar.__init__ is not _INIT:
        return RequestsCookieJar(policy)
    jar = RequestsCookieJar.__new__(RequestsCookieJar)
    jar._policy = policy
    jar._cookies = {}
    return jar


#: How a jar is made.
_MAKING = Originals(RequestsCookieJar, "__init__")
_INIT = CookieJar.__init__


def jar_for(jar: Any, url: str, host: str | bytes | None = None) -> Any:
    """Return a jar with copies of the cookies that a request may carry, and the same policy.

    Cookies of other hosts are left out where that makes no difference to what is sent, so that the
    cost of a request does not grow with them.

    Args:
        jar: A session's cookies: a jar of any kind, or a mapping.
        url: Where the request goes, in its final form.
        host: The `Host` field of the request, if it has one.
    """
    policy = getattr(jar, "_policy", None)
    picked = _new_jar(policy)
    if type(jar) is RequestsCookieJar and not jar._cookies:
        return picked
    if type(jar) is not RequestsCookieJar or not goes_by_domain(policy):
        return merge_cookies(picked, jar)
    site = _site(url, host)
    if _STORING.are_in(RequestsCookieJar) and "cookies_for" not in jar.__dict__:
        jar.copy_for(picked, site)
    else:
        for cookie in jar.cookies_for(MockRequest(Asked(url, {"Host": host} if host else {}))):
            picked.set_cookie(copy_cookie(cookie))
    return picked


#: The methods by which a jar finds and takes cookies.
_STORING = Originals(RequestsCookieJar, "cookies_for", "set_cookie")


def _site(url: str | bytes, host: str | bytes | None) -> Site:
    """Return what the cookies of a request to `url` depend on.

    Args:
        url: Where the request goes.
        host: The `Host` field of the request, if it has one.
    """
    # A URL with a password is not kept in memory longer than its request.
    if type(url) is str and "@" not in url:
        return _remembered_site(url, host)
    return _read_site(url, host)


def _read_site(url: str | bytes, host: str | bytes | None) -> Site:
    return site_of(MockRequest(Asked(url, {"Host": host} if host else {})))


_remembered_site = lru_cache(maxsize=512)(_read_site)


def _copy_cookie_jar(jar: Any) -> Any:
    """Return a jar of the same kind with copies of the cookies; `None` for `None`."""
    if jar is None:
        return None
    if hasattr(jar, "copy"):
        return jar.copy()
    twin = copy.copy(jar)
    twin.clear()
    for cookie in jar:
        twin.set_cookie(copy.copy(cookie))
    return twin


def _matching(
    jar: CookieJar, name: str | None, domain: str | None, path: str | None
) -> Iterator[Cookie]:
    """Yield a jar's cookies of that name, domain and path; `None` matches all."""
    for cookie in jar:
        if (
            (name is None or cookie.name == name)
            and (domain is None or cookie.domain == domain)
            and (path is None or cookie.path == path)
        ):
            yield cookie


def _refuse_control(subject: str, *parts: object) -> None:
    for part in parts:
        if isinstance(part, str) and CONTROL.search(part):
            raise InvalidHeader(
                f"{subject} cannot be sent: there is a control character in it, such as a line "
                "break or NUL. Encode the value first, for example with urllib.parse.quote."
            )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
