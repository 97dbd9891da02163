"""The books of a pool: who holds which place, and every decision about who gets one.

Nothing here locks, waits, closes or calls back. `Pool` holds its lock around each call, tells the
time, and afterwards does what was noted down: `todo` (places to close, callers to wake) and
`events`. So every method is one indivisible step, and can be tested as such.

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

import bisect
import enum
import random
from collections import OrderedDict, deque
from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from pooledhttp.events import (
    ConnectionClosed,
    Event,
    Leaked,
    LeaseEnded,
    Listeners,
    ShelfOverflow,
    StaleFound,
)
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import IdleRanking, Place
from pooledhttp.pool.stats import BOUNDS_SECONDS, Tally
from pooledhttp.pool.waiters import BlockedLines, Outcome, Waiting
from pooledhttp.runtime import Waiter

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = ["Carcass", "Ledger", "Verdict"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: Records without connections and callers are dropped after this, or beyond that many.
QUIET_SECONDS = 600.0
MAX_QUIET = 10_000

#: A resource to be closed by the caller at hand, before it makes another in its place.
Carcass = tuple[Record[K, R], R]


class Verdict(enum.Enum):
    """What came of looking for a place."""

    PLACED = "placed"  #: the lease has one
    OBSERVE = "observe"  #: the lease has an old idle resource that is to be probed first
    WAIT = "wait"  #: nothing is free
    CLOSED = "closed"  #: the pool is shut down


def _idle_since(place: Place[K, R]) -> float:
    return place.idle_since


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
        self._listeners = listeners
        self._random = random_source
        self.ranking: IdleRanking[K, R] = IdleRanking(random_source)
        self._blocked: BlockedLines[K, R] = BlockedLines()
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

    # -- records

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

    def hush(self, record: Record[K, R], now: float) -> None:
        """Count a record as quiet, if it is."""
        if not record.open and not record.waiters:
            self._quiet[record.key] = now
            self._quiet.move_to_end(record.key)
            self.forget_quiet(now, at_most=2)

    def forget_order(self) -> None:
        """Begin anew with what is only derived from the records: it may be damaged as they are."""
        self.ranking = IdleRanking(self._random)
        self._blocked = BlockedLines()
        self._quiet.clear()
        for record in self.records.values():
            record.listed = 0
            record.blocked_serial = -1

    # -- taking

    def take_idle(self, record: Record[K, R], lease: Lease[K, R], now: float) -> bool:
        """Give the newest idle place to the lease, if it may be used as it is.

        This is the common case and on the path of every request: no more is done than has to be.
        """
        shelf = record.shelf
        if not shelf:
            return False
        place = shelf[-1]
        idle_seconds = now - place.idle_since
        if now >= place.keep_until or idle_seconds >= record.idle_limit:
            return False
        self.held[lease.serial] = place
        shelf.pop()
        self.idle_total -= 1
        lease.place = place
        lease.resource = place.resource
        lease.reused = True
        lease.idle_seconds = place.idle_before = idle_seconds
        place.taken_at = now
        place.uses += 1
        return True

    def seek(
        self,
        record: Record[K, R],
        lease: Lease[K, R],
        now: float,
        carcasses: list[Carcass[K, R]],
        *,
        careful: bool = False,
        fresh: bool = False,
        may_observe: bool = False,
        waiting: Waiting[K, R] | None = None,
    ) -> Verdict:
        """Find a place for the lease, in the order the module `pool` tells.

        Args:
            record: Of the key.
            lease: Gets the place.
            now: The time.
            carcasses: Gets resources that were taken out of the place the lease has now. The
                caller closes them before it puts another in.
            careful: Take only an idle resource younger than what is trusted.
            fresh: Take only an empty place.
            may_observe: Whether an old idle one may be handed out to be probed, to learn by it.
            waiting: Stands in line if nothing is free; None does not stand in line.
        """
        if self.is_closed:
            return Verdict.CLOSED
        # Not quiet while it is being served: making room may drop other records, never this one.
        self._quiet.pop(record.key, None)
        expired: Place[K, R] | None = None
        if record.shelf and not fresh:
            record.review(now)
            expired = self._drop_expired_newest(record, now)
            if self._take_trusted(record, lease, now, careful=careful):
                if expired is not None:
                    self.doom(expired, self.why_expired(expired, now), now)
                return Verdict.PLACED
            if record.shelf and may_observe and expired is None:
                self._lend_elder(record, lease, now)
                return Verdict.OBSERVE
        if expired is not None or self._make_room(record, now, carcasses):
            if expired is not None:
                self._gut(expired, self.why_expired(expired, now), now, carcasses)
        elif record.open >= record.max_open or self.open_total >= self.max_total:
            return self._stand_in_line(record, lease, waiting, now)
        self._open(record)
        self._bind_empty(Place(record), lease, now)
        return Verdict.PLACED

    def _drop_expired_newest(self, record: Record[K, R], now: float) -> Place[K, R] | None:
        """Take expired places off the shelf's new end; return one whose room may be used."""
        shelf = record.shelf
        limit = record.idle_limit
        spare: Place[K, R] | None = None
        while shelf and (now >= shelf[-1].keep_until or now - shelf[-1].idle_since >= limit):
            place = shelf.pop()
            self.idle_total -= 1
            if spare is not None:
                self.doom(spare, self.why_expired(spare, now), now)
            spare = place
        return spare

    def _take_trusted(
        self, record: Record[K, R], lease: Lease[K, R], now: float, *, careful: bool
    ) -> bool:
        shelf = record.shelf
        if not shelf or (careful and now - shelf[-1].idle_since >= record.freshness.trust):
            return False
        return self.take_idle(record, lease, now)

    def _make_room(self, record: Record[K, R], now: float, carcasses: list[Carcass[K, R]]) -> bool:
        """Empty an idle place for a lease of `record`, if that is what stands in its way."""
        if record.open >= record.max_open:
            victim: Record[K, R] | None = record if record.shelf else None
        elif self.open_total >= self.max_total:
            victim = self.ranking.richest()
        else:
            return False
        if victim is None:
            return False
        place = victim.shelf.pop(0)
        self.idle_total -= 1
        self._gut(place, "made_room", now, carcasses)
        return True

    def _gut(
        self, place: Place[K, R], reason: str, now: float, carcasses: list[Carcass[K, R]]
    ) -> None:
        """Give up a place whose resource the caller closes at once; its room is free already."""
        record = place.record
        assert place.resource is not None
        carcasses.append((record, place.resource))
        self._note_closed(place, reason, now)
        record.open -= 1
        self.open_total -= 1
        self.hush(record, now)

    def _open(self, record: Record[K, R]) -> None:
        """Count one more place."""
        record.open += 1
        self.open_total += 1
        if record.open > record.tally.peak:
            record.tally.peak = record.open

    def _bind_empty(self, place: Place[K, R], lease: Lease[K, R], now: float) -> None:
        """Give a new, empty place to a lease."""
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = None
        lease.reused = False
        lease.idle_seconds = 0.0
        place.taken_at = now
        place.record.dialling += 1
        place.record.tally.dialled += 1

    def reserve(self, record: Record[K, R], lease: Lease[K, R], now: float) -> bool:
        """Give an empty place to a keeper's lease, if that takes it from nobody."""
        is_full = record.open >= record.max_open or self.open_total >= self.max_total
        kept = len(record.shelf) + record.warming
        no_shelf = kept >= record.max_idle or self.idle_total >= self.max_idle_total
        if self.is_closed or is_full or no_shelf:
            return False
        self._quiet.pop(record.key, None)
        self._open(record)
        place = Place(record)
        place.counts = False
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = None
        lease.reused = False
        lease.idle_seconds = 0.0
        place.taken_at = now
        record.dialling += 1
        record.warming += 1
        return True

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

    # -- observing: an old idle resource is probed, to learn how long the origin keeps them

    def _lend_elder(self, record: Record[K, R], lease: Lease[K, R], now: float) -> None:
        place = record.shelf.pop(0)
        self.idle_total -= 1
        place.idle_before = now - place.idle_since
        place.taken_at = now
        place.counts = False
        record.warming += 1
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = place.resource
        lease.reused = True
        lease.idle_seconds = place.idle_before

    def observed_alive(self, lease: Lease[K, R], now: float) -> Record[K, R] | None:
        """Take the probed place back from the lease, which then seeks anew; None if it ended."""
        place = self.held.pop(lease.serial, None)
        if place is None:
            return None
        record = place.record
        record.saw_alive(place.idle_before)
        self.uncount(place)
        lease.place = lease.resource = None
        if record.waiters or self._blocked.first() is not None or self.is_unwanted(place):
            # Somebody came meanwhile: it must not go back to the shelf past them. Closing it and
            # freeing its room serves whoever is first.
            self.doom(place, "made_room", now)
        else:
            bisect.insort_left(record.shelf, place, key=_idle_since)
            self.idle_total += 1
            if record.listed < len(record.shelf):
                self.ranking.rise(record)
        return record

    def uncount(self, place: Place[K, R]) -> None:
        if not place.counts:
            place.counts = True
            place.record.warming -= 1

    def found_dead(self, lease: Lease[K, R], now: float) -> bool:
        """The lease's resource is dead and has been closed; leave the lease an empty place.

        Returns:
            Whether the lease had not been ended meanwhile.
        """
        place = self.held.get(lease.serial)
        if place is None:
            return False
        record = place.record
        record.saw_closed(place.idle_before, now)
        tally = record.tally
        tally.stale_found += 1
        if self._listeners:
            self.events.append(StaleFound(record.origin, place.idle_before))
        self._note_closed(place, "stale", now)
        tally.dialled += 1
        self.uncount(place)  # if it was observed, this is the lease's real beginning
        emptied: Place[K, R] = Place(record)
        emptied.taken_at = place.taken_at
        emptied.watch = place.watch
        self.held[lease.serial] = emptied
        record.dialling += 1
        lease.place = emptied
        lease.resource = None
        lease.reused = False
        return True

    def swap_for_idle(self, lease: Lease[K, R], now: float, *, careful: bool) -> bool:
        """Exchange the lease's empty place for another idle one of its key, if there is one."""
        place = self.held.get(lease.serial)
        if place is None or not place.record.shelf or place.record.waiters:
            return False
        record = place.record
        if not self._take_trusted(record, lease, now, careful=careful):
            return False
        record.tally.dialled -= 1
        assert lease.place is not None
        lease.place.watch = place.watch
        self._vacate(place, now)
        return True

    # -- filling and ending

    def fill(self, serial: int, resource: R, now: float) -> Place[K, R] | None:
        """Put a resource into the lease's empty place; None when the lease has been ended.

        Raises:
            ValueError: The place is not empty.
        """
        place = self.held.get(serial)
        if place is None:
            return None
        if place.resource is not None:
            raise ValueError("the lease holds a resource already")
        place.resource = resource
        place.opened_at = now
        life = self.max_lifetime
        if life != inf:
            place.retire_at = now + life * (1.0 - self.lifetime_jitter * self._random.random())
        place.uses = 1 if place.counts else 0
        place.record.dialling -= 1
        place.record.tally.created += 1
        return place

    def release(self, serial: int, keep_for: float | None, now: float) -> None:
        """End a lease whose resource may be used again."""
        place = self.held.pop(serial, None)
        if place is None:
            return
        record = place.record
        if place.counts:
            hold_seconds = now - place.taken_at
            tally = record.tally
            tally.hold_seconds += hold_seconds
            tally.hold_counts[bisect.bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
            if now >= tally.roll_at:
                tally.roll(now, record.leased)
            if self._listeners:
                self.events.append(LeaseEnded(record.origin, hold_seconds, "released"))
        else:
            self.uncount(place)
        if place.resource is None:
            self._vacate(place, now)
            return
        if place.idle_before > record.alive_at:
            record.saw_alive(place.idle_before)
        # All times are one object now, and the old ones are gone while they are in the cache: each
        # would be another trip to memory when the place is taken again.
        place.idle_since = place.taken_at = now
        place.idle_before = 0.0
        place.watch = None
        place.keep_until = place.retire_at
        if keep_for is not None:
            record.freshness.told(keep_for)
            told_until = now + record.freshness.keeps_for(keep_for)
            place.keep_until = min(place.retire_at, told_until)
        if (
            now >= place.retire_at
            or place.epoch != record.epoch
            or place.uses >= self.max_uses
            or record.open > record.max_open
            or self.open_total > self.max_total
            or self.is_closed
        ):
            self.doom(place, self.why_expired(place, now), now)
            return
        shelf = record.shelf
        if self.waiting_total or shelf or self.idle_total >= self.max_idle_total:
            self._keep(place, now)
        elif record.max_idle:  # the common case: nobody waits, and it is the only one
            shelf.append(place)
            self.idle_total += 1
            if not record.listed:
                self.ranking.rise(record)
        else:
            self._keep(place, now)

    def discard(self, serial: int, reason: str, now: float) -> None:
        """End a lease whose resource is of no further use."""
        place = self.held.pop(serial, None)
        if place is None:
            return
        self._count_end(place, reason, now)
        if place.resource is None:
            self._vacate(place, now)
        else:
            self.doom(place, reason, now)

    def reclaim(self, serial: int, now: float) -> None:
        """End a lease that was dropped without being ended."""
        place = self.held.get(serial)
        if place is None:
            return
        self.note_leak(place, now)
        self.discard(serial, "leaked", now)

    def give_back(self, serial: int, now: float) -> None:
        """End a lease that was handed to a caller who never used it: nothing happened."""
        place = self.held.pop(serial, None)
        if place is None:
            return
        if place.resource is None:
            place.record.tally.dialled -= place.counts
            self.uncount(place)
            self._vacate(place, now)
            return
        place.uses -= place.counts
        self.uncount(place)
        place.idle_before = 0.0
        place.watch = None
        if now >= place.keep_until or self.is_unwanted(place):
            self.doom(place, self.why_expired(place, now), now)
        else:
            self._keep(place, now)

    def note_leak(self, place: Place[K, R], now: float) -> None:
        """Count a leak, once per lease."""
        watch = place.watch
        if watch is not None:
            if watch.is_reported:
                return
            watch.is_reported = True
        record = place.record
        record.tally.leaks += 1
        if self._listeners:
            age = now - place.taken_at
            where, thread = ("", "") if watch is None else (watch.where, watch.thread)
            self.events.append(Leaked(record.origin, where, age, thread))

    def _count_end(self, place: Place[K, R], reason: str, now: float) -> None:
        if not place.counts:
            self.uncount(place)
            return
        hold_seconds = now - place.taken_at
        tally = place.record.tally
        tally.hold_seconds += hold_seconds
        tally.hold_counts[bisect.bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
        if now >= tally.roll_at:
            tally.roll(now, place.record.leased)
        if self._listeners:
            ended = LeaseEnded(place.record.origin, hold_seconds, "discarded", reason)
            self.events.append(ended)

    def is_unwanted(self, place: Place[K, R]) -> bool:
        """Whether a good resource is to be closed all the same, now that it has been given back."""
        record = place.record
        return (
            place.epoch != record.epoch
            or place.uses >= self.max_uses
            or self.is_closed
            or record.open > record.max_open
            or self.open_total > self.max_total
        )

    def why_expired(self, place: Place[K, R], now: float) -> str:
        record = place.record
        if place.epoch != record.epoch:
            return "evicted"
        if self.is_closed:
            return "closed"
        if place.uses >= self.max_uses:
            return "max_requests"
        if now >= place.retire_at:
            return "max_lifetime"
        if record.open > record.max_open or self.open_total > self.max_total:
            return "resized"
        return "idle_timeout" if now - place.idle_since >= self.idle_timeout else "idle_limit"

    def _keep(self, place: Place[K, R], now: float) -> None:
        """Hand a good resource to whoever waits for it, or put it on the shelf."""
        record = place.record
        if self._blocked and self._overtaker(record, record.open, now) is not None:
            self.doom(place, "made_room", now)  # once it is closed, its room goes to another key
            return
        if record.waiters:
            first = next(iter(record.waiters.values()))
            idle_seconds = now - place.idle_since
            if first.fresh or (first.careful and idle_seconds >= record.freshness.trust):
                self.doom(place, "made_room", now)
            else:
                self._hand(record, place, now)
            return
        self.shelve(place, now)

    def shelve(self, place: Place[K, R], now: float) -> None:
        record = place.record
        shelf = record.shelf
        if len(shelf) >= record.max_idle or self.idle_total >= self.max_idle_total:
            victim = record if len(shelf) >= record.max_idle else self.ranking.richest()
            if victim is None or not victim.shelf:  # the limit is zero
                self._overflow(record)
                self.doom(place, "shelf_full", now)
                return
            self._overflow(victim)
            self.idle_total -= 1
            self.doom(victim.shelf.pop(0), "shelf_full", now)
        elif len(shelf) > record.min_idle and (
            now >= shelf[0].keep_until or now - shelf[0].idle_since >= self.idle_timeout
        ):
            # One that is not needed any more is closed by every release, so that a shelf shrinks to
            # what is used even if nobody ever sweeps.
            self.idle_total -= 1
            oldest = shelf.pop(0)
            self.doom(oldest, self.why_expired(oldest, now), now)
        shelf.append(place)
        self.idle_total += 1
        if record.listed < len(shelf):
            self.ranking.rise(record)

    def _overflow(self, record: Record[K, R]) -> None:
        self.overflowed = record
        if self._listeners:
            self.events.append(ShelfOverflow(record.origin))

    def _overtaker(self, record: Record[K, R], had: int, now: float) -> Record[K, R] | None:
        """Return the other key that a place of `record`, which had that many, has to go to.

        Who has lost patience gets it if that makes shares more even, or if it has waited for that
        much longer than the record's own line, and twice as long. Under a load that makes everybody
        wait longer than patience, shares settle and each key's places serve its own line; going by
        age alone would then close a connection for nearly every request.
        """
        other = self._blocked.first_but(record)
        if other is None or not record.waiters:
            return other
        first = next(iter(other.waiters.values()))
        waited = now - first.since
        if waited <= first.patience:
            return None
        own = now - next(iter(record.waiters.values())).since
        is_poorer = not other.open or other.open + 1 < had
        return other if is_poorer or waited > own + max(own, first.patience) else None

    def doom(self, place: Place[K, R], reason: str, now: float) -> None:
        """Have a resource closed; its place counts until that is done."""
        self.todo.append((place, None))  # first: what is to be closed must not be forgotten
        self.closing.add(place)
        place.record.closing += 1
        self._note_closed(place, reason, now)

    def _note_closed(self, place: Place[K, R], reason: str, now: float) -> None:
        record = place.record
        record.tally.lost(reason)
        if self._listeners:
            age = now - place.opened_at
            self.events.append(ConnectionClosed(record.origin, reason, age, place.uses))

    def _vacate(self, place: Place[K, R], now: float) -> None:
        """Free an empty place that a lease had."""
        place.record.dialling -= 1
        self._uncover(place.record, now)

    def free(self, place: Place[K, R], now: float) -> None:
        """Stop counting a place whose resource has been closed."""
        if place in self.closing:
            self.closing.discard(place)
            place.record.closing -= 1
            self._uncover(place.record, now)

    def _uncover(self, record: Record[K, R], now: float) -> None:
        """Count one place less, and serve whoever can use the room."""
        record.open -= 1
        self.open_total -= 1
        if self.waiting_total:
            self.serve(record, now)
        if not record.open:
            self.hush(record, now)
        if self.drainers and not self.open_total:
            self.todo.extend((None, signal) for signal in self.drainers)
            self.drainers.clear()

    # -- the lines

    def _stand_in_line(
        self,
        record: Record[K, R],
        lease: Lease[K, R],
        waiting: Waiting[K, R] | None,
        now: float,
    ) -> Verdict:
        if waiting is None:
            self.hush(record, now)
        else:
            record.waiters[lease.serial] = waiting
            self.waiting_total += 1
            if self.max_total != UNLIMITED:
                self._blocked.note(record)
        return Verdict.WAIT

    def withdraw(self, record: Record[K, R], waiting: Waiting[K, R], now: float) -> bool:
        """Leave the line; False when it had been left already, by being served or by a shutdown."""
        if waiting.outcome is not Outcome.PENDING:
            return False
        waiting.outcome = Outcome.LEFT
        del record.waiters[waiting.lease.serial]
        self.waiting_total -= 1
        if self.max_total != UNLIMITED:
            self._blocked.note(record)  # the next one is first now
        self.hush(record, now)
        return True

    def serve(self, record: Record[K, R], now: float) -> None:
        """Give free room away: to the record's own line, unless another has lost patience."""
        blocked = self._blocked
        if self.max_total != UNLIMITED:
            blocked.note(record)
        while self.open_total < self.max_total:
            target: Record[K, R] | None = None
            if record.waiters and record.open < record.max_open:
                target = record
            if blocked:
                overtaker = self._overtaker(record, record.open + 1, now) if target else None
                target = overtaker or target or blocked.first()
            if target is None:
                return
            self._open(target)
            self._hand(target, Place(target), now)

    def _hand(self, record: Record[K, R], place: Place[K, R], now: float) -> None:
        """Give a place to the first in line. Being woken is only news of it."""
        _, waiting = record.waiters.popitem(last=False)
        self.waiting_total -= 1
        lease = waiting.lease
        lease.wait_seconds = now - waiting.since
        record.tally.waited(lease.wait_seconds)
        if place.resource is None:
            self._bind_empty(place, lease, now)
        else:
            self._bind_full(place, lease, now)
        waiting.outcome = Outcome.HANDED
        self.todo.append((None, waiting.signal))
        if self.max_total != UNLIMITED:
            self._blocked.note(record)

    def _bind_full(self, place: Place[K, R], lease: Lease[K, R], now: float) -> None:
        self.held[lease.serial] = place
        lease.place = place
        lease.resource = place.resource
        lease.reused = True
        lease.idle_seconds = place.idle_before = now - place.idle_since
        place.taken_at = now
        place.uses += 1
