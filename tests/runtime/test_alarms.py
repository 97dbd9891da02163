"""Many deadlines share one timer of the loop."""

from __future__ import annotations

import asyncio

import pytest

from pooledhttp.runtime.alarms import Alarms
from pooledhttp.timing import monotonic


class Counting(asyncio.SelectorEventLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *args: object, **kwargs: object) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **kwargs)  # type: ignore[arg-type]


def test_functions_are_called_in_the_order_of_their_deadlines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ended one is not called; one that sets another is no trouble."""
    called: list[str] = []

    async def main() -> None:
        alarms = Alarms(asyncio.get_running_loop())
        over = asyncio.Event()

        def again() -> None:
            called.append("again")
            alarms.set(0.002, over.set)

        # The clock stands still while the deadlines are set, however slow the machine is.
        now = monotonic()
        with monkeypatch.context() as patch:
            patch.setattr("pooledhttp.runtime.alarms.monotonic", lambda: now)
            alarms.set(0.004, again)
            ended = alarms.set(0.003, lambda: called.append("ended"))
            alarms.set(0.001, lambda: called.append("first"))
            alarms.set(0.002, lambda: called.append("second"))
            alarms.end(ended)
        await asyncio.wait_for(over.wait(), 10)

    asyncio.run(main(), debug=True)
    assert called == ["first", "second", "again"]


def test_waits_that_end_early_cost_no_timer_and_leave_nothing() -> None:
    """A thousand with the same timeout take one timer; their entries are taken out."""
    loop = Counting()

    async def main() -> int:
        alarms = Alarms(loop)
        before = loop.timers
        kept = alarms.set(30, int)
        for _ in range(1000):
            alarms.end(alarms.set(30, int))
        assert len(alarms._heap) < 100
        alarms.end(kept)
        return loop.timers - before

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == 1
