"""Decisions about redirects: where to, with which method, and what is not sent along.

    301 POST          -> GET, no body          303 any but HEAD -> GET, no body
    302 any but HEAD  -> GET, no body          307, 308         -> as before, body sent again

Credentials are not sent to another origin. An origin is scheme, host and port; the one change that
does not count is from http to https on the usual ports of one host.

Nothing here sends or reads; `SessionRedirectMixin` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.cookiejar import Cookie, CookieJar
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from pooledhttp.auth import AuthBase
from pooledhttp.exceptions import InvalidSchema, InvalidURL, TooManyRedirects
from pooledhttp.message import (
    DEFAULT_PORTS,
    canonical_url,
    check_authority,
    check_host,
    requote_uri,
)
from pooledhttp.network import UNIX_SCHEME

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = [
    "KEEPS_BODY",
    "CallCookies",
    "Origin",
    "decode_location",
    "hooks_elsewhere",
    "is_other_origin",
    "method_after",
    "naming_redirect",
    "resolve_location",
    "too_many_redirects",
]

#: Statuses after which the same request is sent again, body and all.
KEEPS_BODY = (307, 308)

#: What parsers of URLs drop before a URL.
_CONTROL_OR_SPACE = "".join(map(chr, range(0x21)))


class Origin(NamedTuple):
    """An origin, with the port spelled out."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """Read the origin of a URL.

        Raises:
            InvalidURL: Its port is not a number, or out of range.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidURL(f"Failed to parse the address of a redirect: {error}") from error
        scheme = parts.scheme.lower()
        if port is None:
            port = DEFAULT_PORTS.get(scheme)
        return cls(scheme, parts.hostname or "", port)


def is_other_origin(old_url: str, new_url: str) -> bool:
    """Return whether credentials for one URL must not be sent to another."""
    old, new = Origin.of(old_url), Origin.of(new_url)
    if old == new:
        return False
    steps = (old.scheme, old.port, new.scheme, new.port)
    return old.host != new.host or steps != ("http", 80, "https", 443)


def method_after(status: int, method: str) -> str:
    """Return the method of the request that follows a redirect."""
    # RFC 9110, section 15.4, allows POST to be kept after 301 and 302; browsers change it to GET.
    if status in (302, 303) and method != "HEAD":
        return "GET"
    if status == 301 and method == "POST":
        return "GET"
    return method


def decode_location(location: str) -> str:
    """Decode a `Location` as UTF-8, which servers send there; fields are read as Latin-1."""
    try:
        octets = location.encode("latin-1")
    except UnicodeEncodeError:
        return location  # not from the wire: it was text from the start
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        # Some other encoding. The server gets back the bytes that it sent.
        return "".join(chr(octet) if octet < 0x80 else quote(bytes((octet,))) for octet in octets)


def resolve_location(location: str, base_url: str, fragment: str) -> str:
    """Return the full address of a redirect.

    Args:
        location: What the server sent: a full address, or one relative to `base_url`.
        base_url: The URL of the response.
        fragment: The fragment to keep if `location` has none of its own.

    Raises:
        InvalidURL: It has no host, or one that is not valid.
    """
    # As the URL standard and `urlsplit` read it: a tab anywhere in a URL is not there, nor are
    # control characters and spaces before it.
    location = location.replace("\t", "").lstrip(_CONTROL_OR_SPACE)
    try:
        if location.startswith("//"):
            location = f"{urlsplit(base_url).scheme}:{location}"
        check_authority(location)
        plain, own_fragment = urldefrag(location)
        parts = urlsplit(plain)
        if parts.netloc:
            plain = parts.geturl()  # its scheme in lower case, and without an empty query
            url = _international(plain) if not plain.isascii() else requote_uri(plain)
        elif parts.scheme in DEFAULT_PORTS and plain[len(parts.scheme) :].startswith("://"):
            # Browsers take the first part of the path for the host, `urljoin` for a path.
            raise InvalidURL(f"{_shown(base_url)} redirects to {location!r}, which has no host.")
        else:
            # RFC 3986, section 5.2.2: the fragment of the base takes no part.
            url = _join(urldefrag(base_url).url, requote_uri(parts.geturl()))
    except ValueError as error:
        if isinstance(error, InvalidURL):
            raise
        text = f"Failed to parse the address to which {_shown(base_url)} redirects: {error}"
        raise InvalidURL(text) from error
    check_authority(url)
    _refuse_other_socket(url, base_url)
    if url[:4].lower() == "http" and urlsplit(url).scheme.lower() in DEFAULT_PORTS:
        check_host(Origin.of(url).host, url)
    kept = own_fragment or fragment
    return f"{url}#{requote_uri(kept)}" if kept else url


