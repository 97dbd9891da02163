"""Collecting garbage for certain."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collect", "no_collection"]

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


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the cyclic collector from running by itself, in whichever thread."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
