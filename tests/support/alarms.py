"""Signal handlers that a timer calls, in the middle of what the main thread does.

    with alarm(handler) as ring:
        ring(0.03)  # in seconds; SIGALRM calls the handler then
        ...

    with random_interrupts() as interrupted:
        while not interrupted(action):
            pass  # it ended before an interrupt came

Both are for the main thread, where Python runs signal handlers.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import pytest

from tests.support.interrupts import Interrupt

__all__ = ["alarm", "needs_alarms", "random_interrupts"]

needs_alarms = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="needs interval timers of POSIX"
)


class Ring(Protocol):
    """Sets the timer."""

    def __call__(self, seconds: float, every: float = 0.0) -> object:
        """Call the handler after so many seconds; then after each `every`, if that is not 0."""


@contextmanager
def alarm(handler: Callable[[int, FrameType | None], object]) -> Iterator[Ring]:
    """Handle SIGALRM inside a `with` block; handler and timer of before are put back behind it.

    Args:
        handler: Called with the number of the signal and the interrupted frame.

    Yields:
        What sets the timer.
    """
    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # that of pytest-timeout
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield lambda seconds, every=0.0: signal.setitimer(signal.ITIMER_REAL, seconds, every)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


@contextmanager
def random_interrupts() -> Iterator[Callable[[Callable[[], object]], bool]]:
    """Have a signal handler raise an `Interrupt` every 0.3 ms, while an action runs.

    Yields:
        What runs an action, and returns whether it was interrupted.
    """
    is_armed = False

    def interrupt(_: int, frame: FrameType | None) -> None:
        while frame is not None:  # Python ignores exceptions in finalizers, so none is raised there
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        if is_armed:
            raise Interrupt

    def interrupted(action: Callable[[], object]) -> bool:
        nonlocal is_armed
        try:
            try:
                is_armed = True
                action()
            finally:
                is_armed = False
        except Interrupt:
            is_armed = False  # one may come before the `finally` has done so
            return True
        return False

    with alarm(interrupt) as ring:
        ring(0.0005, every=0.0003)
        yield interrupted
