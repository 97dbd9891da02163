"""A lease: the exclusive use of one slot, with a resource in it or still empty.

    (waiting) --> empty --fill--> holding --release--> ended     the resource is idle again
                    |                |------discard--> ended     the resource is closed
                    |                |------__del__--> ended     closed, and counted as a leak
                    |                '--found_stale--> empty     closed; a new slot takes its place
                    '---release, discard, __del__----> ended

A lease ends once. Ending it again does nothing, from any thread. The lease itself does not store
whether it has ended. The pool does, in `held`, by the serial number of the lease. So the end is one
step for all threads, and a lease that was carried into a forked child has ended there without any
work.

References point one way:

    lease --> owner (the pool) --> slot

The pool refers to a lease that it has given out only weakly. A dropped lease is therefore collected
at once, and `__del__` gives its slot back. An interrupt at the very beginning of `__del__` can stop
that; then the next sweep finds that the lease is gone. This module imports nothing of the pool:
what a lease needs of it is the protocol `LeaseOwner`.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, Protocol, TypeVar

__all__ = ["Lease", "LeaseOwner", "LeaseWatch", "LeasedSlot"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: What `Lease.in_use` returns when leak detection is off.
_NOT_WATCHED = contextlib.nullcontext()


class LeaseWatch:
    """What leak detection knows of one lease. It exists only while leak detection is on.

    As a context manager it marks a call in progress.

    Args:
        where: File and line of the caller outside the package; empty if there is none.
        thread: The name of the caller's thread.
        now: The clock, in seconds.
    """

    __slots__ = ("_now", "calls", "is_reported", "thread", "touched_at", "where")

    def __init__(self, where: str, thread: str, now: Callable[[], float]) -> None:
        self._now = now
        self.where = where
        self.thread = thread
        self.touched_at = now()
        self.calls = 0  # calls in progress
        self.is_reported = False

    def touch(self) -> None:
        """Note that the holder uses the lease now."""
        self.touched_at = self._now()

    def __enter__(self) -> None:
        self.calls += 1
        self.touched_at = self._now()

    def __exit__(self, *_: object) -> None:
        self.calls -= 1
        self.touched_at = self._now()

    def __str__(self) -> str:
        return (f", leased at {self.where}" if self.where else "") + f" in {self.thread}"


class _ThisThread(threading.local):
    """A weak reference to the running thread, made once per thread: every request needs one."""

    def __init__(self) -> None:
        self.ref = weakref.ref(threading.current_thread())


_this_thread = _ThisThread()


class LeasedSlot(Protocol):
    """What a lease reads of its slot."""

    watch: LeaseWatch | None

    @property
    def origin(self) -> str:
        """The name of what the resource connects to."""


class LeaseOwner(Protocol[K, R]):
    """The pool, as its leases see it. No method that ends a lease waits for a lock."""

    @property
    def held(self) -> Mapping[int, LeasedSlot]:
        """The slots of the leases that have not ended, by serial number."""

    def fill(self, lease: Lease[K, R], resource: R) -> None:
        """Put a new resource into the empty slot of a lease."""

    def replace_dead(self, lease: Lease[K, R]) -> None:
        """Close the dead resource of a lease, which gets a new, empty slot in its place."""

    def renew(self, lease: Lease[K, R]) -> bool:
        """Begin the next use of a lease's resource, unless the pool has another use for it."""

    def end_released(self, serial: int, announced_seconds: float | None) -> None:
        """End a lease whose resource can be used again."""

    def end_discarded(self, serial: int, reason: str) -> None:
        """End a lease and close its resource."""

    def end_never_received(self, serial: int) -> None:
        """End a lease that was dropped before its caller received it."""

    def end_dropped(self, serial: int) -> None:
        """End a lease that was dropped while it was in use."""


