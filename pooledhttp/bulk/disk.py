"""How workers use the disk: directly, or through one thread that writes for all of them.

What takes several steps, and a commit of the journal between two of them, is a generator. It yields
the number of the change that has to be committed before it goes on. So the thread that writes can
take many of them one step further, commit once, and take all of them to their end. What a commit
raises is thrown into the steps that wait for it.

A small body that has come as a whole needs no steps of its own. The disk is handed what is to be
stored, and one generator stores many of them; see `whole_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from pooledhttp.buffers import BufferPool
from pooledhttp.bulk.bodies import PIECE_BYTES

__all__ = [
    "DirectDisk",
    "Disk",
    "Ended",
    "Flushable",
    "Steps",
    "Storable",
    "Stored",
    "ignore_ended",
    "result_of_one",
    "store_nothing",
]

T = TypeVar("T")

#: Work on the disk. It yields a number for `Journal.commit`, and returns a value.
Steps = Generator[int, None, T]


class Ended(NamedTuple):
    """The outcome of the last steps of an item: what they have returned, or raised."""

    owner: Any
    value: Any
    error: BaseException | None


class Stored(NamedTuple):
    """The outcome of storing whole files: the results, and of which files there are none."""

    results: list[Any]
    failed: list[Ended]


class Storable(Protocol):
    """A whole file, see `whole_files`."""

    @property
    def size(self) -> int:
        """The bytes of its body."""


class Flushable(Protocol):
    """Keeps bytes for a moment before it passes them to the disk."""

    def hand_over(self) -> None:
        """Pass the bytes that are kept to the disk, by `Disk.submit`."""


class Disk(Protocol):
    """How workers use the disk."""

    #: So many bytes of a body are kept before they are handed over.
    piece_bytes: int

    #: What bodies are received into. A buffer comes back when its bytes are written.
    buffers: BufferPool

    #: Called with the outcome of steps that `end` queued, from any thread. Set before the first.
    on_ended: Callable[[list[Ended]], None]

    #: Told the results of whole files that `store` has queued, from any thread; `on_ended` is told
    #: of those that cannot be stored.
    on_stored: Callable[[list[Any]], None]

    #: Makes the steps that store whole files. Set before the first one.
    storing: Callable[[Sequence[Any]], Steps[Stored]]

    def run(self, steps: Steps[T]) -> T:
        """Do steps, after all that was submitted before; return or raise what they do.

        A run that is halted meanwhile does not end the wait for them.
        """

    def end(self, steps: Steps[T], owner: object, size: int) -> T | None:
        """Do the last steps of an item, or have them done.

        Args:
            steps: The steps. They are done after all that was submitted before.
            owner: What `on_ended` is told beside their outcome; not None.
            size: The bytes that they keep in memory until then.

        Returns:
            What the steps return; None where `on_ended` is told later.

        Raises:
            BaseException: What the steps raise, where they are done at once.
        """

    def store(self, file: Storable) -> Any:
        """Store a whole file, or have it stored with others. It depends on nothing else.

        A greenlet waits while too many bytes are queued. A callback of the loop never does.

        Returns:
            The result; None where `on_stored` is told later.

        Raises:
            BaseException: Why it cannot be stored, where that is done at once.
        """

    def submit(self, fn: Callable[[], None], size: int) -> None:
        """Queue a function that must not raise; wait while too many bytes are queued.

        Args:
            fn: Called after all that was submitted before.
            size: The bytes that it keeps in memory until it is called.
        """

    def keep(self, kept: Flushable, size: int) -> None:
        """Note that more bytes are kept. They are passed to the disk soon."""


class DirectDisk:
    """Does everything at once, in the worker's thread.

    Args:
        commit: `Journal.commit`; None where there is no journal.
    """

    piece_bytes = 1

    def __init__(self, commit: Callable[[int], None] | None = None) -> None:
        self._commit = commit or _no_journal
        self.buffers = BufferPool(PIECE_BYTES)
        self.on_ended: Callable[[list[Ended]], None] = ignore_ended
        self.on_stored: Callable[[list[Any]], None] = ignore_ended
        self.storing: Callable[[Sequence[Any]], Steps[Stored]] = store_nothing

    def run(self, steps: Steps[T]) -> T:
        """Do the steps in this thread, each after the commit of what it recorded."""
        try:
            number = next(steps)
            while True:
                try:
                    self._commit(number)
                except BaseException as error:
                    number = steps.throw(error)
                else:
                    number = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value

    def end(self, steps: Steps[T], owner: object, size: int) -> T | None:
        """Do the last steps of a download, as `run` does."""
        return self.run(steps)

    def store(self, file: Storable) -> Any:
        """Store a whole file."""
        return result_of_one(self.run(self.storing([file])))

    def submit(self, fn: Callable[[], None], size: int) -> None:
        """Call a function at once."""
        fn()

    def keep(self, kept: Flushable, size: int) -> None:
        """Do nothing: nothing is kept here."""


def _no_journal(number: int) -> None:
    """Commit nothing: there is no journal."""


def ignore_ended(ended: list[Any]) -> None:
    """Do nothing: the `on_ended` of a disk whose user asks for no outcomes."""


def store_nothing(files: Sequence[Any]) -> Steps[Stored]:
    """Stand for `storing` until it is set."""
    raise NotImplementedError("the user of this disk has no whole files")


def result_of_one(stored: Stored) -> Any:
    """Return the result of the only file that was stored, or raise why there is none."""
    if stored.failed:
        (failed,) = stored.failed
        assert failed.error is not None
        raise failed.error
    (result,) = stored.results
    return result
