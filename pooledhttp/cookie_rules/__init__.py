"""Cookies by RFC 6265, where `http.cookiejar` is laxer: which are kept, for whom, and how many.

fields    one `Set-Cookie` line: attributes without sense are passed over, the last one counts
policy    whose cookie goes where
bounded   a jar in which servers cannot store without bound, and that finds a host's cookies
          without looking at those of others
"""

from __future__ import annotations

from pooledhttp.cookie_rules.bounded import (
    MAX_COOKIES,
    MAX_COOKIES_PER_DOMAIN,
    BoundedJar,
    copy_cookie,
)
from pooledhttp.cookie_rules.fields import CONTROL, ReadableFields
from pooledhttp.cookie_rules.policy import (
    MAX_COOKIE_BYTES,
    ShownPolicy,
    SitePolicy,
    default_policy,
    goes_by_domain,
)

__all__ = [
    "CONTROL",
    "MAX_COOKIES",
    "MAX_COOKIES_PER_DOMAIN",
    "MAX_COOKIE_BYTES",
    "BoundedJar",
    "ReadableFields",
    "ShownPolicy",
    "SitePolicy",
    "copy_cookie",
    "default_policy",
    "goes_by_domain",
]
