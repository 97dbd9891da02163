"""Which cookies of a jar a request carries, found without asking the policy about each of them.

`http.cookiejar` calls ten methods of the policy for a cookie, and each of them takes the URL of the
request apart. What they find for a jar and a `SitePolicy` as this package makes them is found here
in one pass. A jar or policy of another class, with other settings, or with a method that was
replaced, is asked as `http.cookiejar` does it: see `selects_as_defined`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.cookiejar import Cookie, DefaultCookiePolicy
from operator import attrgetter

from pooledhttp.cookie_rules.bounded import BoundedJar
from pooledhttp.cookie_rules.picks import pick_of
from pooledhttp.cookie_rules.policy import SitePolicy
from pooledhttp.cookie_rules.sites import Site
from pooledhttp.originals import Originals

__all__ = ["header_for", "selects_as_defined"]


_JAR = Originals(
    BoundedJar,
    "add_cookie_header",
    "clear_expired_cookies",
    "_cookies_for_request",
    "_cookies_for_domain",
    "_cookie_attrs",
)
_POLICY = Originals(
    SitePolicy,
    "return_ok",
    "return_ok_version",
    "return_ok_verifiability",
    "return_ok_secure",
    "return_ok_expires",
    "return_ok_port",
    "return_ok_domain",
    "domain_return_ok",
    "path_return_ok",
)
_BASE = Originals(DefaultCookiePolicy, "return_ok_domain")  # which that of `SitePolicy` calls
_read_settings = attrgetter(
    "netscape",
    "rfc2965",
    "strict_ns_unverifiable",
    "strict_ns_domain",
    "secure_protocols",
    "_blocked_domains",
    "_allowed_domains",
)
_SETTINGS = _read_settings(SitePolicy())


def selects_as_defined(jar: BoundedJar) -> bool:
    """Whether it is known which cookies a jar gives to a request; it is not that of a subclass."""
    policy = jar._policy
    return (
        type(policy) is SitePolicy
        and _read_settings(policy) == _SETTINGS
        and _BASE.are_in(DefaultCookiePolicy)
        and _POLICY.are_used_by(policy)
        and _JAR.are_used_by(jar)
    )


def header_for(jar: BoundedJar, site: Site) -> str | None:
    """Return the `Cookie` field for a request; remove expired cookies, as `http.cookiejar` does.

    Args:
        jar: A jar for which `selects_as_defined` holds.
        site: Where the request goes.
    """
    now = int(time.time())
    pick = pick_of(jar)
    if pick is not None and pick.has_field(site, now):
        jar._policy._now = jar._now = now
        return pick.field
    with jar._cookies_lock:
        jar._policy._now = jar._now = now
        chosen = [cookie for cookie in _of_domains(jar, site) if _is_sent(cookie, site, now)]
        has_expired = any(
            cookie.expires is not None and cookie.expires <= now
            for by_path in jar._cookies.values()
            for by_name in by_path.values()
            for cookie in by_name.values()
        )
    if has_expired:
        jar.clear_expired_cookies()
    # The longest path first; cookies of equally long ones stay in the order of the jar.
    chosen.sort(key=_path_length, reverse=True)
    pairs = [
        cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
        for cookie in chosen
    ]
    field = "; ".join(pairs) if pairs else None
    if pick is not None and not has_expired:
        pick.note_field(site, field)
    return field


def _of_domains(jar: BoundedJar, site: Site) -> Iterator[Cookie]:
    """Yield the cookies whose domain and path can be those of the request, in their order."""
    for domain, by_path in jar._cookies.items():
        if domain in site.domains:
            for path, by_name in by_path.items():
                if _is_path_of(path, site.path):
                    yield from by_name.values()


def _is_path_of(path: str, requested: str) -> bool:
    """Whether requests to `requested` carry cookies of `path` (RFC 6265, section 5.1.4)."""
    if requested == path:
        return True
    return requested.startswith(path) and (
        path.endswith("/") or requested[len(path) : len(path) + 1] == "/"
    )


def _is_sent(cookie: Cookie, site: Site, now: int) -> bool:
    """Whether a cookie is sent, whose domain and path can be those of the request."""
    # Cookies of a later version, by RFC 2965, are never sent.
    if cookie.version > 0 or (cookie.secure and site.scheme not in _SECURE_SCHEMES):  # type: ignore[operator]
        return False
    if cookie.expires is not None and cookie.expires <= now:
        return False
    if cookie.port and site.port not in cookie.port.split(","):
        return False
    domain = cookie.domain
    if not cookie.domain_specified:
        return not domain or domain == site.effective
    if domain.lstrip(".") == site.host:
        return True
    dotted = domain if domain.startswith(".") or not domain else f".{domain}"
    return f".{site.effective}".endswith(dotted)


_SECURE_SCHEMES: tuple[str, ...] = SitePolicy().secure_protocols  # type: ignore[attr-defined]


def _path_length(cookie: Cookie) -> int:
    return len(cookie.path)
