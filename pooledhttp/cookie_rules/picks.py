"""The cookies that requests to one place carry, kept as long as those of the jar are the same.

    session's jar --Picks.pick--> Pick: what decides about its cookies, and the `Cookie` field
                                    |
                                    v  on the first look into it
                                  the jar of one request

Most requests to a host carry the cookies of the request before, and few programs look into the jar
of a prepared request. So the attributes are compared each time, since a program may change a cookie
in place, but copies of cookies are made when a jar of a request is looked into.

A pick notes when it was used last. That is written into the cookies when it matters: before some
are removed, before the jar is pickled, and when picks are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import Cookie
from itertools import chain
from operator import itemgetter
from typing import Any

from pooledhttp.cookie_rules.sites import Site
from pooledhttp.runtime import new_rlock

__all__ = ["ORDER", "STAMP", "LazyCookies", "Pick", "Picks", "fill_from", "pick_of"]

#: Attributes of a `Cookie` that jars set. They travel with copies and pickles.
STAMP, ORDER = "_pooledhttp_stamp", "_pooledhttp_order"

#: Where a jar has the pick that its cookies are to be made of.
_PICK = "_pooledhttp_pick"

#: The most places whose picks a jar keeps. All are dropped when there are more.
MAX_PICKS = 64

_PLAIN = {Cookie}

#: The cookies of a jar: by domain, path and name.
Stored = dict[str, dict[str, dict[str, Cookie]]]

#: The attributes that are compared: those that decide whether a cookie is sent, and at what place.
_PLACE = ("domain", "path", "name", "expires", ORDER)
_NAMES = (*_PLACE, "value", "version", "port", "secure", "domain_specified")
_read: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*_NAMES)

#: The cookies of each domain, and what is compared of them.
Groups = list[list[Cookie]]
Values = list[list[tuple[Any, ...]]]


class Pick:
    """The cookies that a request may carry, as they were when it was prepared.

    Attributes:
        groups: The cookies of the jar, of each domain.
        facts: Their attributes, which may have changed since.
        values: Those of their attributes that are compared, as they were.
        stamp: When it was used last, by the count of the jar.
        is_known: Whether `field` was found.
        field: The `Cookie` field; `None` for none.
        until: When it has to be found again, in seconds since the epoch; `None` for never.
        is_checked: Whether the field may be sent: it has no control character.
    """

    __slots__ = (
        "facts",
        "field",
        "groups",
        "is_checked",
        "is_known",
        "site",
        "stamp",
        "until",
        "values",
    )

    def __init__(self, site: Site, values: Values) -> None:
        self.site = site
        self.groups: Groups = []
        self.facts: list[list[dict[str, Any]]] = []
        self.values = values
        self.stamp = 0
        self.is_known = self.is_checked = False
        self.field: str | None = None
        self.until: float | None = None

    def has_field(self, site: Site, now: float) -> bool:
        """Whether the field for a request to `site` is known."""
        return self.is_known and (self.until is None or now < self.until) and self.is_for(site)

    def is_for(self, site: Site) -> bool:
        """Whether it was made for a request to `site`."""
        return self.site is site or self.site == site

    def note_field(self, site: Site, field: str | None) -> None:
        """Keep the field of a request to `site`, of whose cookies none has expired."""
        if self.is_for(site):
            ends = [expires for group in self.values for (_, _, _, expires, *_) in group]
            self.until = min((end for end in ends if end is not None), default=None)
            self.field, self.is_known = field, True

    def cookies(self) -> Stored:
        """Return copies of the cookies, by domain, path and name."""
        found: Stored = {}
        pairs = zip(self.values, self.facts, strict=True)
        for values, group in sorted(pairs, key=_first_order):
            by_path = found.setdefault(values[0][0], {})
            for known, facts in zip(values, group, strict=True):
                twin = Cookie.__new__(Cookie)
                vars(twin).update(facts)
                vars(twin).update(zip(_NAMES, known, strict=True))
                by_path.setdefault(known[1], {})[known[2]] = twin
        return found


class Picks:
    """The picks of one jar, by place. The lock of the jar is held."""

    __slots__ = ("_by_site",)

    def __init__(self) -> None:
        self._by_site: dict[Site, Pick] = {}

    def pick(self, cookies: Stored, site: Site, stamp: int) -> Pick | None:
        """Return the pick for a request; `None` if there is a cookie of an unusual kind.

        Args:
            cookies: Those of the jar.
            site: Where the request goes.
            stamp: The count of the jar.
        """
        groups = _groups(cookies, site)
        pick = self._by_site.get(site)
        if pick is not None and pick.groups == groups:
            facts = pick.facts
        elif all(set(map(type, group)) == _PLAIN for group in groups):
            facts = [list(map(vars, group)) for group in groups]
        else:
            return None
        try:
            values = [list(map(_read, group)) for group in facts]
        except KeyError:  # a cookie was put there past `set_cookie`
            return None
        if pick is None or pick.values != values:
            if len(self._by_site) >= MAX_PICKS:
                self.drop(cookies)
            pick = self._by_site[site] = Pick(site, values)
        pick.groups, pick.facts, pick.stamp = groups, facts, stamp
        return pick

    def drop(self, cookies: Stored) -> None:
        """Forget all, and write into the cookies of the jar when they were used."""
        for site, pick in self._by_site.items():
            for group in _groups(cookies, site):
                for cookie in group:
                    facts = vars(cookie)
                    if site.path.startswith(cookie.path) and facts.get(STAMP, 0) < pick.stamp:
                        facts[STAMP] = pick.stamp
        self._by_site.clear()


def _groups(cookies: Stored, site: Site) -> Groups:
    """List the cookies of each domain that can be that of a request, as far as there are any."""
    groups = []
    for domain in cookies.keys() & site.domains:
        named = [by_name.values() for by_name in cookies[domain].values()]
        group = list(chain.from_iterable(named))
        if group:
            groups.append(group)
    return groups


def _first_order(pair: tuple[list[tuple[Any, ...]], object]) -> int:
    first: int = min(known[_NAMES.index(ORDER)] for known in pair[0])
    return first


class LazyCookies:
    """The attribute `_cookies` of a jar whose cookies are those of a pick, until it is read.

    Without `__set__`, so that a dictionary that is there is found first.
    """

    def __get__(self, jar: Any, owner: Any) -> Any:
        if jar is None:
            return self
        attributes = vars(jar)
        pick: Pick | None = attributes.get(_PICK)
        if pick is None:
            raise AttributeError("_cookies")  # of a jar that is being made
        # Two threads that read first get the same dictionary.
        found = attributes.setdefault("_cookies", pick.cookies())
        attributes.pop(_PICK, None)
        return found


class LazyLock:
    """The attribute `_cookies_lock` of a jar that was made without one."""

    def __get__(self, jar: Any, owner: Any) -> Any:
        # Two threads that read first get the same lock.
        return self if jar is None else vars(jar).setdefault("_cookies_lock", new_rlock())


def fill_from(jar: Any, pick: Pick) -> None:
    """Have the cookies of an empty jar made of a pick when they are looked at."""
    attributes = vars(jar)
    attributes[_PICK] = pick
    attributes.pop("_cookies", None)


def pick_of(jar: Any) -> Pick | None:
    """Return what the cookies of a jar are to be made of; `None` once they were looked at."""
    pick: Pick | None = vars(jar).get(_PICK)
    return pick
