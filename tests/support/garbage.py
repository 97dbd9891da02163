"""Collecting garbage for certain."""

from __future__ import annotations

import gc
import time
import weakref

__all__ = ["collect"]

#: Longest time another thread's collection is waited for.
PATIENCE_SECONDS = 20.0


class _Ring:
    """An object that only the cyclic collector can free."""

    def __init__(self) -> None:
        self.itself = self


def collect() -> None:
    """Run the cyclic collector.

    `gc.collect()` does nothing when it is called while another thread is in the middle of a
    collection, which may have begun before there was the garbage in question.
    """
    ring = weakref.ref(_Ring())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        gc.collect()
        if ring() is None:
            return
        assert time.monotonic() < deadline, "the collector does not collect"
