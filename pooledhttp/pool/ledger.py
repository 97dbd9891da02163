"""The books of a pool: its places, its counters, and how a place changes hands.

Nothing here or in the modules built on it locks, waits, closes or calls back. Whoever uses them
holds the pool's lock around each call, tells the time, and afterwards does what was noted down:
`todo` (places to close, callers to wake) and `events`. So every function is one indivisible step,
and can be tested as such. What is decided stands in modules of its own, each on those before it:

    serving    who is first in line, and what free room is given to
    keeping    whether a resource that is given back is kept, and for whom
    ending     the ways a lease is filled and ends
    probing    a resource that was idle turned out to be alive, or dead
    taking     the ways a lease gets a place
    upkeep     what is done now and then, not for a single lease

A place is in exactly one of these: `held` (a lease has it), the shelf of its record, or being
closed. Each counts: `open` is the sum of the three, so neither a connection that is being dialled
nor one whose close has not returned yet can be overshot by another.

What stays true between two calls:

    a key with callers waiting has nothing idle          whatever is given back goes to them
    a key waiting below its maximum: the pool is full,   room goes to them, and idle places of
        and nothing at all is idle                           other keys are closed for them
    open <= max_open of the key, and <= max_total        except after a resize, until leases end
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from pooledhttp.events import ConnectionClosed, Event, Listeners
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import IdleRanking, Place
from pooledhttp.pool.stats import Tally
from pooledhttp.pool.waiters import BlockedLines
from pooledhttp.runtime import Waiter

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = ["Ledger"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: Records without connections and callers are dropped after this, or beyond that many.
QUIET_SECONDS = 600.0
MAX_QUIET = 10_000


class Ledger(Generic[K, R]):
    """The books; see the module's text.

    Args:
        config: The settings.
        listeners: Events are noted down only while there are any.
        random_source: For lifetimes, and for choosing among equals.
        now: The time, for the first marks of the counters.
    """

    def __init__(
        self, config: PoolConfig, listeners: Listeners, random_source: random.Random, now: float
    ) -> None:
        self.records: dict[K, Record[K, R]] = {}
        self.held: dict[int, Place[K, R]] = {}  # by the serial number of the lease
        self.closing: set[Place[K, R]] = set()
        self.drainers: list[Waiter] = []  # who waits for everything to be closed
        self.open_total = 0
        self.idle_total = 0
        self.waiting_total = 0
        self.is_closed = False
        self.todo: deque[tuple[Place[K, R] | None, Waiter | None]] = deque()
        self.events: deque[Event] = deque()
        self.gone = Tally(now)  # the counts of the records that were dropped
        self.overflowed: Record[K, R] | None = None  # to be mentioned in the log
        self.listeners = listeners
        self._random = random_source
        self.ranking: IdleRanking[K, R] = IdleRanking(random_source)
        self.blocked: BlockedLines[K, R] = BlockedLines()
        self._quiet: OrderedDict[K, float] = OrderedDict()
        self._warm: dict[K, Record[K, R]] = {}  # those with a minimum of idle ones
        self.configure(config)

    def configure(self, config: PoolConfig) -> None:
        """Take over the settings that are the pool's own, not a key's."""
        self.max_total = UNLIMITED if config.max_total is None else config.max_total
        self.max_idle_total = UNLIMITED if config.max_idle_total is None else config.max_idle_total
        self.max_uses = UNLIMITED if config.max_requests is None else config.max_requests
        self.idle_timeout = inf if config.idle_timeout is None else config.idle_timeout
        self.max_lifetime = inf if config.max_lifetime is None else config.max_lifetime
        self.lifetime_jitter = config.lifetime_jitter

    # -- records: one for each key

    def enter(self, key: K, origin: str, limits: Limits, now: float) -> Record[K, R]:
        """Return the record of a key, a new one if there is none."""
        record = self.records.get(key)
        if record is None:
            record = self.records[key] = Record(key, origin, now)
            self.limit(record, limits)
            self.hush(record, now)
        return record

    def limit(self, record: Record[K, R], limits: Limits) -> None:
        """Give a record its limits."""
        record.limit(limits, self.idle_timeout)
        if record.min_idle:
            self._warm[record.key] = record
        else:
            self._warm.pop(record.key, None)

    def shortage(self) -> list[tuple[K, int]]:
        """Return the keys with fewer idle ones than their minimum, and how many are missing."""
        found = []
        for record in self._warm.values():
            missing = record.min_idle - len(record.shelf) - record.warming
            missing = min(missing, record.max_open - record.open)
            if missing > 0:
                found.append((record.key, missing))
        return found

    def warm_records(self) -> list[Record[K, R]]:
        """Return the records with a minimum of idle resources."""
        return list(self._warm.values())

    def hush(self, record: Record[K, R], now: float) -> None:
        """Count a record as quiet, if it is."""
        if not record.open and not record.waiters:
            self._quiet[record.key] = now
            self._quiet.move_to_end(record.key)
            self.forget_quiet(now, at_most=2)

    def rouse(self, record: Record[K, R]) -> None:
        """Do not count a record as quiet: it is going to be used, and must not be dropped."""
        self._quiet.pop(record.key, None)

    def forget_quiet(self, now: float, at_most: int = UNLIMITED) -> None:
        """Drop records nobody has used for long, and those beyond what is kept."""
        quiet = self._quiet
        while quiet and at_most:
            key = next(iter(quiet))
            if len(quiet) <= MAX_QUIET and now - quiet[key] < QUIET_SECONDS:
                return
            del quiet[key]
            record = self.records.pop(key)
            self.ranking.drop(record)
            self._warm.pop(key, None)
            self.gone.absorb(record.tally)
            at_most -= 1

    def forget_order(self) -> None:
        """Begin anew with what is only derived from the records: it may be damaged as they are."""
        self.ranking = IdleRanking(self._random)
        self.blocked = BlockedLines()
        self._quiet.clear()
        for record in self.records.values():
            record.listed = 0
            record.blocked_serial = -1

    # -- places: counted, given to leases, and on their way to be closed

    def is_full(self, record: Record[K, R]) -> bool:
        """Whether a limit, the record's or the pool's, leaves no room for another place of it."""
        return record.open >= record.max_open or self.open_total >= self.max_total

    def open_place(self, record: Record[K, R]) -> None:
        """Count one more place."""
        record.open += 1
        self.open_total += 1
        if record.open > record.tally.peak:
            record.tally.peak = record.open

    def bind_empty(self, place: Place[K, R], lease: Lease[K, R], now: float) -> None:
        """Give a new, empty place to a lease."""
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = None
        lease.reused = False
        lease.idle_seconds = 0.0
        place.taken_at = now
        record = place.record
        record.dialling += 1
        if place.counts:
            record.tally.dialled += 1
        else:
            record.warming += 1

    def bind_full(self, place: Place[K, R], lease: Lease[K, R], now: float) -> None:
        """Give a place whose resource was idle to a lease."""
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = place.resource
        lease.reused = True
        lease.idle_seconds = place.idle_before = now - place.idle_since
        place.taken_at = now
        if place.counts:
            place.uses += 1
        else:
            place.record.warming += 1

    def uncount(self, place: Place[K, R]) -> None:
        """Take a place from a keeper; whatever lease gets it next is a request's."""
        if not place.counts:
            place.counts = True
            place.record.warming -= 1

    def retire_at(self, now: float) -> float:
        """Draw when a resource opened now is too old; not all at once, if they were opened so."""
        life = self.max_lifetime
        if life == inf:
            return inf
        return now + life * (1.0 - self.lifetime_jitter * self._random.random())

    def doom(self, place: Place[K, R], reason: str, now: float) -> None:
        """Have a resource closed; its place counts until that is done."""
        self.todo.append((place, None))  # first: what is to be closed must not be forgotten
        self.closing.add(place)
        place.record.closing += 1
        self.note_closed(place, reason, now)

    def note_closed(self, place: Place[K, R], reason: str, now: float) -> None:
        """Count a close, and have listeners told of it."""
        record = place.record
        record.tally.lost(reason)
        if self.listeners:
            age = now - place.opened_at
            self.events.append(ConnectionClosed(record.origin, reason, age, place.uses))
