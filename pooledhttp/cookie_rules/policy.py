"""Whose cookie goes where, as RFC 6265 and its revision have it, where `http.cookiejar` is lax."""

from __future__ import annotations

import http.cookiejar
from http.cookiejar import (  # type: ignore[attr-defined]
    IPV4_RE,
    Cookie,
    CookiePolicy,
    DefaultCookiePolicy,
    eff_request_host,
    request_host,
)
from typing import Any

__all__ = [
    "MAX_COOKIE_BYTES",
    "ShownPolicy",
    "SitePolicy",
    "default_policy",
    "goes_by_domain",
    "is_default_original",
]

#: RFC 6265bis, section 5.6: a cookie whose name and value are longer together is not kept.
MAX_COOKIE_BYTES = 4096

#: The class as it was when this module was loaded, to see whether it has been replaced since.
_ORIGINAL = DefaultCookiePolicy


class SitePolicy(DefaultCookiePolicy):
    """What a jar keeps and sends.

    - A cookie set without `Domain` goes back to that host alone, not to hosts below it.
    - An address is a host of its own: no part of it is a domain that others belong to.
    - No server sets cookies for all of `co.uk` and the like, nor for `com.` (CVE-2022-27779). There
      is no list of public suffixes: `Domain=github.io` is accepted.
    - A name that begins with `__Secure-` or `__Host-` is a promise about how the cookie was set;
      without that it is not stored.
    - Over plain http a server neither sets nor replaces nor deletes a `Secure` cookie.
    - A cookie of more than 4,096 bytes is not kept.
    """

    #: Whether a jar with this policy keeps cookies for later requests.
    is_for_keeping = True

    def __init__(self) -> None:
        super().__init__(strict_domain=True)

    def is_secure(self, request: Any) -> bool:
        """Return whether `Secure` cookies may travel with a request."""
        protocols: tuple[str, ...] = self.secure_protocols  # type: ignore[attr-defined]
        return request.type in protocols

    def set_ok(self, cookie: Cookie, request: Any) -> bool:
        """Return whether a cookie that a response sets may be stored."""
        if self.is_for_keeping:
            # What comes in a header has one character for each byte.
            if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES:
                return False
            if cookie.secure and not self.is_secure(request):
                return False
        return super().set_ok(cookie, request) and self._keeps_promise(cookie, request)

    def set_ok_domain(self, cookie: Cookie, request: Any) -> bool:
        """Return whether a response may set cookies for such a domain."""
        if cookie.domain_specified:
            if cookie.domain.endswith("."):
                return False
            host = request_host(request)
            if IPV4_RE.search(host) and cookie.domain.lstrip(".") != host:
                return False
        return super().set_ok_domain(cookie, request)

    def return_ok_domain(self, cookie: Cookie, request: Any) -> bool:
        """Return whether a cookie is for the host of a request.

        A cookie without any domain is for every host: only the caller can make one.
        """
        host, effective = eff_request_host(request)
        if cookie.domain and not cookie.domain_specified and cookie.domain != effective:
            return False
        # A name without dots, such as `localhost`: the base class would compare with the name that
        # it makes up for it.
        if cookie.domain_specified and cookie.domain.lstrip(".") == host:
            return True
        return super().return_ok_domain(cookie, request)

    def _keeps_promise(self, cookie: Cookie, request: Any) -> bool:
        """Whether a cookie was set as the prefix of its name promises (RFC 6265bis, 4.1.3)."""
        name = cookie.name.lower()
        if not name.startswith(("__secure-", "__host-")):
            return True
        is_secure = cookie.secure and request.type == "https"
        if name.startswith("__secure-"):
            return is_secure
        return is_secure and not cookie.domain_specified and cookie.path == "/"


class ShownPolicy(SitePolicy):
    """For `Response.cookies`: it shows what a response set, also what a session does not keep."""

    is_for_keeping = False


def default_policy(kind: type[SitePolicy] = SitePolicy) -> CookiePolicy:
    """Make the policy of a jar for which none is given.

    Programs replace `http.cookiejar.DefaultCookiePolicy`, as they would for requests. While it is
    replaced, jars get theirs.

    Args:
        kind: What is made otherwise.
    """
    return kind() if is_default_original() else http.cookiejar.DefaultCookiePolicy()


def is_default_original() -> bool:
    """Return whether no program has replaced `http.cookiejar.DefaultCookiePolicy`."""
    return http.cookiejar.DefaultCookiePolicy is _ORIGINAL


def goes_by_domain(policy: object) -> bool:
    """Whether a policy is known to send a cookie to hosts of its domain alone."""
    return type(policy) in (SitePolicy, ShownPolicy, _ORIGINAL)
