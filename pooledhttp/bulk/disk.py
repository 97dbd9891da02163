"""How workers use the disk: directly, or through one thread that writes for all of them.

What takes several steps, and a commit of the journal between two of them, is a generator. It yields
the number of the change that has to be committed before it goes on. So the thread that writes can
take many of them one step further, commit once, and take all of them to their end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeVar

from pooledhttp.buffers import BufferPool
from pooledhttp.bulk.bodies import PIECE_BYTES

__all__ = ["Disk", "DirectDisk", "Ended", "Flushable", "Steps", "ignore_ended"]

T = TypeVar("T")

#: Work on the disk. It yields a number for `Journal.commit`, and returns a value.
Steps = Generator[int, None, T]


class Ended(NamedTuple):
    """The outcome of the last steps of an item: what they have returned, or raised."""

    owner: Any
    value: Any
    error: BaseException | None


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

    #: Told what became of steps that `end` has queued, from any thread. Set before the first one.
    on_ended: Callable[[list[Ended]], None]

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

    def run(self, steps: Steps[T]) -> T:
        """Do the steps in this thread, each after the commit of what it recorded."""
        try:
            while True:
                self._commit(next(steps))
        except StopIteration as end:
            value: T = end.value
            return value

    def end(self, steps: Steps[T], owner: object, size: int) -> T | None:
        """Do the last steps of a download, as `run` does."""
        return self.run(steps)

    def submit(self, fn: Callable[[], None], size: int) -> None:
        """Call a function at once."""
        fn()

    def keep(self, kept: Flushable, size: int) -> None:
        """Do nothing: nothing is kept here."""


def _no_journal(number: int) -> None:
    """Commit nothing: there is no journal."""


def ignore_ended(ended: list[Ended]) -> None:
    """Do nothing: the `on_ended` of a disk whose user asks for no outcomes."""
