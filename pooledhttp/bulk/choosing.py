"""Chooses the backend of a run: the event loop or threads.

The loop does the same for less CPU, and anything that blocks on it holds up the whole run. So it is
chosen when greenlet is installed and nothing of the caller's is known to block:

```
auth, hooks, retry policy, adapter that is not ours          threads: it may block
a class of sessions that overrides steps of Session          threads: it may block
a step of Session or HTTPAdapter that was replaced           threads: it may block
`connect` or name look-up that a program has replaced        threads: it blocks
listeners                                                    the loop: they must not block anywhere
a sink of the caller's, a body that is read from a file      the loop, and that job on a thread
```
"""

from __future__ import annotations

import importlib.util
import logging
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Literal

import urllib3

from pooledhttp import network
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.auth import HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth
from pooledhttp.bulk.backends import Backend, Loop, Threads
from pooledhttp.bulk.direct import ADAPTER_STEPS, SESSION_STEPS
from pooledhttp.bulk.own_steps import has_own_steps, is_plain_adapter
from pooledhttp.loading import explain_missing
from pooledhttp.retry import Retry
from pooledhttp.sessions import Session

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime

__all__ = ["EngineChoice", "open_backend"]

logger = logging.getLogger(__name__)

EngineChoice = Literal["auto", "threads", "loop"]

_OUR_AUTH = (type(None), str, tuple, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth)
_OUR_POLICIES = (type(None), int, bool, Retry, urllib3.Retry)


def open_backend(
    choice: EngineChoice, settings: Session | None, base: Runtime | None = None
) -> Backend:
    """Return the backend for a run.

    Args:
        choice: What the caller wants.
        settings: The session whose settings are used.
        base: How threads wait; given one, a run has threads.

    Raises:
        ModuleNotFoundError: The loop is wanted, and greenlet is not installed.
        ValueError: The loop is wanted, and something would block it; or `choice` is no choice.
        TypeError: `settings` is no session.
    """
    if settings is not None and (
        not hasattr(settings, "adapters") or iscoroutinefunction(settings.send)
    ):
        raise TypeError(f"session must be a Session whose settings are used, not {settings!r}")
    if choice not in ("auto", "threads", "loop"):
        raise ValueError(f"engine must be 'auto', 'threads' or 'loop', not {choice!r}")
    if choice == "threads" or base is not None:
        return Threads(base)
    reason = _why_it_may_block(settings)
    if choice == "loop":
        if reason is not None:
            raise ValueError(f"engine='loop' cannot be used: {reason}. Use 'auto' or 'threads'.")
        with explain_missing("engine='loop'", "greenlet"):
            return Loop()
    if reason is None and not is_loop_available():
        reason = "greenlet is not installed (pip install greenlet)"
    if reason is None:
        return Loop()
    logger.debug("This run uses threads: %s", reason)
    backend = Threads()
    backend.reason = reason
    return backend


def is_loop_available() -> bool:
    """Whether greenlet is installed."""
    return importlib.util.find_spec("greenlet") is not None


def _why_it_may_block(settings: Session | None) -> str | None:
    """Return what of a run may block its thread; None when nothing is known to."""
    if not (SESSION_STEPS.are_in(Session) and ADAPTER_STEPS.are_in(HTTPAdapter)):
        return "a method of Session or HTTPAdapter was replaced and may block"
    if network.is_getaddrinfo_replaced() or network.replaced_create_connection() is not None:
        return "a program has replaced how connections are made"
    if settings is None:
        return None
    if has_own_steps(settings):
        return f"the session {type(settings).__name__} may block"
    pool = settings._extras.pool if hasattr(settings, "_extras") else None
    for adapter in settings.adapters.values():
        if not is_plain_adapter(adapter):
            return f"the adapter {type(adapter).__name__} may block"
        if type(adapter.max_retries) not in _OUR_POLICIES:
            return f"the retry policy {type(adapter.max_retries).__name__} may block"
        resolver = adapter.settings_for_twin(pool)["resolver"]
        if resolver is not None and not isinstance(
            resolver, (network.StaticResolver, network.SystemResolver)
        ):
            return f"the resolver {type(resolver).__name__} may block"
    policy = settings._extras.retries if hasattr(settings, "_extras") else None
    if type(policy) not in _OUR_POLICIES:
        return f"the retry policy {type(policy).__name__} may block"
    if type(settings.auth) not in _OUR_AUTH:
        return f"the auth {type(settings.auth).__name__} may block"
    if any(settings.hooks.values()):
        return "hooks may block"
    return None
