"""The items of a run over several processes: those that wait for a worker, and those that one has.

```
put --> Spreader --> queue of a lane, by host --choose--> order --> out --> result
                                                 lost <-- (its worker has died)
```

Plain decisions: no thread, no clock, no worker. A lane has at most one batch out. What its worker
died with goes out again in smaller batches: an item that ends its workers must not take others
along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.partition import Spreader
from pooledhttp.bulk.retrying import is_idempotent

__all__ = ["Backlog", "Item", "LaneItems"]

#: An item that was lost with this many workers is not tried again. Batches of items that were lost
#: become smaller by this factor each time, so that the last one has one item.
MOST_LOST = 4
_LOST_FACTOR = 8

W = TypeVar("W")


@dataclass(slots=True)
class Item(Generic[W]):
    """An item that is queued or out.

    Args:
        index: Its place in the input.
        line: Where it goes: the origin of its URL, or of the next hop of its redirects.
        work: What was submitted.
        job: The job of that.
        leg: The rest of a chain of redirects; None when nothing was sent.
        lost: The workers that have died with it.
        attempts: Requests sent for it by workers that have handed it on.
    """

    index: int
    line: str
    work: W
    job: Job
    leg: Leg | None = None
    lost: int = 0
    attempts: int = 0

    @property
    def can_be_sent_again(self) -> bool:
        """Whether it may be sent when it is not known whether it was."""
        names = self.job.headers or {}
        return is_idempotent(self.job.method) or any(
            name.lower() == "idempotency-key" for name in names
        )


@dataclass(slots=True)
class LaneItems(Generic[W]):
    """The items of one lane."""

    number: int
    #: By line, in the order in which they get their turn.
    queues: dict[str, deque[Item[W]]] = field(default_factory=dict)
    queued: int = 0
    #: What was lost with a worker, to be sent alone.
    lost: deque[Item[W]] = field(default_factory=deque)
    #: What the worker has, by index.
    out: dict[int, Item[W]] = field(default_factory=dict)
    #: Since when it has items and nothing to do.
    waits_since: float | None = None

    @property
    def has_items(self) -> bool:
        """Whether anything waits or is out."""
        return bool(self.queued or self.lost or self.out)

    def has(self, index: int) -> bool:
        """Whether an item is out, or next in one of the queues."""
        return (
            index in self.out
            or any(item.index == index for item in self.lost)
            or any(queue[0].index == index for queue in self.queues.values())
        )


class Backlog(Generic[W]):
    """What is to be done, by lane.

    Args:
        spreader: Says which lane an item is for.
        batch: The most items that a lane has out.
        ordered: Whether earlier items go before later ones of other hosts.
    """

    def __init__(self, spreader: Spreader, batch: int, *, ordered: bool) -> None:
        self._spreader = spreader
        self._batch = batch
        self._ordered = ordered
        self.lanes: list[LaneItems[W]] = [LaneItems(n) for n in range(spreader.count)]
        #: Items that wait, in all lanes.
        self.queued = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is out."""
        return not self.queued and not any(lane.out for lane in self.lanes)

    def put(self, item: Item[W]) -> LaneItems[W]:
        """Queue an item; returns its lane."""
        lane = self.lanes[self._spreader.place(item.line, item.job.url)]
        lane.queues.setdefault(item.line, deque()).append(item)
        lane.queued += 1
        self.queued += 1
        return lane

    def put_back(self, lane: LaneItems[W], items: list[Item[W]]) -> None:
        """Put items back in front, in their order."""
        for item in reversed(items):
            lane.queues.setdefault(item.line, deque()).appendleft(item)
        lane.queued += len(items)
        self.queued += len(items)

    def put_lost(self, lane: LaneItems[W], item: Item[W]) -> None:
        """Queue an item that was lost with a worker."""
        lane.lost.append(item)
        self.queued += 1

    def choose(
        self, lane: LaneItems[W], most: int, first: int, may_go: Callable[[str], bool]
    ) -> list[Item[W]]:
        """Take items off the queues, from all hosts that have places in turn.

        Args:
            lane: Whose queues.
            most: The most items.
            first: The index whose result is taken next.
            may_go: Whether the lane has places at a host; asked once for each host.
        """
        if lane.lost:
            return self._choose_lost(lane, may_go)
        if any(item.lost for item in lane.out.values()):
            return []
        room = min(self._batch - len(lane.out), most)
        lines: list[str] = []
        for line in self._turns(lane, most, first):
            if len(lines) < room and may_go(line):
                lines.append(line)
        chosen = self._deal(lane, lines, room)
        lane.queued -= len(chosen)
        self.queued -= len(chosen)
        return chosen

    def _deal(self, lane: LaneItems[W], lines: list[str], room: int) -> list[Item[W]]:
        chosen: list[Item[W]] = []
        while room > 0 and lines:
            each = max(room // len(lines), 1)
            for line in list(lines):
                queue = lane.queues[line]
                for _ in range(min(each, len(queue), room)):
                    chosen.append(queue.popleft())
                    room -= 1
                if not queue:
                    del lane.queues[line]
                    lines.remove(line)
                elif not self._ordered:  # behind the others next time
                    lane.queues[line] = lane.queues.pop(line)
        return chosen

    def _turns(self, lane: LaneItems[W], most: int, first: int) -> list[str]:
        """Return the hosts of a lane, those first whose turn it is."""
        if not self._ordered:
            return list(lane.queues)
        indexes = {line: queue[0].index for line, queue in lane.queues.items()}
        if most == 1:
            return [line for line, index in indexes.items() if index == first]
        return sorted(indexes, key=indexes.__getitem__)

    def _choose_lost(self, lane: LaneItems[W], may_go: Callable[[str], bool]) -> list[Item[W]]:
        """Take items that were lost, alone and few at a time."""
        if lane.out:
            return []
        size = max(self._batch // _LOST_FACTOR ** lane.lost[0].lost, 1)
        chosen: list[Item[W]] = []
        for _ in range(min(size, len(lane.lost))):
            if may_go(lane.lost[0].line):
                chosen.append(lane.lost.popleft())
            else:
                lane.lost.rotate(-1)
        self.queued -= len(chosen)
        return chosen
