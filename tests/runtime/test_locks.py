"""Locks: what `threading` has, and no exception of a signal handler leaves them held."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from pooledhttp.runtime import new_lock, new_rlock
from pooledhttp.runtime.locks import GuardedLock, GuardedRLock
from tests.support.alarms import alarm, needs_alarms, random_interrupts
from tests.support.garbage import no_collection
from tests.support.interrupts import Interrupt

#: The guarded ones are used with CPython 3.14 only, and are right everywhere.
ANY_LOCK = pytest.mark.parametrize("make", [new_lock, new_rlock, GuardedLock, GuardedRLock])


def in_thread(call: Callable[[], Any]) -> Any:
    """Call in another thread; return what it returns."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(call()))
    thread.start()
    thread.join()
    return returned[0]


@ANY_LOCK
def test_it_excludes_other_threads(make: Callable[[], Any]) -> None:
    """Until it is given back, by any way."""
    lock = make()
    with lock:
        assert in_thread(lambda: lock.acquire(False)) is False
        assert in_thread(lambda: lock.acquire(timeout=0.001)) is False
    assert in_thread(lambda: (lock.acquire(), lock.release())[0]) is True
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert in_thread(lambda: (lock.acquire(False), lock.release())[0]) is True


@ANY_LOCK
def test_what_nobody_has_cannot_be_given_back(make: Callable[[], Any]) -> None:
    """As with the locks of `threading`."""
    with pytest.raises(RuntimeError):
        make().release()


@pytest.mark.parametrize("make", [new_lock, GuardedLock])
def test_its_own_thread_does_not_get_it_twice(make: Callable[[], Any]) -> None:
    """A finalizer in the middle of a step must see that the lock is taken."""
    lock = make()
    with lock:
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.001) is False
    assert lock.acquire(False) is True


@pytest.mark.parametrize("make", [new_rlock, GuardedRLock])
def test_its_own_thread_gets_it_again(make: Callable[[], Any]) -> None:
    """And it is free after as many releases."""
    lock = make()
    with lock, lock:
        pass
    with lock:
        with lock:
            assert in_thread(lambda: lock.acquire(False)) is False
        assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: lock.acquire(False)) is True


def test_waiting_for_oneself_is_an_error() -> None:
    """A `threading.Lock` would wait forever."""
    lock = GuardedLock()
    with lock:
        with pytest.raises(RuntimeError, match="holds the lock already"):
            lock.acquire()
        assert in_thread(lambda: lock.acquire(False)) is False, "it was given back"
    assert in_thread(lambda: lock.acquire(False)) is True


@needs_alarms
@ANY_LOCK
def test_interrupts_at_any_moment_leave_it_free(make: Callable[[], Any]) -> None:
    """A signal handler raises 300 exceptions, at random moments; some while the lock is held."""
    lock, turns = make(), 0

    def use() -> None:
        nonlocal turns
        for _ in range(1000):
            with lock:
                turns += 1

    with no_collection(), random_interrupts() as interrupted:
        for hit in range(300):
            while not interrupted(use):
                pass
            assert in_thread(lambda: (lock.acquire(False), lock.release())[0]), hit
    assert turns


@needs_alarms
@pytest.mark.parametrize("make", [new_lock, GuardedLock])
def test_an_interrupt_of_a_wait_takes_nothing(make: Callable[[], Any]) -> None:
    """The lock is still of the thread that has it."""
    lock, is_held, may_end = make(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            may_end.wait()

    def interrupt(_: int, frame: FrameType | None) -> None:
        raise Interrupt

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        is_held.wait()
        with alarm(interrupt) as ring, pytest.raises(Interrupt):
            ring(0.05)
            with lock:
                pass
        assert lock.acquire(False) is False
    finally:
        may_end.set()
        thread.join()
    assert lock.acquire(False) is True
