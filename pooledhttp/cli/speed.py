"""How fast a run is, and how much longer it takes: what a line of progress says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.bulk import HostCounts, Tally

    Hosts = Callable[[], HostCounts]

__all__ = ["Speed", "bytes_text", "time_text"]

#: The speed is that of the last ten seconds, seen twice a second.
_WINDOW_SECONDS = 10.0
_SAMPLE_SECONDS = 0.5

#: Before that, a speed says nothing.
_LEAST_SECONDS = 2.0


class Speed:
    """The speed of a run, from the counts that it is told.

    Args:
        total: How many items there will be; `None` when that is not known.
        now: The clock.
    """

    def __init__(self, total: int | None, now: Callable[[], float]) -> None:
        self._total = total
        self._now = now
        #: (moment, items done, bytes received)
        self._samples: deque[tuple[float, int, int]] = deque()

    def note(self, tally: Tally) -> None:
        """Take counts in, which only grow."""
        now = self._now()
        if self._samples and now - self._samples[-1][0] < _SAMPLE_SECONDS:
            return
        self._samples.append((now, tally.done, max(tally.size, tally.received)))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECONDS:
            self._samples.popleft()

    def text(self, tally: Tally, hosts: Hosts | None) -> str:
        """Return what can be said by now: speed, hosts, time left."""
        parts = []
        files, size = self._a_second()
        if files is not None and size is not None:
            parts.append(f"{files:.1f} files/s, {bytes_text(size)}/s")
        if hosts is not None:
            parts.append(_hosts_text(hosts()))
        if files and self._total is not None and self._total > tally.done:
            parts.append(f"{time_text((self._total - tally.done) / files)} left")
        return ", ".join(part for part in parts if part)

    def _a_second(self) -> tuple[float | None, float | None]:
        if not self._samples:
            return None, None
        first, last = self._samples[0], self._samples[-1]
        seconds = last[0] - first[0]
        if seconds < _LEAST_SECONDS:
            return None, None
        return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds


def _hosts_text(hosts: HostCounts) -> str:
    if not any(hosts):
        return ""
    text = f"{hosts.at_work} host{'' if hosts.at_work == 1 else 's'} at work"
    if hosts.resting:
        text += f", {hosts.resting} resting"
    if hosts.paused:
        text += f", {hosts.paused} paused"
    return text


def bytes_text(size: float) -> str:
    """Write a number of bytes for people: `12.3 MB`."""
    if size < 1000:
        return f"{size:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def time_text(seconds: float) -> str:
    """Write a duration for people: `12 ms`, `3.4 s`, `5 min`, `2 h 05 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
