"""Sessions whose class has a say in each request, such as those that sign them (OAuth).

A run has a session of its own, with the settings of the caller's. That is not enough for a session
that overrides steps of `Session`: its requests have to go through them. So the run makes a copy of
it, of the same class and with the same attributes, which sends over the run's adapters. The
caller's session is not changed; what both refer to, such as a client that keeps tokens, they share.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.direct import SESSION_STEPS
from pooledhttp.sessions import Session

__all__ = ["copy_over", "has_own_steps", "is_plain_adapter"]

#: What a session has of its own in a run, beside its adapters.
_OF_THE_RUN = ("headers", "params", "proxies", "cookies", "hooks", "adapters")


def has_own_steps(session: object) -> bool:
    """Whether the class of a session, or the session itself, overrides steps of `Session`.

    Args:
        session: One of ours or of requests. What is neither has none.
    """
    kind, base = type(session), _base(session)
    if base is None:
        return False
    names = SESSION_STEPS.names
    return not names.isdisjoint(vars(session)) or any(
        getattr(kind, name, None) is not getattr(base, name, None) for name in names
    )


def is_plain_adapter(adapter: object) -> TypeGuard[HTTPAdapter]:
    """Whether an adapter is an `HTTPAdapter` of which no method was replaced."""
    if type(adapter) is not HTTPAdapter:
        return False
    return not any(callable(getattr(HTTPAdapter, name, None)) for name in vars(adapter))


def copy_over(session: Any, own: Session) -> Any:
    """Return a copy of a session that sends over the adapters of a run's session.

    Args:
        session: The caller's.
        own: The run's, with the settings of the other one.
    """
    copy = object.__new__(type(session))
    attributes = vars(copy)
    attributes.update(vars(session))
    attributes.update({name: getattr(own, name) for name in _OF_THE_RUN})
    if isinstance(session, Session):
        attributes["_extras"] = own._extras
    return copy


def _base(session: object) -> type | None:
    """Return the class `Session` that a session is one of, ours or that of requests."""
    for kind in type(session).__mro__:
        if kind is Session or (kind.__name__, kind.__module__) == ("Session", "requests.sessions"):
            return kind
    return None
