"""How code waits.

Everything below the session waits through a `Runtime` and through nothing else: for a socket, for
another thread, for time to pass, for a blocking call. On threads that is `BlockingRuntime`; the
same code inside greenlets on an event loop gets another one. No other subpackage calls
`time.sleep`, a blocking socket method, or a `threading` primitive that waits.
"""

from __future__ import annotations

from pooledhttp.runtime.base import Interest, Runtime, Task, Waiter
from pooledhttp.runtime.blocking import BlockingRuntime, default_runtime
from pooledhttp.runtime.fork import ForkResettable, register_fork_reset
from pooledhttp.runtime.locks import ShortLock
from pooledhttp.runtime.tracebacks import copy_without_tracebacks, remove_tracebacks

__all__ = [
    "BlockingRuntime",
    "ForkResettable",
    "Interest",
    "Runtime",
    "ShortLock",
    "Task",
    "Waiter",
    "copy_without_tracebacks",
    "default_runtime",
    "register_fork_reset",
    "remove_tracebacks",
]
