"""A jar that finds the cookies of one host quickly, and that servers cannot fill without bound.

    set by a server     marked; at most 180 a domain and 10,000 in all
    set by the caller   never removed by the jar

Past a bound expired cookies go first, then those that went unused longest. "Used" is counted, not
timed: each time the jar is searched for a host it advances by one, and what is found is stamped.

`http.cookiejar` goes over all cookies for each request. `cookies_for` looks only under the domains
that can be meant, which are the host's own name and those above it.
"""

from __future__ import annotations

import contextlib
import copy
import heapq
import time
from collections.abc import Iterable, Iterator
from http.cookiejar import (  # type: ignore[attr-defined]
    Cookie,
    CookieJar,
    request_path,
)
from typing import Any

from pooledhttp.cookie_rules.fields import attributes_of
from pooledhttp.cookie_rules.picks import ORDER as _ORDER
from pooledhttp.cookie_rules.picks import STAMP as _STAMP
from pooledhttp.cookie_rules.picks import LazyCookies, LazyLock, Picks, fill_from
from pooledhttp.cookie_rules.policy import SitePolicy
from pooledhttp.cookie_rules.setting import is_accepted, read_line, sets_as_defined
from pooledhttp.cookie_rules.sites import Site, domains_of, site_of
from pooledhttp.originals import Originals

__all__ = ["MAX_COOKIES", "MAX_COOKIES_PER_DOMAIN", "BoundedJar", "copy_cookie"]

#: RFC 6265, section 6.1 asks for at least 50 a domain and 3,000 in all; browsers keep 180.
MAX_COOKIES_PER_DOMAIN = 180
MAX_COOKIES = 10_000

#: How many are removed at a time beyond `MAX_COOKIES`: finding them takes a look at all.
_BATCH = 500

#: An attribute of a `Cookie` that this jar sets. It travels with copies and pickles.
_BY_SERVER = "_pooledhttp_by_server"


