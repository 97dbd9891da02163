"""The one hook that resets objects in a forked child."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pytest

from pooledhttp.runtime import fork, register_fork_reset

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Recorder:
    """Notes its name when it is reset."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        self.notes.append(self.name)
        if self.name == "broken":
            raise ValueError("cannot be reset")


def exit_code_of(child: Callable[[], bool]) -> int:
    """Fork, and return 0 if `child` returns True in the child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if child() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_objects_are_reset_in_the_order_of_their_registration() -> None:
    """The child resets each object once, the parent none."""
    notes: list[str] = []
    kept = [Recorder(name, notes) for name in ("first", "second", "third")]
    assert exit_code_of(lambda: notes == ["first", "second", "third"]) == 0
    assert notes == []
    assert len(kept) == 3


def test_an_object_that_fails_does_not_stop_the_others() -> None:
    """An error in one reset is logged, and the next object is still reset."""
    notes: list[str] = []
    kept = [Recorder("broken", notes), Recorder("whole", notes)]
    assert exit_code_of(lambda: notes == ["broken", "whole"]) == 0
    assert len(kept) == 2


def test_registration_keeps_nothing_alive() -> None:
    """A registered object is collected, and its entry goes with it."""
    before = len(fork._registered)
    recorder = Recorder("dropped", [])
    assert len(fork._registered) == before + 1
    del recorder
    gc.collect()
    assert len(fork._registered) <= before
