"""Cookies by RFC 6265, where `http.cookiejar` is laxer: which are kept, for whom, and how many.

fields    one `Set-Cookie` line: attributes without sense are passed over, the last one counts
policy    whose cookie goes where
sites     what the cookies of a request depend on
selection which cookies of a jar a request carries
setting   the cookies that a response sets
picks     the cookies of a request, kept for the next one like it
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
from pooledhttp.cookie_rules.picks import pick_of
from pooledhttp.cookie_rules.policy import (
    MAX_COOKIE_BYTES,
    ShownPolicy,
    SitePolicy,
    default_policy,
    goes_by_domain,
    is_default_original,
)
from pooledhttp.cookie_rules.selection import header_for, selects_as_defined
from pooledhttp.cookie_rules.sites import Asked, Site, site_of

__all__ = [
    "CONTROL",
    "MAX_COOKIES",
    "MAX_COOKIES_PER_DOMAIN",
    "MAX_COOKIE_BYTES",
    "Asked",
    "BoundedJar",
    "ReadableFields",
    "ShownPolicy",
    "Site",
    "SitePolicy",
    "copy_cookie",
    "default_policy",
    "goes_by_domain",
    "is_default_original",
    "header_for",
    "pick_of",
    "selects_as_defined",
    "site_of",
]
