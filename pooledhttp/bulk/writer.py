"""The thread that writes to the disk for all greenlets of a loop.

```
greenlets -- submit, run --> queue --> a group: every step up to its commit, one commit, the rest
          -- end, store -->               |-- one wake-up of the loop for all that are waited for
                                          '-- one call of `on_ended` and `on_stored` for the others
```

A greenlet does not wait for the last steps of its item (`end`): it goes on with another item. So
they gather for a moment: each group has the cost of a commit, and of threads that take turns. So do
pieces of large bodies. Whole files (`store`) have a list of their own, and one generator for all of
a group.

The queue is bounded by bytes: a greenlet that hands over more waits. So a slow disk slows the
network down and does not fill the memory. Small bodies are handed over as a whole, together with
what is to be done when they are complete; large ones in pieces, and the greenlet reads on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pooledhttp.buffers import BufferPool
from pooledhttp.bulk.bodies import PIECE_BYTES
from pooledhttp.bulk.disk import (
    Ended,
    Flushable,
    Steps,
    Storable,
    Stored,
    ignore_ended,
    result_of_one,
    store_nothing,
)
from pooledhttp.runtime import Task, Waiter, default_runtime, new_lock
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import PrivateLoop

__all__ = ["Writer"]

T = TypeVar("T")

#: The most bytes queued for the disk, and kept by bodies that are being received.
_MOST_QUEUED = 16 * 1024 * 1024
_MOST_KEPT = 8 * 1024 * 1024

#: Bytes that have come are in the file after so long, also when no more come.
_KEEP_SECONDS = 0.25

#: Last steps are begun when there are so many of them, or after so long; sooner when a worker has
#: nothing else to do.
_GROUP = 48
_GATHER_SECONDS = 0.012
_IDLE_GATHER_SECONDS = 0.004

#: Pieces of bodies are written when there are so many bytes of them, or after `_GATHER_SECONDS`:
#: two threads that take turns often cost each other time.
_GATHER_BYTES = 512 * 1024

#: A thread that is told to end has only the rest of the queue to do.
_END_SECONDS = 60.0


class _Work:
    """What was handed over: steps, which something waits for or has the outcome of, or a function.

    Args:
        fn: The function.
        size: The bytes that it keeps.
        steps: The steps.
        done: The flag of what waits for them.
        owner: What the outcome belongs to.
    """

    __slots__ = ("done", "error", "fn", "owner", "size", "steps", "value")

    def __init__(
        self,
        fn: Callable[[], None] | None,
        size: int,
        steps: Steps[Any] | None = None,
        done: Any = None,
        owner: object = None,
    ) -> None:
        self.fn = fn
        self.size = size
        self.steps = steps
        self.done = done
        self.owner = owner
        self.value: Any = None
        self.error: BaseException | None = None

    def advance(self) -> int | None:
        """Go on to the next commit; returns its number, or None at the end."""
        try:
            if self.steps is not None:
                return next(self.steps)
            assert self.fn is not None
            self.fn()
        except StopIteration as end:
            self.value = end.value
        except BaseException as error:  # it belongs to what waits for the steps
            self.error = error
        return None

    def fail(self, error: BaseException) -> int | None:
        """Go on as `advance` does, without the commit that was waited for: it has failed."""
        assert self.steps is not None
        try:
            return self.steps.throw(error)
        except StopIteration as end:
            self.value = end.value
        except BaseException as raised:
            self.error = raised
        return None


class Writer:
    """The disk of a loop; see `Disk`. Its thread runs from the first use to `close`.

    Args:
        runtime: The loop.
        commit: `Journal.commit`; None where there is no journal.
    """

    piece_bytes = PIECE_BYTES

    def __init__(self, runtime: PrivateLoop, commit: Callable[[int], None] | None = None) -> None:
        self._runtime = runtime
        self._commit = commit
        self.on_ended: Callable[[list[Ended]], None] = ignore_ended
        self.on_stored: Callable[[list[Any]], None] = ignore_ended
        self.storing: Callable[[Sequence[Any]], Steps[Stored]] = store_nothing
        self.buffers = BufferPool(PIECE_BYTES)
        self._threads = default_runtime()
        self._task: Task | None = None
        self._lock = new_lock()
        # Guarded by the lock:
        self._queue: list[_Work] = []
        self._queued_bytes = 0
        #: Of the whole files that were taken from the list below.
        self._stored_bytes = 0
        self._bell: Waiter | None = None
        #: Whether what is queued is to be done now.
        self._is_due = False
        self._held_up: list[Any] = []
        self._is_closed = False
        # Touched on the loop only:
        #: Cancels the call of `_ring` that is planned; and whether that comes soon.
        self._cancel_ring: Callable[[], None] | None = None
        self._is_hastened = False
        self._kept: set[Flushable] = set()
        self._kept_bytes = 0
        #: Of the pieces that wait for others, so that they are written together.
        self._gathered_bytes = 0
        #: Of all whole files so far.
        self._handed_bytes = 0
        #: Whole files to store. The loop appends to it, and the thread takes from its beginning;
        #: each of both is one step of C code that needs no lock.
        self._files: list[Storable] = []

    # -- on the loop

    def run(self, steps: Steps[T]) -> T:
        """Do steps in the thread; see `Disk`."""
        if self._runtime.is_in_greenlet:
            work = _Work(None, 0, steps, self._runtime.flag())
            self._put(work)
            self._runtime.wait_through(work.done)
        else:  # a job that is done on a thread, since it may block
            work = _Work(None, 0, steps, self._threads.waiter())
            self._put(work)
            work.done.wait(Deadline.never(self._threads.now))
        if work.error is not None:
            raise work.error
        value: T = work.value
        return value

    def end(self, steps: Steps[T], owner: object, size: int) -> T | None:
        """Have the last steps of an item done in the thread; see `Disk`."""
        if not self._runtime.is_in_greenlet:
            return self.run(steps)
        self._put(_Work(None, size, steps, None, owner), _GROUP)
        if self._cancel_ring is None:
            self._cancel_ring = self._runtime.call_later(_GATHER_SECONDS, self._ring)
        self._wait_for_room()
        return None

    def store(self, file: Storable) -> Any:
        """Have a whole file stored in the thread; see `Disk`."""
        if not self._runtime.is_here:
            return result_of_one(self.run(self.storing([file])))
        files = self._files
        files.append(file)
        self._handed_bytes += file.size
        if self._cancel_ring is None:
            self._begin()
            self._cancel_ring = self._runtime.call_later(_GATHER_SECONDS, self._ring)
        # The thread takes files after it has lowered the flag: it takes this one if the flag is up.
        if len(files) >= _GROUP and not self._is_due:
            self._cancel_ring()
            self._ring()
        if self._bytes > _MOST_QUEUED:
            self._wait_for_room()
        return None

    def hasten(self) -> None:
        """Have last steps begun soon, since a worker has nothing else to do."""
        if self._cancel_ring is not None and not self._is_hastened:
            self._is_hastened = True
            self._cancel_ring()
            self._cancel_ring = self._runtime.call_later(_IDLE_GATHER_SECONDS, self._ring)

    def submit(self, fn: Callable[[], None], size: int) -> None:
        """Have a function called in the thread, soon or with others; see `Disk`."""
        gathered = 0
        if self._runtime.is_here:
            gathered = self._gathered_bytes + size
            if gathered >= _GATHER_BYTES:
                gathered = 0
            self._gathered_bytes = gathered
        self._put(_Work(fn, size), _GROUP if gathered else 1)
        if gathered and self._cancel_ring is None:
            self._cancel_ring = self._runtime.call_later(_GATHER_SECONDS, self._ring)
        self._wait_for_room()

    @property
    def _bytes(self) -> int:
        """All bytes on their way to the disk."""
        return self._handed_bytes - self._stored_bytes + self._queued_bytes

    def _wait_for_room(self) -> None:
        if self._bytes > _MOST_QUEUED and self._runtime.is_in_greenlet:
            flag = self._runtime.flag()
            with self._lock:
                if self._bytes <= _MOST_QUEUED:
                    return
                self._held_up.append(flag)
            self._runtime.wait_through(flag)

    def keep(self, kept: Flushable, size: int) -> None:
        """Note that bytes are kept; see `Disk`."""
        if not self._runtime.is_here:
            kept.hand_over()
            return
        if not self._kept:
            self._runtime.call_later(_KEEP_SECONDS, self._hand_over_all)
        self._kept.add(kept)
        self._kept_bytes += size
        if self._kept_bytes > _MOST_KEPT:
            self._hand_over_all()

    def close(self) -> None:
        """Do what is queued, and end the thread. Doing it twice does nothing."""
        with self._lock:
            self._is_closed = True
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()
        if self._task is not None:
            self._task.join(Deadline.after(_END_SECONDS, self._threads.now))

    def _hand_over_all(self) -> None:
        kept, self._kept = self._kept, set()
        self._kept_bytes = 0
        for each in kept:
            each.hand_over()

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._threads.spawn(self._serve, "pooledhttp-bulk-writer")

    def _put(self, work: _Work, least: int = 1) -> None:
        """Queue work, to be done now if that much is queued."""
        self._begin()
        with self._lock:
            queue = self._queue
            queue.append(work)
            self._queued_bytes += work.size
            if len(queue) < least:
                return
            self._is_due = True
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()

    def _ring(self) -> None:
        """Have what is queued done now."""
        self._cancel_ring, self._is_hastened = None, False
        self._gathered_bytes = 0
        with self._lock:
            self._is_due = True
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()

    # -- in the thread

    def _serve(self) -> None:
        while True:
            bell = self._threads.waiter()
            with self._lock:
                is_due = self._is_due or self._is_closed
                if is_due:
                    self._is_due = False
                    group, self._queue = self._queue, []
                else:
                    self._bell = bell
            if not is_due:
                bell.wait(Deadline.never(self._threads.now))
                continue
            files = self._files[:]  # more may be appended meanwhile, behind these
            del self._files[: len(files)]
            if group or files:
                self._do(group, files)
            elif self._is_closed:
                return

    def _do(self, group: list[_Work], files: list[Storable]) -> None:
        """Take everything to its end."""
        left = works = group
        if files:
            storing = _Work(None, 0, self.storing(files))
            left = works = [*group, storing]
        numbers = [work.advance() for work in works]
        while True:
            waiting = [
                (work, number)
                for work, number in zip(left, numbers, strict=True)
                if number is not None
            ]
            if not waiting:
                break
            left = [work for work, _ in waiting]
            numbers = self._commit_for(left, max(number for _, number in waiting))
        ended = [
            Ended(work.owner, work.value, work.error) for work in group if work.owner is not None
        ]
        results: list[Any] = []
        if files:
            ended += _failed(storing, files)
            if storing.error is None:
                results = storing.value.results
        with self._lock:
            self._queued_bytes -= sum(work.size for work in group)
            self._stored_bytes += sum(file.size for file in files)
            flags = []
            if self._bytes <= _MOST_QUEUED // 2:
                flags, self._held_up = self._held_up, []
        flags += [work.done for work in works if work.done is not None]
        if flags:
            self._runtime.raise_flags(flags)
        if results:
            self.on_stored(results)
        if ended:
            self.on_ended(ended)

    def _commit_for(self, waiting: list[_Work], number: int) -> list[int | None]:
        """Commit, and go on with all that has waited for it."""
        assert self._commit is not None, "steps without a journal commit nothing"
        try:
            self._commit(number)
        except BaseException as error:
            return [work.fail(error) for work in waiting]
        return [work.advance() for work in waiting]


def _failed(storing: _Work, files: list[Any]) -> list[Ended]:
    """Return the outcomes of the files that were not stored."""
    if storing.error is not None:  # of none of them alone
        return [Ended(file.owner, None, storing.error) for file in files]
    failed: list[Ended] = storing.value.failed
    return failed
