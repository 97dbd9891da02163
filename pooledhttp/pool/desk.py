"""The desk: the books, the lock around them, and what is left to do after it was released.

All parts of a pool work on the same desk. A step takes the lock, has the books changed (`taking`,
`ending` and their like decide), releases it, and calls `settle`, which does what the step noted
down: closing and waking, which may take their time or call code of others, never happen under the
lock.

**Ending a lease never waits for the lock.** A finalizer or a signal handler may end one in the very
thread that holds it. So the end is tried without waiting, and else left in a deque, `ended`; every
holder looks into the deque after it has let go, and takes the lock once more if something is there.
Nothing can be lost in between: either the one who left it gets the lock on a second try, or the
holder had not yet looked.

    with lock: change the books --> settle: --> ended? ---yes---> lock free? --yes--> end them
                                      ^           | no                | no: its holder will
                                      |           v                   v
                                      '-- do one: close, or wake <--- todo?  --no--> done

**An exception from outside** (Ctrl-C, a cancellation) can come between any two steps of Python
code. The lock is therefore only taken in ways that leave no gap before the code that gives it back:
by `with`, and without waiting as

    for is_taken in map(lock.acquire, WITHOUT_WAITING):
        if is_taken:
            try: ...
            finally: lock.release()

which is a loop of one turn: `map` calls `lock.acquire(False)` and the loop binds the answer, all
within one step of the interpreter. With `if lock.acquire(False):` an interrupt could come between
the call and the `try`, and the lock would stay taken for ever. What is to be done is taken off its
deque in the same way, or only after it was done. If the books may have been left in the middle of a
change, they are marked as damaged, and the next one who holds the lock sets them right by counting.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from random import Random
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from pooledhttp.events import Listeners
from pooledhttp.exceptions import PoolClosed
from pooledhttp.pool import ending, serving, upkeep
from pooledhttp.pool.census import process_census
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import UNLIMITED
from pooledhttp.runtime import Runtime

__all__ = ["WITHOUT_WAITING", "Desk", "marks_damage"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")

_log = logging.getLogger(__name__)

#: What `map` hands to `acquire` of a lock; see the module's text.
WITHOUT_WAITING = (False,)

#: Seconds between two lines in the log about connections closed because the shelf was full.
_OVERFLOW_LOG_SECONDS = 60.0


class Desk(Generic[K, R]):
    """The books of one pool and their lock; the arguments are the pool's.

    Args:
        config: The settings.
        lock: Guards the books.
        runtime: How callers wait.
        listeners: Who hears of events.
        random: For lifetimes, and for choosing among equals.
        close: Closes a resource.
        limits_for: Gives the limits of a key; None for those of `config`.
        is_alive: Probes an idle resource; None takes all to be alive.
        describe: Names a key.
    """

    def __init__(
        self,
        config: PoolConfig,
        lock: Any,
        *,
        runtime: Runtime,
        listeners: Listeners,
        random: Random,
        close: Callable[[R], object],
        limits_for: Callable[[K], Limits] | None,
        is_alive: Callable[[R], bool] | None,
        describe: Callable[[K], str],
    ) -> None:
        self.runtime = runtime
        self.now = runtime.now
        self.listeners = listeners
        self.limits_for = limits_for
        self.is_alive = is_alive
        self.describe = describe
        self.close_resource = close
        self.serials = itertools.count(1)
        self._random = random
        self.apply(config)
        self.begin(lock)

    def apply(self, config: PoolConfig) -> None:
        """Take over settings; the books get theirs under the lock."""
        self.config = config
        self.settings = object()  # another one after each change
        self.validate_after = inf if config.validate_after is None else config.validate_after
        if self.is_alive is None:
            self.validate_after = inf
        self.watches_leaks = config.leak_threshold is not None or process_census.is_on

    def begin(self, lock: Any) -> None:
        """Make the state, which a forked child makes anew."""
        self.lock = lock
        self.ledger: Ledger[K, R] = Ledger(self.config, self.listeners, self._random, self.now())
        self.ended: deque[tuple[str, Any, Any, float | None]] = deque()
        self.is_damaged = False
        self.leak_check_at = -inf
        self._overflow_log_at = -inf

    def limits(self, key: K) -> Limits:
        """Return the limits of a key."""
        return self.config.limits if self.limits_for is None else self.limits_for(key)

    def closed_error(self, key: K) -> PoolClosed:
        """Make the error of a caller whom a shutdown sends away."""
        origin = self.describe(key)
        return PoolClosed(
            f"No connection to {origin}: the pool was shut down. Make a new session to go on.",
            origin=origin,
        )

    # -- what is left to do after the lock was released

    def settle(self) -> None:
        """Do what the steps so far have left to do, and what was left to the lock's holder.

        Interrupted, it begins once more: nobody else may come by for as long as those in line have
        to wait.
        """
        try:
            self._settle()
        except BaseException:
            self._settle()
            raise

    def _settle(self) -> None:
        if self.is_damaged:
            self._repair()
        while self._drain_ended() or self.ledger.todo:
            self._do_next()

    def _repair(self) -> None:
        """Count anew, unless somebody holds the lock; then whoever settles next does it."""
        for is_taken in map(self.lock.acquire, WITHOUT_WAITING):
            if is_taken:
                try:
                    self.is_damaged = False
                    upkeep.settle_counts(self.ledger, self.now())
                except BaseException:
                    self.is_damaged = True
                    raise
                finally:
                    self.lock.release()

    def _drain_ended(self) -> bool:
        """End the leases that are to be ended; whether any was."""
        ended = self.ended
        has_worked = False
        while ended:
            for is_taken in map(self.lock.acquire, WITHOUT_WAITING):
                if not is_taken:
                    return has_worked  # the holder looks here when it has let go
                try:
                    self._end_all_locked()
                except BaseException:
                    self.is_damaged = True
                    raise
                finally:
                    self.lock.release()
            has_worked = True
        return has_worked

    def _end_all_locked(self) -> None:
        ended, ledger = self.ended, self.ledger
        while ended:
            # Taken off after it is done: doing it twice does nothing, losing it is for ever.
            kind, what, detail, ended_at = ended[0]
            at = self.now() if ended_at is None else ended_at
            if kind == "closed":
                serving.free(ledger, what, at)
            elif kind == "released":
                ending.release(ledger, what, detail, at)
            elif kind == "discarded":
                ending.discard(ledger, what, detail, at)
            else:
                ending.reclaim(ledger, what, at)
            ended.popleft()

    def _do_next(self) -> None:
        """Close one resource, or wake one caller."""
        try:
            # Taken and unpacked in one step, as the lock is. No None comes: an empty deque raises.
            for place, signal in iter(self.ledger.todo.popleft, None):
                try:
                    if place is not None:
                        self.close(place.resource)
                    elif signal is not None:
                        signal.set()
                finally:
                    if place is not None:  # without asking for the time: no call may come first
                        self.ended.append(("closed", place, None, None))
                return
        except IndexError:
            return  # another thread was quicker

    def close(self, resource: R | None) -> None:
        """Close a resource; never under the lock."""
        if resource is None:
            return
        try:
            self.close_resource(resource)
        except Exception as exc:  # it counts as closed whatever it says
            _log.warning("Closing %r failed", resource, exc_info=exc)

    def probe(self, resource: R) -> bool:
        """Whether an idle resource is alive; never under the lock."""
        assert self.is_alive is not None
        try:
            return self.is_alive(resource)
        except Exception as exc:  # whatever is wrong with it, it is not to be used
            _log.debug("Probing %r failed", resource, exc_info=exc)
            return False

    # -- telling

    def tell(self) -> None:
        """Tell listeners what was noted down."""
        events = self.ledger.events
        while events:
            try:
                event = events.popleft()
            except IndexError:
                return
            self.listeners.emit(event)

    def mention_overflow(self) -> None:
        """Say once in a while that connections are lost for want of room, and what to set."""
        ledger = self.ledger
        record, ledger.overflowed = ledger.overflowed, None
        now = self.now()
        if record is None or now < self._overflow_log_at:
            return
        self._overflow_log_at = now + _OVERFLOW_LOG_SECONDS
        # Read without the lock: numbers for a person may be old by a moment.
        if record.max_idle != UNLIMITED:
            setting, limit, wanted = "max_idle_per_host", record.max_idle, record.tally.peak
        else:
            setting, limit, wanted = "max_idle_total", ledger.max_idle_total, ledger.open_total
        _log.warning(
            "Connections to %s are closed because the pool keeps only %d idle (%s); %d of them "
            "so far. Set %s to %d to keep what is used.",
            record.origin, limit, setting, record.tally.closed.get("shelf_full", 0), setting,
            max(wanted, limit + 1),
        )  # fmt: skip


def marks_damage(
    function: Callable[Concatenate[Desk[K, R], P], T],
) -> Callable[Concatenate[Desk[K, R], P], T]:
    """Have the books recounted after an exception of any kind out of a function on a desk."""

    @functools.wraps(function)
    def call(desk: Desk[K, R], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(desk, *args, **kwargs)
        except BaseException:
            desk.is_damaged = True
            raise

    return call
