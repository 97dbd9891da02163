"""The blocking runtime's own promises: Ctrl-C, exit, fork, bounded threads."""

from __future__ import annotations

import contextvars
import math
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from pooledhttp.runtime import BlockingRuntime, Interest, default_runtime, polling, workers
from pooledhttp.timing import Deadline
from tests.support.alarms import alarm, needs_alarms
from tests.support.clock import FakeClock
from tests.support.stopwatch import Stopwatch

runtime = BlockingRuntime()


def after(seconds: float | None) -> Deadline:
    """Make a deadline on the real clock."""
    return Deadline.after(seconds, runtime.now)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    near, far = socket.socketpair()
    with near, far:
        yield near, far


# -- readiness


class RecordingPoll:
    """Stands in for `select.poll()`: remembers what it was asked, and says nothing is ready."""

    asked: list[object]

    def register(self, fd: int, mask: int) -> None:
        """Accept any descriptor."""

    def poll(self, *timeout: object) -> list[tuple[int, int]]:
        """Remember the timeout."""
        self.asked.append(timeout)
        return []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The timeouts given to poll()."""
    timeouts: list[object] = []
    monkeypatch.setattr(RecordingPoll, "asked", timeouts, raising=False)
    monkeypatch.setattr(select, "poll", RecordingPoll)
    return timeouts


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0.0001, (1,)), (0.0011, (2,)), (1.5, (1500,)), (0, (0,)), (-3, (0,)), (None, ())],
)
def test_milliseconds_are_rounded_up(
    asked: list[object],
    pair: tuple[socket.socket, socket.socket],
    seconds: float | None,
    milliseconds: tuple[int, ...],
) -> None:
    """Rounding down would spin through the last part of a millisecond."""
    clock = FakeClock(start=0.0)
    assert polling.poll_one(pair[0], True, False, clock.deadline(seconds)) == (False, False)
    assert polling.poll_one(pair[0], True, True, clock.deadline(seconds)) == (False, False)
    assert polling.poll_any([Interest(pair[0], True, False)], clock.deadline(seconds)) == []
    assert asked == [milliseconds] * 3


def test_a_wait_longer_than_poll_can_count_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A deadline in two months neither overflows nor ends early."""
    clock = FakeClock()
    timeouts: list[int] = []

    class PassingPoll(RecordingPoll):
        def poll(self, *timeout: object) -> list[tuple[int, int]]:
            (milliseconds,) = timeout
            assert isinstance(milliseconds, int)
            timeouts.append(milliseconds)
            clock.advance(milliseconds / 1000)
            return []

    monkeypatch.setattr(select, "poll", PassingPoll)
    two_months = 60 * 86400.0
    assert polling.poll_one(pair[0], True, False, clock.deadline(two_months)) == (False, False)
    assert len(timeouts) == 3
    assert sum(timeouts) == pytest.approx(two_months * 1000, abs=2)


One = Callable[[socket.socket, bool, bool, Deadline], tuple[bool, bool]]
Any_ = Callable[[Sequence[Interest], Deadline], list[int]]


@pytest.mark.parametrize("one", [polling.poll_one, polling.select_one])
def test_poll_and_select_agree_on_one(one: One, pair: tuple[socket.socket, socket.socket]) -> None:
    """The fallback tells the same as poll()."""
    near, far = pair
    assert one(near, True, False, after(0)) == (False, False)
    assert one(near, True, True, after(0)) == (False, True)
    far.send(b"x")
    assert one(near, True, True, after(None)) == (True, True)
    assert one(near, False, True, after(1)) == (False, True)
    far.close()
    assert one(near, True, False, after(1)) == (True, False)
    near.close()
    assert one(near, True, True, after(1)) == (True, True)


