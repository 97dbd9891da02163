"""Running functions beside the test: on threads, or on the loop of a test that runs on one.

    with crew(2) as beside:
        waiting = beside.submit(session.get, url)
        ...
        assert waiting.result(5).content == b"fine"

On threads it is a `ThreadPoolExecutor`. In a twin on an event loop each function runs in a greenlet
of that loop, so the test has to wait through `result`, `wait_until` or a helper that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from pooledhttp.runtime import Runtime, current_runtime
from pooledhttp.timing import Deadline

__all__ = ["Crew", "Pending", "crew"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")

#: The longest wait for a function that a test has left running.
LONGEST_SECONDS = 30.0


class Pending(Protocol[T_co]):
    """What a function will return."""

    def result(self, timeout: float | None = None) -> T_co:
        """Wait for its end; return or raise what it did."""


class Crew(Protocol):
    """What runs functions beside the caller."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin to run a function."""

    def map(self, fn: Callable[[Any], T], /, *iterables: Iterable[Any]) -> Iterable[T]:
        """Run a function for each item; the results in order."""


def crew(size: int) -> AbstractContextManager[Crew]:
    """Return `size` threads; in a greenlet of an event loop, as many greenlets as are asked for."""
    runtime = current_runtime()
    return ThreadPoolExecutor(size) if runtime is None else _Greenlets(runtime)


class _Pending(Generic[T]):
    """A function that runs in a greenlet."""

    def __init__(self, runtime: Runtime, fn: Callable[[], T]) -> None:
        self._runtime = runtime
        self._fn = fn
        self._value: T
        self._error: BaseException | None = None
        self._task = runtime.spawn(self._run, "beside")

    def _run(self) -> None:
        try:
            self._value = self._fn()
        except BaseException as error:
            self._error = error

    def result(self, timeout: float | None = None) -> T:
        """Wait for its end; return or raise what it did."""
        seconds = LONGEST_SECONDS if timeout is None else timeout
        if not self._task.join(Deadline.after(seconds, self._runtime.now)):
            raise TimeoutError(f"not done in {seconds} s")
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


class _Greenlets:
    """Runs functions in greenlets of the loop; the block ends when all have ended."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._all: list[_Pending[Any]] = []

    def __enter__(self) -> _Greenlets:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._all:
            each._task.join(Deadline.after(LONGEST_SECONDS, self._runtime.now))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> _Pending[T]:
        """Begin to run a function."""
        pending = _Pending(self._runtime, lambda: fn(*args, **kwargs))
        self._all.append(pending)
        return pending

    def map(self, fn: Callable[[Any], T], /, *iterables: Iterable[Any]) -> Iterator[T]:
        """Run a function for each item; the results in order."""
        return iter(
            [
                each.result()
                for each in [self.submit(fn, *row) for row in zip(*iterables, strict=True)]
            ]
        )
