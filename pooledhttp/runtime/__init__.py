"""How code waits.

Everything below the session waits through a `Runtime` and through nothing else: for a socket, for
another thread, for time to pass, for a blocking call. On threads that is `BlockingRuntime`; the
same code inside greenlets on an event loop gets `EventedRuntime`, and `PrivateLoop` brings a loop
and a thread for it. Both are loaded when they are first used, since they need asyncio and the
greenlet library. No other subpackage calls `time.sleep`, a blocking socket method, or a `threading`
primitive that waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pooledhttp.runtime.base import Interest, Runtime, Task, Waiter, check_runtime
from pooledhttp.runtime.blocking import BlockingRuntime, default_runtime
from pooledhttp.runtime.current import current_runtime
from pooledhttp.runtime.fork import ForkResettable, register_fork_reset
from pooledhttp.runtime.frames import caller_frame, warn_caller
from pooledhttp.runtime.locks import Lock, ShortLock, new_lock, new_rlock
from pooledhttp.runtime.polling import Poll, poll_one, poll_until, reading_poll
from pooledhttp.runtime.tracebacks import copy_without_tracebacks, remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.runtime.evented import EventedRuntime as EventedRuntime
    from pooledhttp.runtime.private_loop import PrivateLoop as PrivateLoop

__all__ = [
    "BlockingRuntime",
    "ForkResettable",
    "Interest",
    "Lock",
    "Poll",
    "Runtime",
    "ShortLock",
    "Task",
    "Waiter",
    "caller_frame",
    "check_runtime",
    "copy_without_tracebacks",
    "current_runtime",
    "default_runtime",
    "new_lock",
    "new_rlock",
    "poll_one",
    "poll_until",
    "reading_poll",
    "register_fork_reset",
    "remove_tracebacks",
    "warn_caller",
]


def __getattr__(name: str) -> Any:
    if name == "EventedRuntime":
        from pooledhttp.runtime.evented import EventedRuntime

        return EventedRuntime
    if name == "PrivateLoop":
        from pooledhttp.runtime.private_loop import PrivateLoop

        return PrivateLoop
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
