"""URLs: the one form that is sent, compared and kept, and URLs as text.

    given                           kept
    "http://Example.com"            "http://example.com/"
    "http://ex.com/a b?c=é#top"     "http://ex.com/a%20b?c=%C3%A9#top"
    "http://straße.de"              "http://xn--strae-oqa.de/"
    "mailto:a@b"                    as it is: only names beginning with "http" are understood

The cookie jar, credentials, proxies and the wire take host and port out of the kept form, each
with its own parser. So the authority is held to a form on which no two parsers differ: a
backslash, a control character, or a space in the host, is refused, not repaired, and so is a host
that no resolver could look up. In the path, and a space in the password, these are percent-encoded:
`requote_uri` is the last step of preparing a URL.

Most URLs are in their final form already. One regular expression recognises those; the others are
parsed by urllib3 and the result is remembered, unless it holds a password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlparse, urlsplit, urlunparse

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from pooledhttp.exceptions import InvalidURL, MissingSchema
from pooledhttp.message.payload import encode_params
from pooledhttp.syntax import DEFAULT_PORTS

__all__ = [
    "DEFAULT_PORTS",
    "UNRESERVED_SET",
    "canonical_target",
    "canonical_url",
    "check_authority",
    "check_host",
    "encode_host",
    "final_target",
    "get_auth_from_url",
    "prepend_scheme_if_needed",
    "requote_uri",
    "unquote_unreserved",
    "urldefragauth",
    "without_credentials",
]

_PATH = r"A-Za-z0-9\-._~!$&'()*+,;=:@/"

#: A URL that canonicalising would leave alone but for an empty path: lower-case name or IPv4
#: address, a port without leading zeros and safely below 65536, nothing percent-encoded.
#: Dot segments need care and are excluded by `_DOTS`. No part can begin with what ends the one
#: before it, so nothing is ever tried again (`+` behind a repeat): that halves the cost.
_FINAL = re.compile(
    r"(https?://[a-z0-9][a-z0-9-]{0,62}+(?:\.[a-z0-9][a-z0-9-]{0,62}+)*+"
    r"(?::(?:[1-5][0-9]{4}|6[0-4][0-9]{3}|[1-9][0-9]{0,3}+))?+)"
    rf"(/[{_PATH}]*+)?+(?:\?([{_PATH}?]++))?+(?:\#([{_PATH}?]++))?+"
)
_DOTS = "/."

#: Authority of a hierarchical URL: up to the first of these, as RFC 3986 reads it. Browsers end it
#: at a backslash too, and that difference is what crafted URLs live on.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
#: A space in the user name or password is harmless: it is sent as `%20`, as in requests.
_UNSAFE_IN_AUTHORITY = re.compile(r"[\x00-\x1f\x7f\\]| (?![^@]*@)")

#: Characters that no host name has, after unreserved ones were decoded. An underscore, though not
#: allowed by RFC 952, is in wide use. The class names what is safe: one that named a range up to
#: the last code point would take 25 million instructions to compile, a twentieth of the import.
_UNSAFE_IN_HOST = re.compile(r"[^!$&'()*+,.0-9;=A-Z_a-z~-]")

#: The last label of what resolvers take for an IPv4 address, in all its old forms (`0x7f.1`).
#: The mapping of UTS 46 makes such digits out of fullwidth, circled and raised ones: a host that
#: passes a filter of addresses as a name and is none.
_NUMERIC = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?$")

#: Limits of the domain name system: bytes of a label, and of a whole name as text.
_MAX_LABEL, _MAX_NAME = 63, 253


class _Parts(NamedTuple):
    """A URL in its kept form, cut where parameters have to go in."""

    head: str  # scheme, "://" and authority
    path: str
    query: str
    fragment: str


def canonical_url(url: Any, params: Any = None) -> str:
    """Bring a URL into the form that is sent, with parameters added to its query.

    Args:
        url: A string, bytes in UTF-8, or anything whose `str()` is a URL. Leading white space is
            dropped.
        params: What `encode_params` takes. Ignored for URLs of a scheme that does not begin with
            "http", which are returned as they are.

    Raises:
        MissingSchema: There is no scheme.
        InvalidURL: There is no host, or host, port or user information cannot be right.
    """
    if requote_uri is not _requote_uri:  # replaced by a program: it gets the whole URL, each time
        text = url.decode("utf-8") if isinstance(url, bytes) else str(url)
        text = text.lstrip()
        is_other = ":" in text and text[:4].lower() != "http"
        return text if is_other else requote_uri(_join(_parse(text), params))
    if type(url) is str and not params and "@" not in url:
        # A URL with a password is not kept in memory longer than its request.
        return _remembered_form(url)
    text = url.decode("utf-8") if isinstance(url, bytes) else str(url)
    return _canonical_form(text, params)


def _canonical_form(text: str, params: Any = None) -> str:
    text = text.lstrip()
    final = None if _DOTS in text else _FINAL.fullmatch(text)
    # Everything in `_FINAL` but the dot between labels is bounded; only the whole name is not.
    if final is not None and final.end(1) <= _MAX_NAME:
        if not params and final[2]:
            return text
        parts = _Parts(final[1], final[2] or "/", final[3] or "", final[4] or "")
    elif ":" in text and text[:4].lower() != "http":
        return text
    elif params and isinstance(params, (str, bytes)):
        # One lone percent sign in text given as parameters decides how all others are read, so
        # this is quoted as a whole.
        return requote_uri(_join(_parse(text), params))
    else:
        parts = _parse_and_quote(text) if "@" in text else _remembered(text)
    joined = _join(parts, params)
    return requote_uri(joined) if isinstance(params, (str, bytes)) else joined


_remembered_form = lru_cache(maxsize=512)(_canonical_form)


def final_target(url: str) -> str | None:
    """Return the path, "/" when empty, and the query of a URL; None if it has to be parsed.

    Most URLs are plain, and finding that out costs a quarter of `urlsplit`.
    """
    final = _FINAL.fullmatch(url)
    if final is None:
        return None
    path, query = final[2] or "/", final[3]
    return f"{path}?{query}" if query else path


def canonical_target(url: str) -> str | None:
    """Return the path and query of a URL that `canonical_url` keeps; None if it may change it."""
    return None if _DOTS in url else final_target(url)


def _join(parts: _Parts, params: Any) -> str:
    head, path, query, fragment = parts
    added = encode_params(params) if params else ""
    if isinstance(added, bytes):
        added = added.decode("utf-8")
    elif not isinstance(added, str):  # requests fails on it too; a query of a repr helps no one
        raise TypeError(f"params must be a mapping, pairs, str or bytes, not {type(params)}")
    if added:
        query = f"{query}&{added}" if query else added
    url = head + path
    if query:
        url = f"{url}?{query}"
    if fragment:
        url = f"{url}#{fragment}"
    return url


def _parse_and_quote(url: str) -> _Parts:
    return _Parts(*map(requote_uri, _parse(url)))


_remembered = lru_cache(maxsize=512)(_parse_and_quote)


def _parse(url: str) -> _Parts:
    try:
        check_authority(url)
        scheme, auth, host, port, path, query, fragment = parse_url(url)
    except LocationParseError:
        # urllib3 rejects what it would have to convert by a stricter rule than ours (it does not
        # map letters first, so capital sharp s and the like fail): only for those, another look.
        if url.isascii():
            raise InvalidURL(_not_parsed(url)) from None
        scheme, auth, host, port, path, query, fragment = _parse_international(url)
    if not scheme:
        shown = without_credentials(url)
        advice = f"Perhaps you meant https://{shown.lstrip('/')}?"
        if shown in ("", "None"):  # nothing to guess from
            advice = "Pass a URL such as https://example.com/"
        raise MissingSchema(f"Invalid URL {shown!r}: No scheme supplied. {advice}")
    if not host:
        raise InvalidURL(_without_host(url))
    if scheme in ("http", "https"):
        host = _checked_host(requote_uri(host).lower() if "%" in host else host, url)
    elif not host.isascii():
        host = encode_host(host)
    head = f"{scheme}://{f'{auth}@' if auth else ''}{host}{'' if port is None else f':{port}'}"
    return _Parts(head, path or "/", query or "", fragment or "")


def _parse_international(url: str) -> Any:
    """Parse a URL whose host has letters beyond ASCII, converting the host first."""
    match = _AUTHORITY.match(url)
    if match is None:
        raise InvalidURL(_not_parsed(url))
    userinfo, at, place = match[1].rpartition("@")
    host, colon, port = place.partition(":")
    authority = f"{userinfo}{at}{encode_host(host)}{colon}{port}"
    try:
        return parse_url(f"{url[: match.start(1)]}{authority}{url[match.end(1) :]}")
    except LocationParseError:
        raise InvalidURL(_not_parsed(url)) from None


def encode_host(host: str) -> str:
    """Convert a host name with letters beyond ASCII to its form in the DNS.

    Raises:
        InvalidURL: It is no name by IDNA 2008 with the mapping of UTS 46, or an address by it.
    """
    try:
        return encode_idna(host)
    except UnicodeError as error:
        raise InvalidURL(f"URL has an invalid label: host {host!r}: {error}") from error


def encode_idna(host: str) -> str:
    """Do what `encode_host` does, with another error.

    Raises:
        UnicodeError: The host has no such form, or it would be an address.
    """
    import idna  # loads tables of its own; most programs never meet such a name

    try:
        name: str = idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise UnicodeError(str(error)) from error
    if _NUMERIC.search(name):
        raise UnicodeError("its letters stand for an address, where other parsers see a name")
    return name


def _checked_host(host: str, url: str) -> str:
    """Return a host that can be looked up, or raise `InvalidURL`."""
    if host.startswith("["):
        return host
    if not host.isascii():
        host = encode_host(host)
    name = host.removesuffix(".")
    labels = name.split(".")
    if (
        host[0] in "*."
        or _UNSAFE_IN_HOST.search(host)
        or len(name) > _MAX_NAME
        or not all(0 < len(label) <= _MAX_LABEL for label in labels)
    ):
        why = ": it has two dots in a row" if ".." in host else ""
        raise InvalidURL(
            f"URL has an invalid label: host {host!r} of {without_credentials(url)!r} is not a"
            f" name that can be looked up{why}"
        )
    return host


def check_host(host: str, url: str) -> None:
    """Refuse a host that cannot be looked up.

    Args:
        host: Name or address, without brackets.
        url: Where it stands, for the message.

    Raises:
        InvalidURL: It has a label that no name has. Also for an empty host.
    """
    if not host:
        raise InvalidURL(_without_host(url))
    if ":" not in host:
        _checked_host(host, url)


def check_authority(url: str) -> None:
    """Refuse a URL whose host part parsers read differently.

    Raises:
        InvalidURL: There is a backslash or a control character, or a space in the host.
    """
    match = _AUTHORITY.match(url)
    if match is not None and _UNSAFE_IN_AUTHORITY.search(match[1]):
        advice = ". In a user name or password, percent-encode it: %5C" if "@" in match[1] else ""
        raise InvalidURL(
            f"Invalid URL {without_credentials(url)!r}: a backslash, space or control character"
            f" stands where the host belongs{advice}"
        )


def _without_host(url: str) -> str:
    shown = without_credentials(url)
    text = f"Invalid URL {shown!r}: No host supplied"
    scheme, _, rest = shown.partition(":")
    if rest.startswith("//") or not rest.strip("/"):
        return text
    return f"{text}. Perhaps you meant {scheme}://{rest.lstrip('/')}?"


def _not_parsed(url: str) -> str:
    return f"Failed to parse: {_without_userinfo(url)}. Check its host and port"


def _without_userinfo(url: str) -> str:
    """Return a URL that cannot be parsed without all that may be a password.

    A password with a slash in it ends the authority early: what follows, up to the last `@`, is
    left out too. The error of the parser has the whole URL in its text, so it is no cause.
    """
    start = url.find("//")
    at = url.rfind("@")
    return url if start < 0 or at < start else url[: start + 2] + url[at + 1 :]


def without_credentials(url: str) -> str:
    """Return a URL without its user name and password, for messages."""
    start = url.find("//")
    if start < 0 or "@" not in url:
        return url
    start += 2
    end = min((i for i in (url.find(c, start) for c in "/?#") if i >= 0), default=len(url))
    at = url.rfind("@", start, end)
    return url if at < 0 else url[:start] + url[at + 1 :]


# ---------------------------------------------------------------------- URLs as text

#: Characters that mean the same encoded and bare (RFC 3986 section 2.3).
UNRESERVED_SET: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)

# Everything that has a meaning of its own in some part of a URL, and `~`.
_KEPT_BARE = "!#$&'()*+,/:;=?@[]~"
_ESCAPE = re.compile(r"%([^\W_]{2})")
# An authority without the slashes before it: with credentials, or a host with a port.
_BARE_AUTHORITY = re.compile(r"(?:[^/?#@]+@[^/?#@]+|[^/?#@:]+:\d+)(?:[/?#]|\Z)")


def unquote_unreserved(uri: str) -> str:
    """Decode those percent escapes that stand for a character that needs none.

    Args:
        uri: A URL or a part of one. A `%` that no two letters or digits follow is left as it is.

    Raises:
        InvalidURL: After a `%` come two letters or digits that are not hexadecimal.
    """

    def decode(found: re.Match[str]) -> str:
        try:
            character = chr(int(found[1], 16))
        except ValueError:
            raise InvalidURL(f"Invalid percent-escape sequence: {found[1]!r}") from None
        return character if character in UNRESERVED_SET else found[0]

    return _ESCAPE.sub(decode, uri) if "%" in uri else uri


def requote_uri(uri: str) -> str:
    """Encode what is not allowed in a URL, and give the rest one spelling.

    A `%` is taken for an escape where all of them can be, else each one is data and encoded.

    Args:
        uri: The URL. Text outside ASCII is encoded as UTF-8.
    """
    try:
        return quote(unquote_unreserved(uri), safe=_KEPT_BARE + "%")
    except InvalidURL:
        return quote(uri, safe=_KEPT_BARE)


_requote_uri = requote_uri


def get_auth_from_url(url: str) -> tuple[str, str]:
    """Return the decoded user name and password in a URL; two empty strings unless it has both."""
    try:
        parts = urlsplit(url)
        name, password = parts.username, parts.password
    except ValueError:
        return "", ""
    if name is None or password is None:
        return "", ""
    return unquote(name), unquote(password)


def prepend_scheme_if_needed(url: str, new_scheme: str) -> str:
    """Give a URL a scheme if it has none.

    Args:
        url: The URL, perhaps of a proxy: `proxy.example:3128` and `localhost:3128` are hosts with
            a port.
        new_scheme: The scheme to give, without the colon.

    Raises:
        urllib3.exceptions.LocationParseError: The URL makes no sense.
    """
    # A word before a colon would be read as a scheme, and proxies are often written without one.
    parsed = parse_url(f"//{url}" if _BARE_AUTHORITY.match(url) else url)
    authority = parsed.netloc or ""
    path = parsed.path or ""
    if not authority and not path.startswith("/"):
        authority, path = path, ""
    if parsed.auth:
        authority = f"{parsed.auth}@{authority}"
    scheme = parsed.scheme or new_scheme
    return urlunparse((scheme, authority, path, "", parsed.query or "", parsed.fragment or ""))


def urldefragauth(url: str) -> str:
    """Return a URL without its fragment and without the credentials in it."""
    scheme, authority, path, params, query, _ = urlparse(url)
    if not authority:
        authority, path = path, ""
    return urlunparse((scheme, authority.rpartition("@")[2], path, params, query, ""))
