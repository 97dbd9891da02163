"""The cookies that a response sets, read in one pass where its lines are ordinary.

`http.cookiejar` goes four times over the attributes of a cookie, and asks nine methods of the
policy. A line with the usual attributes, each of them once, is read here; any other line, and one
for a policy with other settings or with a method that was replaced, is left to `http.cookiejar`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http.cookiejar import (  # type: ignore[attr-defined]
    Cookie,
    CookieJar,
    DefaultCookiePolicy,
    escape_path,
    http2time,
)
from operator import attrgetter
from typing import Any

from pooledhttp.cookie_rules.policy import MAX_COOKIE_BYTES, ShownPolicy, SitePolicy
from pooledhttp.cookie_rules.sites import Site
from pooledhttp.originals import Originals

__all__ = ["is_accepted", "read_line", "sets_as_defined"]

_SECONDS = re.compile(r"-?[0-9]{1,18}")

_METHODS = (
    "set_ok",
    "set_ok_version",
    "set_ok_verifiability",
    "set_ok_name",
    "set_ok_path",
    "set_ok_port",
    "is_secure",
    "_keeps_promise",
)
_POLICIES = {kind: Originals(kind, *_METHODS) for kind in (SitePolicy, ShownPolicy)}
_BASE = Originals(DefaultCookiePolicy, "set_ok")
_JAR = Originals(CookieJar, "extract_cookies", "make_cookies", "_cookies_from_attrs_set", "clear")
_read_settings = attrgetter(
    "netscape",
    "rfc2965",
    "strict_ns_unverifiable",
    "strict_ns_set_initial_dollar",
    "strict_ns_set_path",
    "secure_protocols",
    "_blocked_domains",
    "_allowed_domains",
)
_SETTINGS = _read_settings(SitePolicy())


def sets_as_defined(policy: object) -> bool:
    """Whether it is known which cookies a policy accepts, and how the library reads them."""
    methods = _POLICIES.get(type(policy))  # type: ignore[arg-type]
    return (
        methods is not None
        and _read_settings(policy) == _SETTINGS
        and methods.are_used_by(policy)
        and _BASE.are_in(DefaultCookiePolicy)
        and _JAR.are_in(CookieJar)
    )


def is_accepted(policy: SitePolicy, cookie: Cookie, request: Any) -> bool:
    """Do what `policy.set_ok` does, for a cookie that `read_line` made."""
    if policy.is_for_keeping:
        if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES:
            return False
        if cookie.secure and not policy.is_secure(request):
            return False
    if cookie.domain_specified and not policy.set_ok_domain(cookie, request):
        return False
    return not cookie.name.startswith("__") or policy._keeps_promise(cookie, request)


def read_line(line: str, site: Site, now: int) -> Cookie | None:
    """Read one `Set-Cookie` line.

    Args:
        line: The value of the field.
        site: The request that it responds to.
        now: Seconds since the epoch, from which the age of the cookie counts.

    Returns:
        The cookie, which may have expired; `None` for a line that is not ordinary.
    """
    pair, *attributes = line.split(";")
    name, equals, value = pair.partition("=")
    name = name.strip()
    if not (name and equals):
        return None
    path = domain = date = age = None
    is_secure = False
    rest: dict[str, str | None] = {}
    for attribute in attributes:
        key, equals, text = attribute.partition("=")
        key, text = key.strip(), text.strip()
        kind = key.lower()
        if kind == "path" and path is None and text[:1] == "/":
            path = text
        elif kind == "httponly" or (kind == "samesite" and equals):
            rest[key] = text if equals else None
        elif kind == "secure" and not equals:
            is_secure = True
        elif kind == "max-age" and age is None and _SECONDS.fullmatch(text):
            age = int(text)
        elif kind == "expires" and date is None and text:
            date = text
        elif kind == "domain" and domain is None and text[:1] not in ("", '"'):
            domain = text.lower()
        else:
            return None
    expires: float | None = None
    if age is not None:
        expires = now + age
    elif date is not None:
        expires = _read_date(date)
        if expires is None:
            return None
    initial_dot = domain is not None and domain.startswith(".")
    return Cookie(
        0,
        name,
        value.strip(),
        None,
        False,
        site.effective if domain is None else domain if initial_dot else f".{domain}",
        domain is not None,
        initial_dot,
        _default_path(site.path) if path is None else "/" if path == "/" else _escaped(path),
        path is not None,
        is_secure,
        expires,
        expires is None,
        None,
        None,
        rest,  # type: ignore[arg-type]
    )


@lru_cache(maxsize=64)
def _read_date(text: str) -> float | None:
    return http2time(text.removeprefix('"').removesuffix('"'))  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _escaped(path: str) -> str:
    return escape_path(path)  # type: ignore[no-any-return]


def _default_path(path: str) -> str:
    """Return the path of a cookie that names none: that of the request, up to its last slash."""
    return path[: path.rfind("/")] or "/"