def _join(base_url: str, location: str) -> str:
    """Resolve a relative address, also on a Unix socket, whose scheme `urljoin` does not know."""
    if urlsplit(base_url).scheme != UNIX_SCHEME:
        return urljoin(base_url, location)
    return UNIX_SCHEME + urljoin("http" + base_url[len(UNIX_SCHEME) :], location)[len("http") :]


def _refuse_other_socket(url: str, base_url: str) -> None:
    """Refuse a redirect to a Unix socket of this machine, but to the one that was called.

    Raises:
        InvalidURL: The URL is that of another socket.
    """
    there, here = urlsplit(url), urlsplit(base_url)
    if there.scheme == UNIX_SCHEME and (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise InvalidURL(
            f"{_shown(base_url)} redirects to a Unix socket of this machine, {url!r}, which is not "
            "followed. Call that URL yourself if it is meant."
        )


def _shown(url: str) -> str:
    """Return the origin of a URL for a message, without user name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _international(url: str) -> str:
    """Quote a URL; a host beyond ASCII gets its ASCII form instead of percent signs."""
    is_host_ascii = urlsplit(url).netloc.isascii()
    return requote_uri(url) if is_host_ascii else canonical_url(url)


def too_many_redirects(most: int, response: Response) -> TooManyRedirects:
    """Return the error for a chain of redirects that is too long.

    Args:
        most: How many are followed.
        response: The redirect that is not followed any more.
    """
    location = response.headers.get("location")
    return TooManyRedirects(
        f"Exceeded {most} redirects. {_shown(response.url or '')} redirects to {location!r} now; "
        "a loop often has its reason in a cookie that is missing.",
        response=response,
    )


@contextmanager
def naming_redirect(response: Response) -> Iterator[None]:
    """Say in the error for a URL that no adapter serves which server redirects to it.

    Args:
        response: The redirect.
    """
    try:
        yield
    except InvalidSchema as error:
        if error.request is None:  # otherwise it is that of an adapter
            error.args = (f"{error}. {_shown(response.url or '')} redirects there.",)
        raise


class CallCookies:
    """Keeps cookies without a domain from other origins than the one that was called.

    `cookies={...}`, of one call or of the session, makes such cookies. A jar sends them anywhere,
    but the caller meant the server that was called, not one to which it redirects.

    Args:
        url: The URL that was called.
    """

    __slots__ = ("_aside", "_url")

    def __init__(self, url: str) -> None:
        self._url = url
        self._aside: list[Cookie] = []

    def fit(self, jar: CookieJar, url: str) -> None:
        """Take the cookies out of a jar for another origin, or put them back for this one."""
        if is_other_origin(self._url, url):
            loose = [cookie for cookie in jar if not cookie.domain]
            self._aside = loose or self._aside
            for cookie in loose:
                jar.clear(cookie.domain, cookie.path, cookie.name)
        else:
            for cookie in self._aside:
                jar.set_cookie(cookie)
            self._aside.clear()


def hooks_elsewhere(hooks: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the hooks for a request to another origin: all but those that authenticate.

    A handler of digest or NTLM would send its credentials to any server that asks for them.
    """
    return {
        event: [one for one in given if not isinstance(getattr(one, "__self__", None), AuthBase)]
        for event, given in hooks.items()
    }
