"""Everything a pool knows about one key: its limits, slots, waiting callers and counters.

A `Slot` is counted against the limits from the moment it is given to its first lease until its
resource has been closed:

    empty ---fill---> in use ---release---> idle
      |                 |  ^                  |
      |                 |  +----acquire-------+
      |                 v                     v
      +-------------> closing <---------------+      free when the close has returned

These classes hold data and the arithmetic on their own data; the modules of steps change what
belongs to several objects. Each object belongs to one `PoolState`. It is changed only while the
lock of the pool is held; where `pool` or `maintenance` read a number without the lock, a comment
says so.
"""

from __future__ import annotations

import enum
import sys
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from pooledhttp.pool.config import Limits
from pooledhttp.pool.counters import Counters
from pooledhttp.pool.keepalive import KeepAliveEstimate
from pooledhttp.pool.lease import Lease, LeaseWatch
from pooledhttp.runtime import Waiter

__all__ = ["UNLIMITED", "KeyState", "WaitState", "Slot", "WaitingCaller"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: Stands for "no limit", so that comparisons need no special case.
UNLIMITED = sys.maxsize

# The numbers of `KeyState.rate_to_wait_for`.

#: While dials are spared, one is made each time that so many would have been possible.
_SPARED_PER_DIAL = 8

#: Dials are spared while a caller is likely to be served within the time of so many. Where a queue
#: is longer, more requests come than can be served, and waits in a queue cost CPU as well.
_DIALS_PER_WAIT = 100

# The numbers of `SparedDial`.

#: A caller looks after the time of at least so many dials whether to go on.
_DIALS_PER_PAUSE = 20
#: A caller goes on until leases end so many times slower than when it began. With 1, a short pause
#: would make all callers dial at once.
_SLOWER = 4


class Slot(Generic[K, R]):
    """Room for one resource, and the resource in it."""

    __slots__ = (
        "epoch",
        "idle_before",
        "idle_since",
        "keep_until",
        "key_state",
        "lease",
        "opened_at",
        "resource",
        "retire_at",
        "serves_request",
        "taken_at",
        "uses",
        "watch",
    )  # fmt: skip

    def __init__(self, key_state: KeyState[K, R]) -> None:
        self.key_state = key_state
        self.resource: R | None = None
        self.epoch = key_state.epoch  # older than the key's: evicted, closed when its lease ends
        self.opened_at = 0.0
        self.retire_at = inf  # the end of its lifetime: not leased again from then on
        self.keep_until = inf  # `retire_at`, or earlier if the peer has announced an idle limit
        self.idle_since = 0.0
        self.idle_before = 0.0  # how long it had been idle when the present lease got it
        self.taken_at = 0.0  # when the present lease got it
        self.uses = 0  # requests, for `max_requests`
        # False while its lease serves no request: it warms the key, or probes.
        self.serves_request = True
        self.lease: weakref.ref[Lease[K, R]] | None = None  # the present one, or else the last
        self.watch: LeaseWatch | None = None  # of the present lease, if leak detection is on

    @property
    def origin(self) -> str:
        """The name of the key."""
        return self.key_state.origin


class WaitState(enum.Enum):
    """Whether a caller still waits, or how its wait ended."""

    PENDING = "pending"  #: in the queue
    SERVED = "served"  #: its lease has a slot
    CLOSED = "closed"  #: the pool was shut down
    LEFT = "left"  #: it gave up


class WaitingCaller(Generic[K, R]):
    """One caller in the queue of a key.

    Args:
        lease: Gets the slot.
        waiter: Wakes the caller.
        called_at: When it called `acquire`, on the pool's clock; waiting time is counted from here.
        patience: After this many seconds it may overtake callers of other keys.
        careful: It accepts only an idle resource that is trusted.

    Attributes:
        spared_dial: None if it waits because there is no room.
    """

    __slots__ = ("called_at", "careful", "lease", "patience", "spared_dial", "state", "waiter")

    def __init__(
        self,
        lease: Lease[K, R],
        waiter: Waiter,
        called_at: float,
        patience: float,
        *,
        careful: bool,
    ) -> None:
        self.lease = lease
        self.waiter = waiter
        self.called_at = called_at
        self.patience = patience
        self.careful = careful
        self.spared_dial: SparedDial | None = None
        self.state = WaitState.PENDING


class SparedDial:
    """The dial that a caller could have made, when it joined the queue for a slot in use instead.

    The caller looks after each `pause` whether leases still end fast enough.

    Args:
        pause: Seconds until the first look. Each further pause is twice as long, because a look
            costs CPU and a queue may be long.
        ended: How many leases of the key have ended.
    """

    __slots__ = ("_ended_before", "pause")

    def __init__(self, pause: float, ended: int) -> None:
        self.pause = pause
        self._ended_before = ended

    def has_slowed(self, ended: int, dial_cost: float) -> bool:
        """Whether leases have ended too slowly in the pause that is over; begin the next one."""
        pause, self.pause = self.pause, self.pause * 2
        ended_before, self._ended_before = self._ended_before, ended
        return (ended - ended_before) * dial_cost * _SLOWER < pause


class KeyState(Generic[K, R]):
    """The state of one key.

    `open` counts all its slots: those in use, idle and closing. `in_use` counts the slots that have
    a lease. Of these, `dialling` counts the empty ones, and `not_serving` those whose lease serves
    no request, because it warms the key or probes a resource. `serving` counts the others.

    Like every object in a `PoolState`, it needs the lock of the pool.
    """

    __slots__ = (
        "blocked_serial",
        "bucket",
        "bucket_index",
        "closing",
        "counters",
        "dial_cost",
        "dialled_at",
        "dialling",
        "epoch",
        "idle",
        "idle_limit",
        "idle_timeout",
        "keepalive",
        "key",
        "max_idle",
        "max_open",
        "min_idle",
        "not_serving",
        "open",
        "origin",
        "proved_alive_seconds",
        "sweep_at",
        "waiting",
    )  # fmt: skip

    def __init__(self, key: K, origin: str, now: float) -> None:
        self.key = key
        self.origin = origin
        self.open = 0
        self.dialling = 0
        self.dialled_at = -inf  # when the last dial began
        self.dial_cost = 0.0  # seconds of CPU for a dial; with 0.0 no caller waits to spare one
        self.closing = 0
        self.not_serving = 0
        # The newest slot is last. Why a list and not a deque: removing the first item of a list
        # moves the others, but that is cheap compared with the close that follows it. A deque
        # allocates 64 entries at once: five megabytes for ten thousand keys with one slot each,
        # which would push other data out of the processor's cache.
        self.idle: list[Slot[K, R]] = []
        self.waiting: OrderedDict[int, WaitingCaller[K, R]] = OrderedDict()  # by lease serial
        self.epoch = 0  # each eviction adds one
        self.bucket = 0  # the bucket of `IdleIndex` that has this key; 0 for none
        self.bucket_index = 0  # the position in that bucket
        # No idle slot expires before this time, at which a sweep looks at the key. `inf`: no sweep
        # needs to look.
        self.sweep_at = inf
        self.blocked_serial = -1  # the lease that `BlockedIndex` has an entry for; -1 for none
        self.keepalive = KeepAliveEstimate()
        # Copies of numbers of `keepalive`, so that a request need not read that object as well.
        self.idle_limit = inf  # idle this long, a resource is not used: by the settings, or learned
        # The longest idle time after which a resource was found alive.
        self.proved_alive_seconds = 0.0
        self.counters = Counters(now)
        self.idle_timeout = inf
        self.max_open = self.max_idle = UNLIMITED
        self.min_idle = 0

    def apply_limits(self, limits: Limits, idle_timeout: float) -> None:
        """Set the limits. A key with a minimum of idle resources has no idle timeout."""
        self.max_open = UNLIMITED if limits.max_open is None else limits.max_open
        self.max_idle = UNLIMITED if limits.max_idle is None else limits.max_idle
        self.min_idle = limits.min_idle
        self.idle_timeout = inf if limits.min_idle else idle_timeout
        self._update_idle_limit()

    def saw_alive(self, age: float) -> None:
        """Learn that a resource idle for `age` seconds was alive."""
        self.proved_alive_seconds = max(self.proved_alive_seconds, age)
        self.keepalive.saw_alive(age)

    def saw_closed(self, age: float, now: float) -> None:
        """Learn that a resource idle for `age` seconds was dead."""
        self.proved_alive_seconds = 0.0  # so that `keepalive` hears of the next one found alive
        self.keepalive.saw_closed(age, now)
        self._update_idle_limit()

    def forget_outdated(self, now: float) -> None:
        """Forget a learned idle limit that is too old."""
        self.keepalive.forget_outdated(now)
        self._update_idle_limit()

    def _update_idle_limit(self) -> None:
        self.idle_limit = min(self.keepalive.limit, self.idle_timeout)

    def rate_to_wait_for(self, now: float) -> float:
        """Return 0.0 if one more caller should dial, if there is room.

        It should wait for a slot in use, nevertheless, if leases give slots back faster than this
        process could open others. Then dials would take the CPU from the requests that use the
        slots, and all would be served later. Some dials are made even then, because more slots may
        help, with a part of the CPU. All are made while the queue is long.

        Returns:
            How many slots leases are likely to give back per second, if the caller should wait.
        """
        cost = self.dial_cost
        if not cost or now - self.dialled_at >= cost * _SPARED_PER_DIAL:
            return 0.0
        rate = (self.in_use - self.dialling) * self.counters.reusable_per_held_second()
        if rate * cost < 1.0 or len(self.waiting) > rate * cost * _DIALS_PER_WAIT:
            return 0.0
        return rate

    def spare_dial(self, rate: float) -> SparedDial:
        """Make what one more caller notes that waits for slots given back at this rate.

        As a rule it is served before its first look.
        """
        expected = (len(self.waiting) + 1) / rate
        pause = max(2 * expected, self.dial_cost * _DIALS_PER_PAUSE)
        return SparedDial(pause, self.counters.ended)

    @property
    def in_use(self) -> int:
        """Slots that have a lease."""
        return self.open - len(self.idle) - self.closing

    @property
    def serving(self) -> int:
        """Slots whose lease serves a request."""
        return self.in_use - self.not_serving
