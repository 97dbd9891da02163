"""Waiting for a fact that another thread brings about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pooledhttp.runtime import current_runtime

__all__ = ["wait_until"]

#: Time between two looks.
LOOK_SECONDS = 0.005


def wait_until(happened: Callable[[], bool], what: str = "it", seconds: float = 10.0) -> None:
    """Wait for a fact; check it again and again.

    Args:
        happened: Whether it is so.
        what: Names it in the error.
        seconds: The longest wait; reached only when a test is failing.

    Raises:
        AssertionError: It did not come about.
    """
    runtime = current_runtime()
    pause = threading.Event().wait if runtime is None else runtime.sleep
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not come about"
        pause(LOOK_SECONDS)