@pytest.mark.parametrize("wait_any", [polling.poll_any, polling.select_any])
def test_poll_and_select_agree_on_any(
    wait_any: Any_, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The fallback tells the same as poll(), also for a socket that is there twice."""
    near, far = pair
    interests = [Interest(near, True, False), Interest(near, False, True)]
    assert wait_any(interests, after(0)) == [1]
    far.send(b"x")
    assert wait_any(interests, after(1)) == [0, 1]
    assert wait_any([], after(0)) == []
    far.close()
    assert wait_any([*interests, Interest(far, True, False)], after(1)) == [2]


def test_a_full_socket_is_not_writable(pair: tuple[socket.socket, socket.socket]) -> None:
    """When the peer does not read, a wait to write ends at the deadline."""
    near, _ = pair
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"x" * 65536)
    assert runtime.wait(near, False, True, after(0.01)) == (False, False)


def test_urgent_data_does_not_look_readable() -> None:
    """A peer that sends an out-of-band byte must not make the reader spin."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        far.send(b"!", socket.MSG_OOB)
        assert runtime.wait(near, True, False, after(0.05)) == (False, False)


# -- Ctrl-C

Wait = Callable[[socket.socket], object]

WAITS: dict[str, Wait] = {
    "flag": lambda sock: runtime.waiter().wait(after(None)),
    "flag with deadline": lambda sock: runtime.waiter().wait(after(30)),
    "socket": lambda sock: runtime.wait(sock, True, False, after(None)),
    "sockets": lambda sock: runtime.wait_any([Interest(sock, True, False)], after(30)),
    "sleep": lambda sock: runtime.sleep(30),
    "call": lambda sock: runtime.call_blocking(lambda: time.sleep(1), after(30)),
}


@needs_alarms
@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_ends_every_wait(name: str, pair: tuple[socket.socket, socket.socket]) -> None:
    """An exception from a signal handler comes out of the wait at once."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with alarm(interrupt) as ring, Stopwatch() as watch, pytest.raises(KeyboardInterrupt):
        ring(0.03)
        WAITS[name](pair[0])
    assert watch.seconds < 0.9


@needs_alarms
def test_flag_is_raised_by_a_signal_handler_in_the_waiting_thread() -> None:
    """The handler runs in the middle of the wait itself and ends it."""
    flag = runtime.waiter()
    with alarm(lambda number, frame: flag.set()) as ring:
        ring(0.02)
        assert flag.wait(after(5))


def test_one_flag_frees_all_who_wait_for_it() -> None:
    """A flag is for everybody, raised by many at once."""
    flag = runtime.waiter()
    freed: list[bool] = []
    waiting = [runtime.spawn(lambda: freed.append(flag.wait(after(5))), "w") for _ in range(8)]
    setting = [runtime.spawn(flag.set, "s") for _ in range(8)]
    assert all(task.join(after(5)) for task in waiting + setting)
    assert freed == [True] * 8


# -- worker threads


def test_call_without_deadline_runs_in_place() -> None:
    """Nothing could abandon it, so no thread is spent on it."""
    assert runtime.call_blocking(threading.get_ident, after(None)) == threading.get_ident()
    assert runtime.call_blocking(threading.get_ident, after(5)) != threading.get_ident()


def test_call_after_the_deadline_is_not_made() -> None:
    """With no time left there is no point in starting."""
    made: list[bool] = []
    with pytest.raises(TimeoutError):
        runtime.call_blocking(lambda: made.append(True), after(0))
    assert not made


def test_workers_see_the_callers_context_variables() -> None:
    """A call behaves the same with and without a deadline."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(7)
    assert runtime.call_blocking(variable.get, after(5)) == 7


def test_workers_are_reused_and_bounded() -> None:
    """Calls one after the other share a thread; stuck ones take at most the limit."""
    group = workers.Workers(2, "test-group")
    assert len({group.call(threading.get_ident, after(5)) for _ in range(20)}) == 1
    gate = runtime.waiter()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            group.call(lambda: gate.wait(after(10)), after(0.02))
    assert len([t for t in threading.enumerate() if t.name.startswith("test-group")]) == 2
    assert not group._waiting  # what was abandoned in line is not kept
    gate.set()
    assert group.call(lambda: "again", after(5)) == "again"


def test_abandoned_call_in_line_is_never_made() -> None:
    """A caller that left before its turn has nothing done in its name."""
    group = workers.Workers(1, "test-line")
    gate = runtime.waiter()
    made: list[str] = []
    with pytest.raises(TimeoutError):
        group.call(lambda: gate.wait(after(10)), after(0.02))
    with pytest.raises(TimeoutError):
        group.call(lambda: made.append("late"), after(0.02))
    gate.set()
    group.call(lambda: made.append("in time"), after(5))
    assert made == ["in time"]


def test_idle_workers_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that finds nothing to do for a while ends, and another is started when needed."""
    monkeypatch.setattr(workers, "LINGER_SECONDS", 0.01)
    group = workers.Workers(2, "test-leaves")
    group.call(lambda: None, after(5))
    for thread in [t for t in threading.enumerate() if t.name.startswith("test-leaves")]:
        thread.join(5)
        assert not thread.is_alive()
    assert group.call(lambda: 1, after(5)) == 1


def test_many_callers_get_their_own_results() -> None:
    """Results do not cross between callers."""
    group = workers.Workers(4, "test-many")
    wrong: list[int] = []

    def call(number: int) -> None:
        for turn in range(50):
            if group.call(lambda: (number, turn), after(5)) != (number, turn):  # noqa: B023
                wrong.append(number)

    tasks = [runtime.spawn(lambda n=n: call(n), f"caller {n}") for n in range(8)]  # type: ignore[misc]
    assert all(task.join(after(20)) for task in tasks)
    assert not wrong


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a new interpreter, which has to end."""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )


def test_nothing_delays_the_end_of_the_interpreter() -> None:
    """A stuck call, a stuck task and idle workers are left behind at exit."""
    done = run_script("""
import threading
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline
runtime, never = default_runtime(), threading.Event()
runtime.call_blocking(lambda: 1, Deadline.after(5, runtime.now))
for _ in range(3):
    try:
        runtime.call_blocking(never.wait, Deadline.after(0.01, runtime.now))
    except TimeoutError:
        print("abandoned")
runtime.spawn(never.wait, "stuck")
""")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["abandoned"] * 3, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_of_a_fork_has_workers_of_its_own() -> None:
    """The parent's threads do not exist in the child; calls there work all the same."""
    done = run_script("""
import os, warnings
warnings.simplefilter("ignore")
from pooledhttp.runtime import default_runtime, workers
from pooledhttp.timing import Deadline
runtime = default_runtime()
def call():
    return runtime.call_blocking(os.getpid, Deadline.after(5, runtime.now))
assert call() == os.getpid()
workers.shared()._lock.acquire()  # as if another thread had been inside
child = os.fork()
if child == 0:
    os._exit(0 if call() == os.getpid() else 1)
workers.shared()._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert call() == os.getpid()
print("good")
""")
    assert (done.stdout.strip(), done.stderr) == ("good", "")


def test_there_is_one_default_runtime() -> None:
    """Rooms that are given none share one."""
    assert default_runtime() is default_runtime()
    assert default_runtime().name == "blocking"


def test_a_waiter_survives_absurd_deadlines() -> None:
    """A deadline of a million years does not overflow the lock's timeout."""
    flag = runtime.waiter()
    threading.Timer(0.01, flag.set).start()
    assert flag.wait(after(3e13))
    assert flag.wait(after(math.inf))
