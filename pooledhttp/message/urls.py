"""URLs as text: quoting, credentials in them, and schemes that were left out.

Nothing here connects or resolves. `requote_uri` is the last step of preparing a URL: after it,
everything that may not stand in a request line is percent-encoded, and what was encoded without
need is not.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote, urlparse, urlsplit, urlunparse

from urllib3.util import parse_url

from pooledhttp.exceptions import InvalidURL

__all__ = [
    "DEFAULT_PORTS",
    "UNRESERVED_SET",
    "get_auth_from_url",
    "prepend_scheme_if_needed",
    "requote_uri",
    "unquote_unreserved",
    "urldefragauth",
]

#: The port a scheme stands for when a URL names none.
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

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
    """Encode what may not stand in a URL, and bring what may into one spelling.

    A `%` is taken for an escape where all of them can be, else each one is data and encoded.

    Args:
        uri: The URL. Text outside ASCII is encoded as UTF-8.
    """
    try:
        return quote(unquote_unreserved(uri), safe=_KEPT_BARE + "%")
    except InvalidURL:
        return quote(uri, safe=_KEPT_BARE)


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
