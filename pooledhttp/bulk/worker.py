"""A worker of a run that is spread over processes: orders come, replies go.

```
run_order --> WorkerEngine, opened for a lane of a run by its first order
                 `-- kept for the next order of that lane, or closed
```

An engine that is kept goes on with what it has between two orders, over the connections that it
has. It is closed with its run, when nothing was asked of it for a minute, and with the process.
"""

from __future__ import annotations

import pickle
from collections import deque
from functools import partial

from pooledhttp.__version__ import __version__
from pooledhttp.bulk.payloads import Order, Reply, RunSettings, WorkerMismatch
from pooledhttp.bulk.portable import dumps_portably
from pooledhttp.bulk.worker_download import DownloadEngine
from pooledhttp.bulk.worker_engine import FetchEngine, WorkerEngine, name_of_process
from pooledhttp.runtime import new_lock

__all__ = ["close_run", "end_run", "halt_all", "run_order", "version_here"]

_Key = tuple[str, int]

_lock = new_lock()
_engines: dict[_Key, WorkerEngine] = {}
#: Runs that have ended; an order that comes late does nothing.
_ended: deque[str] = deque(maxlen=100)


def version_here() -> str:
    """Return the version of this process's pooledhttp."""
    return __version__


def run_order(version: str, run: str, lane: int, settings: bytes, order: bytes) -> bytes:
    """Do an order, and return the reply. Called in the worker.

    Args:
        version: The caller's version of pooledhttp.
        run: Which run it is of.
        lane: Which lane of it.
        settings: The pickled `RunSettings`.
        order: The pickled `Order`.

    Raises:
        WorkerMismatch: The version here is another one, or the directory cannot be seen from here.
    """
    if version != __version__:
        raise WorkerMismatch(
            f"the worker {name_of_process()} has pooledhttp {__version__}, and the caller"
            f" {version}. Install the same version on both."
        )
    wanted: Order = pickle.loads(order)
    engine = _engine((run, lane), pickle.loads(settings), keeps=wanted.keeps)
    try:
        reply = engine.serve(wanted)
    except BaseException:
        _close((run, lane), engine)
        raise
    if not wanted.keeps or reply.is_halted or reply.error is not None:
        _close((run, lane), engine)
    return dumps_portably(_portable(reply))


def end_run(run: str) -> None:
    """End what this process does for a run. Never blocks."""
    _ended.append(run)
    for (name, _), engine in list(_engines.items()):
        if name == run:
            engine.halt()


def close_run(run: str) -> None:
    """End what this process does for a run, and close its connections."""
    end_run(run)
    for key, engine in list(_engines.items()):
        if key[0] == run:
            _close(key, engine)


def halt_all() -> None:
    """End all that this process does for runs. Never blocks; a signal handler may call it."""
    for engine in list(_engines.values()):
        engine.halt()


def _engine(key: _Key, settings: RunSettings, *, keeps: bool) -> WorkerEngine:
    with _lock:
        engine = _engines.get(key)
    if engine is None or engine.is_closed:
        kind = FetchEngine if settings.options is None else DownloadEngine
        engine = kind(settings)
        with _lock:
            _engines[key] = engine
        if keeps:
            engine.close_when_idle(partial(_close, key, engine))
    if key[0] in _ended:
        engine.halt()
    return engine


def _close(key: _Key, engine: WorkerEngine) -> None:
    with _lock:
        if _engines.get(key) is engine:
            del _engines[key]
    engine.close()


def _portable(reply: Reply) -> Reply:
    if reply.error is not None:
        try:
            dumps_portably(reply.error)
        except Exception:  # then its text has to do
            reply.error = RuntimeError(f"{type(reply.error).__name__}: {reply.error}")
    return reply
