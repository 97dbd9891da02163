"""How many requests each lane may have at each host, and when the next one may be sent.

The places that all lanes have at a host never exceed the limit of the run. A lane gets its share of
what the others do not have. A share that has become smaller counts as the larger one until the
worker says that no more requests are running.

Plain decisions: the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pooledhttp.bulk.partition import Spreader, share

__all__ = ["Grants", "Limits"]

#: Hosts whose next moment is remembered, before those that have passed are dropped.
_MOST_MOMENTS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run, over all lanes.

    Args:
        jobs: The most requests at once.
        per_host: The most of them at one host; None for no limit.
        per_host_rate: Requests a second to one host; None for no limit.
        limit_of: Gives the limit of one host; None where all have `per_host`.
        rate_of: Gives the rate of one host; None where all have `per_host_rate`.
    """

    jobs: int
    per_host: int | None
    per_host_rate: float | None = None
    limit_of: Callable[[str], int | None] | None = None
    rate_of: Callable[[str], float | None] | None = None

    def at(self, line: str) -> int | None:
        """Return the most requests at once to a host."""
        return self.per_host if self.limit_of is None else self.limit_of(line)

    def rate_at(self, line: str) -> float | None:
        """Return the requests a second to a host."""
        return self.per_host_rate if self.rate_of is None else self.rate_of(line)


class Grants:
    """The places of each lane at each host.

    Args:
        limits: The limits of the run.
        spreader: Says which lanes share a host.
        now: The clock.
    """

    def __init__(self, limits: Limits, spreader: Spreader, now: Callable[[], float]) -> None:
        self._limits = limits
        self._spreader = spreader
        self._now = now
        #: The places of each lane, by line and lane; None for no limit.
        self._granted: dict[str, dict[int, int | None]] = {}
        #: When the next request may be sent to each host that has a rate.
        self._open_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of hosts at which any lane has places."""
        return len(self._granted)

    def give(self, line: str, lane: int) -> bool:
        """Give a lane its share of the places at a host; whether it has any."""
        limit = self._limits.at(line)
        has = self._granted.get(line, {})
        if limit is None:
            self._granted.setdefault(line, has)[lane] = None
            return True
        wanted = self._spreader.limit(line, lane) or 0
        others = sum(number or 0 for key, number in has.items() if key != lane)
        places = min(wanted, limit - others)
        if places > (has.get(lane) or 0):
            self._granted.setdefault(line, has)[lane] = places
        return bool(has.get(lane))

    def is_above_share(self, lane: int) -> bool:
        """Whether a lane has more places than its share at a host: others wait for them."""
        return any(
            (has.get(lane) or 0) > (self._spreader.limit(line, lane) or 0)
            for line, has in self._granted.items()
        )

    def of(self, lane: int) -> dict[str, int | None]:
        """Return the places that a lane has from now on, at all hosts it has any at."""
        grants: dict[str, int | None] = {}
        for line, has in self._granted.items():
            if lane not in has:
                continue
            self.give(line, lane)  # there may be more by now
            held = has[lane]
            wanted = self._spreader.limit(line, lane)
            grants[line] = held if held is None or wanted is None else min(held, max(wanted, 1))
        return grants

    def rates(self, grants: dict[str, int | None]) -> dict[str, tuple[float, float]]:
        """Return a lane's requests a second to each host, and the seconds until the first one."""
        if self._limits.per_host_rate is None:
            return {}
        now = self._now()
        return {
            line: (
                share(float(self._limits.rate_at(line) or 0), len(self._spreader.places(line)), 0),
                max(self._open_at.get(line, 0.0) - now, 0.0),
            )
            for line in grants
        }

    def hold(self, lane: int, held: dict[str, int | None]) -> None:
        """Note the places that a lane still has, and that it has no others."""
        for line, has in list(self._granted.items()):
            if lane not in has:
                continue
            if line in held:
                has[lane] = held[line]
                continue
            del has[lane]
            if not has:
                del self._granted[line]

    def note_owed(self, owed: dict[str, float]) -> None:
        """Note the seconds until the next request to hosts that a lane has left."""
        now = self._now()
        self._open_at.update((line, now + seconds) for line, seconds in owed.items())
        if len(self._open_at) > _MOST_MOMENTS:
            self._open_at = {line: at for line, at in self._open_at.items() if at > now}