class Lease(Generic[K, R]):
    """What `Pool.acquire` returns. One thread uses it at a time; any thread may end it.

    Attributes:
        key: What the resource connects to.
        resource: The resource; `None` while the slot is empty, and after the end.
        reused: Whether an earlier lease has used the resource.
        idle_seconds: How long the resource had been idle before this lease; 0.0 if it is new.
        wait_seconds: How long the caller waited in the queue.
        slot: The slot, which belongs to the pool; `None` after the end.
        serial: The number of the lease, unique in its pool.
        thread_ref: A weak reference to the thread that made the lease.
    """

    __slots__ = (
        "__weakref__", "_owner", "idle_seconds", "key", "resource", "reused", "serial", "slot",
        "thread_ref", "wait_seconds",
    )  # fmt: skip

    key: K
    serial: int
    slot: LeasedSlot | None
    resource: R | None
    reused: bool
    idle_seconds: float
    wait_seconds: float

    def __init__(self, owner: LeaseOwner[K, R], key: K, serial: int) -> None:
        # The other attributes are set when the lease gets its slot, before the caller receives it.
        self._owner = owner
        self.key = key
        self.serial = serial
        self.thread_ref = _this_thread.ref
        self.wait_seconds = 0.0

    @property
    def is_ended(self) -> bool:
        """Whether the slot has gone back to the pool."""
        return self.serial not in self._owner.held

    def fill(self, resource: R) -> None:
        """Put a new resource into the empty slot.

        Args:
            resource: From now on the pool closes it.

        Raises:
            ValueError: The lease already holds a resource.
            PoolClosed: The lease has ended: it was released or discarded, or the process was forked
                since. The pool has closed `resource`.
        """
        self._owner.fill(self, resource)

    def release(self, announced_seconds: float | None = None) -> None:
        """Give the resource back for reuse; an empty slot becomes free.

        Args:
            announced_seconds: The idle limit that the peer announced, in seconds; `None` if it
                announced none.
        """
        self.resource = self.slot = None
        self._owner.end_released(self.serial, announced_seconds)

    def renew(self) -> bool:
        """End this use of the resource, and begin the next one: a `release` and an `acquire`.

        It is cheaper than these, and the resource is probed in the same way. Without a probe that
        finds it alive, the lease has another resource, or an empty slot.

        Returns:
            Whether it is renewed. If not, it has been released, since the pool has another use for
            the resource: a caller waits, or it has reached its age.
        """
        if self._owner.renew(self):
            return True
        self.release()
        return False

    def discard(self, reason: str) -> None:
        """Give the slot back, and schedule the close of the resource.

        Args:
            reason: A short, constant text. Statistics count closed resources by it.
        """
        self.resource = self.slot = None
        self._owner.end_discarded(self.serial, reason)

    def found_stale(self) -> None:
        """Report that the reused resource was dead before the peer responded.

        The pool closes the resource and lowers the idle limit of the origin. The lease stays, with
        an empty slot.
        """
        self._owner.replace_dead(self)

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Mark a call in progress: `with lease.in_use(): ...`.

        A lease with a call in progress is not reported as a leak, however long the call takes.
        The blocks may be nested. Without leak detection this does nothing.
        """
        slot = self.slot
        if slot is None or slot.watch is None:
            return _NOT_WATCHED
        return slot.watch

    def touch(self) -> None:
        """Note that the holder uses the lease now. Cheap, and without leak detection free."""
        slot = self.slot
        if slot is not None and slot.watch is not None:
            slot.watch.touch()

    @property
    def busy(self) -> bool:
        """Whether a call is in progress; always `False` without leak detection."""
        slot = self.slot
        return slot is not None and slot.watch is not None and slot.watch.calls > 0

    def __del__(self) -> None:
        try:
            if self.serial not in self._owner.held:  # it has ended, as nearly all have
                return
            slot = self._end_if_dropped()
        except AttributeError:  # `__init__` failed, or the interpreter is shutting down
            return
        except BaseException:  # Python ignores Ctrl-C in a finalizer, but the slot must not be lost
            self._end_if_dropped()
            raise
        if slot is None:
            return
        where = str(slot.watch) if slot.watch is not None else ""
        warnings.warn(
            f"A lease for {slot.origin} was dropped without being ended{where}. "
            "Read the response to its end or close it.",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    def _end_if_dropped(self) -> LeasedSlot | None:
        """End a lease that has not ended; return its slot if its holder dropped it in use."""
        slot = self._owner.held.get(self.serial)
        if slot is None:
            return None
        if getattr(self, "slot", None) is None:
            # There are two cases. The holder has ended the lease while another thread had the lock:
            # that end is noted and runs first, so this one does nothing. Or the caller never
            # received the lease, and this is its only end.
            self._owner.end_never_received(self.serial)
            return None
        self._owner.end_dropped(self.serial)
        return slot

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "empty" if self.resource is None else "in use"
        return f"<Lease {state}>"
