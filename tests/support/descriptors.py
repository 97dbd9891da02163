"""Counting this process's open descriptors, to show that nothing stays open."""

from __future__ import annotations

import gc
import os
import threading

#: A socket whose closing was handed to another thread may need a moment.
PATIENCE_SECONDS = 20.0


def open_descriptors() -> dict[int, str]:
    """Number and target of every open descriptor of this process."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def wait_until_closed(before: dict[int, str]) -> dict[int, str]:
    """Descriptors open now that were not in `before`, once there are none or patience ends."""
    pause = threading.Event()
    extra: dict[int, str] = {}
    for turn in range(int(PATIENCE_SECONDS / 0.01)):
        if turn % 10 == 9:  # not before: it takes longer than most tests
            gc.collect()
        now = open_descriptors()
        extra = {number: target for number, target in now.items() if before.get(number) != target}
        if len(now) <= len(before):
            return {}
        pause.wait(0.01)
    return extra
