"""The `__getattr__` of a subpackage whose modules are imported at first use.

`import pooledhttp` needs few of the names that a subpackage exports; the others are needed when a
session is made. Its `__init__` imports them for type checkers alone, and finds them here.

The first use of one name loads all modules of the table. A request made while the interpreter ends,
when nothing can be imported any more, then finds all that its session has needed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module

__all__ = ["handlers_waiting", "load_when_used"]

#: What programs have handlers for. To ask for the handler of each signal takes a millisecond.
_SIGNALS = (
    "SIGALRM", "SIGCHLD", "SIGHUP", "SIGINT", "SIGPROF", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2",
    "SIGVTALRM",
)  # fmt: skip


@contextlib.contextmanager
def handlers_waiting() -> Iterator[None]:
    """Let signal handlers of the program wait inside a `with` block, as far as the system can.

    A handler runs in the main thread, also in the middle of an import. A request that it sends
    would find half of a module, and could not wait for the rest. The system delivers a signal that
    is blocked here when the block ends, unless another thread takes it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load_when_used(
    namespace: MutableMapping[str, object],
    modules: Mapping[str, tuple[str, ...]],
    otherwise: Callable[[str], object] | None = None,
) -> Callable[[str], object]:
    """Return a `__getattr__` that imports the modules at the first use of a name of theirs.

    Args:
        namespace: `globals()` of the subpackage.
        modules: The names that each module of the subpackage defines.
        otherwise: Asked for other names.
    """
    package = namespace["__name__"]
    places = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> object:
        if name in places:
            with handlers_waiting():
                for each, module in places.items():
                    found = getattr(import_module(f"{package}.{module}"), each)
                    namespace.setdefault(each, found)
            return namespace[name]
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
