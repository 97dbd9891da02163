"""Code written for threads runs on an event loop, and asyncio still sees its own task."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pooledhttp.runtime import Interest, current_runtime
from pooledhttp.runtime.driven import MOST_RESUMED
from pooledhttp.timing import Deadline
from tests.support.evented import EventedRuntime, run_on_loop
from tests.support.garbage import collect
from tests.support.patience import wait_until

variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable", default="unset")


def test_cancellation_enters_at_the_wait() -> None:
    """Cancelling the task raises in the synchronous code, whose cleanup may wait."""

    async def main() -> list[str]:
        runtime = EventedRuntime()
        near, far = socket.socketpair()
        seen: list[str] = []

        def body() -> None:
            try:
                runtime.wait(near, True, False, Deadline.never(runtime.now))
            except asyncio.CancelledError:
                runtime.sleep(0)
                seen.append("cleaned up")
                raise

        with near, far:
            task = asyncio.create_task(runtime.run(body))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            runtime.forget(near)
            assert not asyncio.get_running_loop().remove_reader(near.fileno())
        return seen

    assert asyncio.run(main()) == ["cleaned up"]


def test_many_woken_tasks_run_in_their_order_and_leave_turns_to_others() -> None:
    """Tasks that one flag after the other wakes run in that order, a batch in each turn."""
    count = MOST_RESUMED + 1
    order: list[object] = []

    async def main() -> None:
        runtime = EventedRuntime()
        flags = [runtime.waiter() for _ in range(count)]

        def body(number: int) -> None:
            assert flags[number].wait(Deadline.never())
            order.append(number)

        tasks = [asyncio.create_task(runtime.run(body, number)) for number in range(count)]
        await asyncio.sleep(0)
        for flag in flags:
            flag.set()
        asyncio.get_running_loop().call_soon(order.append, "other")
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == [*range(MOST_RESUMED), "other", MOST_RESUMED]


def test_an_interrupt_in_a_woken_task_loses_no_other_one() -> None:
    """`KeyboardInterrupt` leaves the loop; the tasks woken with that one run when it goes on."""
    runtime = EventedRuntime()
    seen: list[int] = []

    async def main() -> None:
        flags = [runtime.waiter() for _ in range(3)]

        def body(number: int) -> None:
            flags[number].wait(Deadline.never())
            seen.append(number)
            if number == 0:
                raise KeyboardInterrupt

        tasks = [asyncio.create_task(runtime.run(body, number)) for number in range(3)]
        await asyncio.sleep(0)
        for flag in flags:
            flag.set()
        await asyncio.gather(*tasks[1:])

    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(task)
        assert seen == [0, 1, 2]
    finally:
        loop.close()


def test_current_task_and_context_are_the_callers() -> None:
    """Inside, `current_task` is the awaiting task; variables set inside are seen outside."""

    async def main() -> None:
        runtime = EventedRuntime()
        variable.set("outside")

        def body() -> object:
            assert variable.get() == "outside"
            variable.set("inside")
            runtime.sleep(0.001)
            return asyncio.current_task()

        assert await runtime.run(body) is asyncio.current_task()
        assert variable.get() == "inside"

    asyncio.run(main())


def test_other_tasks_run_during_a_wait() -> None:
    """A hundred waits pass beside each other, not one after the other."""

    async def main() -> float:
        runtime = EventedRuntime()
        start = runtime.now()
        await asyncio.gather(*(runtime.run(runtime.sleep, 0.05) for _ in range(100)))
        return runtime.now() - start

    assert asyncio.run(main()) < 2


def test_timeout_block_of_asyncio_ends_the_wait() -> None:
    """`asyncio.timeout` around it works, as around any await."""

    async def main() -> None:
        runtime = EventedRuntime()
        async with asyncio.timeout(0.01):
            await runtime.run(lambda: runtime.waiter().wait(Deadline.never(runtime.now)))

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_waiting_outside_run_is_an_error() -> None:
    """A wait in plain coroutine code would block the loop; it is refused."""

    async def main() -> None:
        EventedRuntime().sleep(1)

    with pytest.raises(RuntimeError, match=r"aiter_content.*EventedRuntime\.run"):
        asyncio.run(main())


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that do not block."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        yield near, far


class Counted:
    """Calls of some methods of the running loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.calls = dict.fromkeys(names, 0)
        loop = asyncio.get_running_loop()
        for name in names:
            monkeypatch.setattr(loop, name, self._counting(name, getattr(loop, name)))

    def _counting(self, name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return real(*args, **kwargs)

        return call


def test_a_socket_is_registered_once(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many waits with a deadline take one reader, one timer and no future."""
    near, far = pair

    def body(runtime: EventedRuntime) -> None:
        counted = Counted(monkeypatch, "add_reader", "remove_reader", "call_at", "create_future")
        for _ in range(20):
            runtime.loop.call_soon(far.send, b"x")
            deadline = Deadline.after(60, runtime.now)
            assert runtime.wait(near, True, False, deadline) == (True, False)
            near.recv(1)
        assert counted.calls == {
            "add_reader": 1, "remove_reader": 0, "call_at": 1, "create_future": 0,
        }  # fmt: skip

    run_on_loop(body)


def test_a_timer_serves_later_waits(pair: tuple[socket.socket, socket.socket]) -> None:
    """The timer of an earlier wait neither ends a later one early nor keeps it too long."""
    near, far = pair

    def body(runtime: EventedRuntime) -> None:
        runtime.loop.call_soon(far.send, b"x")
        runtime.wait(near, True, False, Deadline.after(0.01, runtime.now))
        near.recv(1)
        start = runtime.now()
        assert runtime.wait(near, True, False, Deadline.after(0.05, runtime.now)) == (False, False)
        assert runtime.now() - start >= 0.049
        runtime.loop.call_soon(far.send, b"x")
        assert runtime.wait(near, True, False, Deadline.after(60, runtime.now))[0]
        near.recv(1)
        assert runtime.wait(near, True, False, Deadline.after(0.01, runtime.now)) == (False, False)

    run_on_loop(body)


def test_a_socket_nobody_waits_for_does_not_spin(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that is not read, while the code does something else, wakes the loop once."""
    near, far = pair

    def body(runtime: EventedRuntime) -> int:
        runtime.loop.call_soon(far.send, b"x")
        runtime.wait(near, True, False, Deadline.never())
        turns = 0
        select = runtime.loop._selector.select  # type: ignore[attr-defined]

        def counting(*args: Any) -> Any:
            nonlocal turns
            turns += 1
            return select(*args)

        monkeypatch.setattr(runtime.loop._selector, "select", counting)  # type: ignore[attr-defined]
        runtime.sleep(0.05)
        assert turns < 5
        assert runtime.wait(near, True, False, Deadline.never()) == (True, False)
        return turns

    run_on_loop(body)


def test_a_registered_socket_is_closed_in_the_thread_of_its_loop(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Another thread leaves closing to the loop, which forgets the descriptor first."""
    near, far = pair

    def body(runtime: EventedRuntime) -> None:
        runtime.wait(near, True, False, Deadline.after(0.01, runtime.now))
        descriptor = near.fileno()
        thread = threading.Thread(target=runtime.close_socket, args=(near,))
        thread.start()
        thread.join()
        assert near.fileno() == descriptor
        runtime.sleep(0)
        assert near.fileno() == -1
        assert not runtime.loop.remove_reader(descriptor)
        assert far.recv(1) == b""

    run_on_loop(body)


def test_a_descriptor_used_again_is_registered_again(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Also when the earlier socket was closed or dropped without the runtime."""
    near, far = pair

    def body(runtime: EventedRuntime) -> None:
        for ends in ("close", "drop"):
            old, other = socket.socketpair()
            runtime.wait(old, True, False, Deadline.after(0.001, runtime.now))
            descriptor = old.fileno()
            other.close()
            if ends == "close":
                old.close()
            with warnings.catch_warnings(action="ignore", category=ResourceWarning):
                del old
            again = near.dup()
            assert again.fileno() == descriptor
            runtime.loop.call_soon(far.send, b"x")
            assert runtime.wait(again, True, False, Deadline.after(5, runtime.now))[0]
            near.recv(1)
            runtime.close_socket(again)

    run_on_loop(body)


def test_closing_ends_the_wait_of_another_task(pair: tuple[socket.socket, socket.socket]) -> None:
    """The next operation then tells that the socket is closed."""
    near, _ = pair

    def body(runtime: EventedRuntime) -> None:
        runtime.spawn(lambda: runtime.close_socket(near), "closes")
        assert runtime.wait(near, True, False, Deadline.never()) == (True, False)
        assert near.fileno() == -1

    run_on_loop(body)


def test_two_tasks_cannot_read_one_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    """The second is told so; the first goes on."""
    near, far = pair

    def body(runtime: EventedRuntime) -> None:
        def second() -> None:
            with pytest.raises(RuntimeError, match="Two tasks wait"):
                runtime.wait(near, True, False, Deadline.never())
            far.send(b"x")

        runtime.spawn(second, "second")
        assert runtime.wait(near, True, False, Deadline.never()) == (True, False)

    run_on_loop(body)


def test_an_awaitable_is_awaited_in_place() -> None:
    """Synchronous code gets the result or the error of a coroutine; its own task awaits it."""

    async def work(fails: bool) -> object:
        await asyncio.sleep(0)
        if fails:
            raise KeyError("no")
        return asyncio.current_task()

    async def main() -> None:
        runtime = EventedRuntime()

        def body() -> object:
            with pytest.raises(KeyError):
                runtime.await_here(work(True))
            return runtime.await_here(work(False))

        assert await runtime.run(body) is asyncio.current_task()
        with pytest.raises(RuntimeError, match="AsyncSession"):
            runtime.await_here(work(False))

    asyncio.run(main(), debug=True)


def test_current_runtime_is_known_inside_only() -> None:
    """Code in a greenlet finds its runtime; a coroutine, a thread and a worker have none."""

    def body(runtime: EventedRuntime) -> None:
        assert current_runtime() is runtime
        assert runtime.call_blocking(current_runtime, Deadline.never()) is None

    assert current_runtime() is None
    run_on_loop(body)


def test_a_second_loop_is_refused() -> None:
    """The error says to which loop it belongs, and what to do."""

    async def main(runtime: EventedRuntime) -> None:
        await runtime.run(runtime.sleep, 0)

    runtime = EventedRuntime()
    asyncio.run(main(runtime))
    with pytest.raises(RuntimeError, match="that is closed now. Make one AsyncSession per loop"):
        asyncio.run(main(runtime))


def test_a_loop_of_another_thread_is_refused_while_the_first_runs() -> None:
    """Also in the middle of a step of the first loop, which goes on with its spare greenlets."""
    runtime = EventedRuntime()
    errors: list[str] = []

    def other() -> None:
        with pytest.raises(RuntimeError, match="that is another one") as caught:
            asyncio.run(runtime.run(runtime.sleep, 0))
        errors.append(str(caught.value))

    async def main() -> None:
        await runtime.run(runtime.sleep, 0)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        await runtime.run(runtime.sleep, 0)

    asyncio.run(main())
    assert len(errors) == 1


def test_a_loop_that_ends_unwinds_its_greenlets() -> None:
    """Code that waits when its coroutine is closed is ended there, and may not wait again."""
    ended: list[str] = []

    def body(runtime: EventedRuntime) -> None:
        try:
            runtime.sleep(60)
        finally:
            ended.append("outer")
            try:
                runtime.waiter().wait(Deadline.never())
            finally:
                ended.append("inner")

    async def main() -> Any:
        runtime = EventedRuntime()
        coroutine = runtime.run(body, runtime)
        coroutine.send(None)
        return coroutine

    coroutine = asyncio.run(main())
    coroutine.close()
    assert ended == ["outer", "inner"]


def test_a_cancelled_wait_leaves_no_timer_and_no_waiter() -> None:
    """A task that is cancelled and goes on all the same waits as before."""

    async def main() -> list[object]:
        runtime = EventedRuntime()
        flag = runtime.waiter()
        seen: list[object] = []

        def body() -> None:
            try:
                flag.wait(Deadline.after(60, runtime.now))
            except asyncio.CancelledError as error:
                seen.append(error.args)
            seen.append(flag.wait(Deadline.after(0.001, runtime.now)))

        task = asyncio.create_task(runtime.run(body))
        await asyncio.sleep(0)
        task.cancel("because")
        await task
        flag.set()
        return seen

    assert asyncio.run(main(), debug=True) == [("because",), False]


def test_a_signal_handler_wakes_a_waiting_loop() -> None:
    """A flag that a handler raises is noticed, although the loop waits in the kernel."""
    import os
    import signal

    def body(runtime: EventedRuntime) -> bool:
        flag = runtime.waiter()
        old = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        try:
            timer.start()
            return flag.wait(Deadline.after(10, runtime.now))
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, old)

    assert run_on_loop(body)


def test_a_blocking_call_sees_the_context_and_leaves_the_loop_free() -> None:
    """It runs on a thread of its own kind; other tasks run meanwhile."""

    async def main() -> None:
        runtime = EventedRuntime()
        variable.set("here")
        gate = threading.Event()

        def blocks() -> tuple[bool, str, str]:
            return gate.wait(10), variable.get(), threading.current_thread().name

        call = asyncio.create_task(
            runtime.run(runtime.call_blocking, blocks, Deadline.never(runtime.now))
        )
        await asyncio.sleep(0.01)
        gate.set()
        done, seen, name = await call
        assert done and seen == "here" and name.startswith("pooledhttp-aio")

    asyncio.run(main(), debug=True)


def test_a_dropped_runtime_is_freed() -> None:
    """Nothing in the process refers to a runtime whose loop has ended."""
    import weakref

    async def main() -> Any:
        runtime = EventedRuntime()
        near, far = socket.socketpair()
        with near, far:
            await runtime.run(
                runtime.wait_any,
                [Interest(near, True, False)],
                Deadline.after(0.001, runtime.now),
            )
        return weakref.ref(runtime)

    reference = asyncio.run(main())
    collect()
    wait_until(lambda: reference() is None, "the end of the runtime")


def test_flag_raised_after_the_loop_closed_is_harmless() -> None:
    """A finalizer may come late."""

    async def main() -> EventedRuntime:
        return EventedRuntime()

    flag = asyncio.run(main()).waiter()
    flag.set()
    assert flag.is_set


def test_requests_share_a_greenlet_but_nothing_else() -> None:
    """What one function has set, returned or raised is not there for the next one."""
    import weakref

    class Kept:
        pass

    async def main() -> None:
        runtime = EventedRuntime()
        seen: list[object] = []
        references: list[weakref.ref[Kept]] = []

        def body(kept: Kept) -> Kept:
            seen.append((id(runtime.current()), variable.get()))
            variable.set(kept)
            references.append(weakref.ref(kept))
            runtime.sleep(0)
            return kept

        def fails(kept: Kept) -> None:
            body(kept)
            raise LookupError

        for fn in (body, fails, body):
            with contextlib.suppress(LookupError):
                await asyncio.create_task(runtime.run(fn, Kept()))
        await asyncio.sleep(0)  # the loop lets go of the last task
        assert len({greenlet for greenlet, _ in seen}) == 1  # type: ignore[misc]
        assert {value for _, value in seen} == {"unset"}  # type: ignore[misc]
        collect()
        assert [reference() for reference in references] == [None] * 3

    asyncio.run(main())


def test_an_error_has_no_frame_of_the_driver_s_own_loop() -> None:
    """Its traceback leads from the caller to the function that raised."""

    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        run_on_loop(lambda _: fails())
    assert "_run_one_by_one" not in [entry.name for entry in caught.traceback]


def test_a_loop_may_run_in_one_thread_after_the_other() -> None:
    """Greenlets cannot move between threads; the runtime makes new ones."""
    runtime = EventedRuntime()
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_until_complete(runtime.run(runtime.sleep, 0))

    try:
        run()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        run()
        assert runtime._driver.thread_id == threading.get_ident()
    finally:
        loop.close()
