"""What a digest object remembers: per thread and greenlet, and for all of them."""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["CallerState", "NonceCounts"]

#: Nonces that are counted at most: a server may give a new one with every response.
_MAX_NONCES = 1000


class NonceCounts:
    """How often each nonce was used, by all threads and greenlets together.

    A server takes a repeated count for a replay (RFC 7616, section 3.4). Several threads often have
    the same nonce, since servers give it out for some time. Pickles and copies as an empty one.
    """

    def __init__(self) -> None:
        # A step of a counter and each use of the dict are single steps: no lock is needed.
        self._counters: dict[str, itertools.count[int]] = {}

    def next(self, nonce: str) -> int:
        """Count one more use of a nonce, and return the count: 1 for the first."""
        counter = self._counters.get(nonce)
        if counter is None:
            counter = self._counters.setdefault(nonce, itertools.count(1))
            if len(self._counters) > _MAX_NONCES:
                for oldest in list(self._counters)[: _MAX_NONCES // 10]:
                    self._counters.pop(oldest, None)
        return next(counter)

    def __reduce__(self) -> tuple[type[NonceCounts], tuple[()]]:
        return NonceCounts, ()


class CallerState:
    """Attributes of which each thread and each greenlet has its own.

    A thread's are kept in a `threading.local`. Those of a greenlet that is not the main one of its
    thread are kept beside it, and go when the greenlet goes. Greenlets that one asyncio task
    drives, one after the other, share those of the task. Pickles and copies as a blank one.
    """

    def __init__(self) -> None:
        object.__setattr__(self, "_threads", threading.local())

    def _namespace(self) -> dict[str, Any]:
        local = object.__getattribute__(self, "_threads")
        # Code that runs inside a greenlet has imported the library: no need to import it here.
        library = sys.modules.get("greenlet")
        current = library.getcurrent() if library is not None else None
        if current is None or current.parent is None:
            return local.__dict__  # type: ignore[no-any-return]
        greenlets = local.__dict__.setdefault(_GREENLETS, WeakKeyDictionary())
        owner = getattr(current, "pooledhttp_task", None) or current
        return greenlets.setdefault(owner, {})  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._namespace()[name]
        except KeyError:
            raise AttributeError(f"this thread has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._namespace()[name] = value

    def __delattr__(self, name: str) -> None:
        if self._namespace().pop(name, self) is self:
            raise AttributeError(name)

    def __reduce__(self) -> tuple[type[CallerState], tuple[()]]:
        return CallerState, ()


_GREENLETS = " greenlets"  # no attribute can be called that