class BoundedJar(CookieJar):
    """Keeps cookies, within bounds for those that servers set. Thread-safe, as every jar."""

    _cookies: Any = LazyCookies()
    _cookies_lock: Any = LazyLock()
    _policy: Any

    #: Advances with each search and each new cookie.
    _now_stamp = 0
    #: Cookies of servers, counted when new, and again when there are too many.
    _server_count = 0
    #: Whether a `Secure` cookie was ever stored.
    _had_secure = False
    #: What requests carried, by where they went; `None` before the first one.
    _picks: Picks | None = None

    def make_cookies(self, response: Any, request: Any) -> list[Cookie]:
        """Return the cookies that a response sets, marked as those of a server."""
        cookies = list(super().make_cookies(response, request))
        for cookie in cookies:
            vars(cookie)[_BY_SERVER] = True
        return cookies

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Store the cookies that a response sets, as far as the policy and the bounds allow."""
        with self._cookies_lock:
            policy, count = self._policy, self._server_count
            # Without a `Secure` cookie there is nothing to guard: the policy refuses new ones.
            if self._had_secure and isinstance(policy, SitePolicy) and policy.is_for_keeping:
                if not policy.is_secure(request):
                    response = _PlainResponse(response, self, request)
            if not (sets_as_defined(policy) and self._extract_ordinary(response, request)):
                super().extract_cookies(response, request)
            if self._server_count > count:
                site = getattr(request, "site", None)
                for domain in domains_of(request) if site is None else site.domains:
                    self._bound_domain(domain)
            if self._server_count > MAX_COOKIES:
                self._bound_all()

    def _extract_ordinary(self, response: Any, request: Any) -> bool:
        """Store the cookies that a response sets; return `False` if a line is not ordinary."""
        fields = response.info()
        lines = fields.get_all("Set-Cookie", [])
        if not _MAKING.are_used_by(self) or fields.get_all("Set-Cookie2", []):
            return False
        policy = self._policy
        policy._now = self._now = now = int(time.time())
        if not lines:  # as in the library, nothing is asked of the request, which may be a mock
            return True
        site = getattr(request, "site", None) or site_of(request)
        cookies = [read_line(str(line), site, now) for line in lines]
        if None in cookies:
            return False
        # As the library does it: all that have expired are removed before any is stored.
        for cookie in cookies:
            if cookie is not None and cookie.expires is not None and cookie.expires <= now:
                with contextlib.suppress(KeyError):
                    self.clear(cookie.domain, cookie.path, cookie.name)
        for cookie in cookies:
            if cookie is None or (cookie.expires is not None and cookie.expires <= now):
                continue
            vars(cookie)[_BY_SERVER] = True
            if is_accepted(policy, cookie, request):
                self.set_cookie(cookie)
        return True

    def set_cookie(self, cookie: Cookie) -> None:
        """Store a cookie."""
        with self._cookies_lock:
            by_path = self._cookies.setdefault(cookie.domain, {})
            by_name = by_path.setdefault(cookie.path, {})
            former = by_name.get(cookie.name)
            by_name[cookie.name] = cookie
            facts = vars(cookie)
            self._now_stamp += 1
            facts[_STAMP] = facts[_ORDER] = self._now_stamp
            is_new = former is None
            if former is not None:
                facts[_ORDER] = _order(former)
                is_new = not _is_of_server(former)
            if is_new and _BY_SERVER in facts:
                self._server_count += 1
            if cookie.secure:
                self._had_secure = True

    def cookies_for(self, request: Any) -> list[Cookie]:
        """Return the cookies whose domain can be that of a request, and stamp those it may carry.

        The policy decides later which are sent; no other cookie of the jar can be. The order is
        that in which the jar has them.

        Args:
            request: In the form that `http.cookiejar` reads.
        """
        found = self._groups_for(domains_of(request), request_path(request))
        return [cookie for group in found for cookie in group]

    def copy_for(self, jar: BoundedJar, site: Site) -> None:
        """Put copies of the cookies that `cookies_for` returns into an empty jar.

        Args:
            jar: The empty jar.
            site: Where the request goes.
        """
        with self._cookies_lock:
            if self._picks is None:
                self._picks = Picks()
            self._now_stamp += 1
            pick = self._picks.pick(self._cookies, site, self._now_stamp)
        if pick is not None:
            fill_from(jar, pick)
        else:
            for group in self._groups_for(site.domains, site.path):
                by_path = jar._cookies.setdefault(group[0].domain, {})
                for cookie in group:
                    by_path.setdefault(cookie.path, {})[cookie.name] = copy_cookie(cookie)
        jar._now_stamp = self._now_stamp
        # More than there are in it: they are counted again before any is removed.
        jar._server_count = self._server_count
        jar._had_secure = self._had_secure

    def clear(
        self, domain: str | None = None, path: str | None = None, name: str | None = None
    ) -> None:
        """Remove all cookies, or those of a domain, a path in it, or a name there.

        Raises:
            KeyError: There is none.
        """
        self._drop_picks()  # they hold values
        super().clear(domain, path, name)

    def _drop_picks(self) -> None:
        if self._picks is not None:
            with self._cookies_lock:
                self._picks.drop(self._cookies)

    def _groups_for(self, domains: Iterable[str], path: str) -> list[list[Cookie]]:
        """Return the cookies of each domain that has any; stamp those that the path may carry."""
        found = []
        with self._cookies_lock:
            self._now_stamp += 1
            stamp = self._now_stamp
            for domain in domains:
                group = list(_of_domain(self._cookies, domain)) if domain in self._cookies else None
                if group:
                    found.append(group)
                    for cookie in group:
                        if path.startswith(cookie.path):
                            vars(cookie)[_STAMP] = stamp
        if len(found) > 1:
            found.sort(key=lambda group: min(map(_order, group)))
        return found

    def _bound_domain(self, domain: str) -> None:
        cookies = self._cookies.get(domain)
        if cookies is None or sum(map(len, cookies.values())) <= MAX_COOKIES_PER_DOMAIN:
            return
        ours = [cookie for cookie in _of_domain(self._cookies, domain) if _is_of_server(cookie)]
        self._remove_least_used(ours, len(ours) - MAX_COOKIES_PER_DOMAIN)

    def _bound_all(self) -> None:
        ours = [cookie for cookie in self if _is_of_server(cookie)]
        self._server_count = len(ours)
        self._remove_least_used(ours, len(ours) - (MAX_COOKIES - _BATCH))

    def _remove_least_used(self, cookies: list[Cookie], count: int) -> None:
        if count <= 0:
            return
        self._drop_picks()
        now = time.time()
        for cookie in heapq.nsmallest(count, cookies, key=lambda one: _worth(one, now)):
            self.clear(cookie.domain, cookie.path, cookie.name)
            self._server_count -= 1


#: The methods by which a jar makes cookies.
_MAKING = Originals(BoundedJar, "make_cookies", "_cookies_from_attrs_set", "clear")


def copy_cookie(cookie: Cookie) -> Cookie:
    """Copy a cookie as `copy.copy` does, in a fifth of the time."""
    if type(cookie) is not Cookie:
        return copy.copy(cookie)
    twin = Cookie.__new__(Cookie)
    vars(twin).update(vars(cookie))
    return twin


class _PlainResponse:
    """A response over plain http, without the `Set-Cookie` lines that concern `Secure` cookies.

    RFC 6265bis, section 5.7: such a response neither sets a `Secure` cookie nor puts another one in
    its place. An expired one would delete it.
    """

    def __init__(self, response: Any, jar: BoundedJar, request: Any) -> None:
        self._fields = response.info()
        self._secure = [cookie for cookie in jar.cookies_for(request) if cookie.secure]
        self._path = request_path(request)

    def info(self) -> Any:
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        values = self._fields.get_all(name, None)
        if values is None:
            return default
        return [value for value in values if not self._concerns_secure(str(value))]

    def _concerns_secure(self, line: str) -> bool:
        name, attributes = attributes_of(line)
        if "secure" in attributes:
            return True
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = self._path[: self._path.rfind("/")] or "/"
        return any(cookie.name == name and _is_below(path, cookie.path) for cookie in self._secure)


def _is_below(path: str, other: str) -> bool:
    """Whether requests to `path` carry a cookie of the path `other` (RFC 6265, 5.1.4)."""
    return path == other or path.startswith(other if other.endswith("/") else f"{other}/")


def _of_domain(cookies: dict[str, dict[str, dict[str, Cookie]]], domain: str) -> Iterator[Cookie]:
    for by_name in cookies.get(domain, {}).values():
        yield from by_name.values()


def _is_of_server(cookie: Cookie) -> bool:
    return vars(cookie).get(_BY_SERVER, False)  # type: ignore[no-any-return]


def _order(cookie: Cookie) -> int:
    return vars(cookie).get(_ORDER, 0)  # type: ignore[no-any-return]


def _worth(cookie: Cookie, now: float) -> tuple[bool, int]:
    return not cookie.is_expired(int(now)), vars(cookie).get(_STAMP, 0)
