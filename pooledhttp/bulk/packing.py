"""Makes the orders of a run over several processes: chooses their items, and pickles them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pooledhttp.bulk.backlog import Backlog, Item, LaneItems
from pooledhttp.bulk.gathered import Outcomes
from pooledhttp.bulk.grants import Grants
from pooledhttp.bulk.lanes import Lanes
from pooledhttp.bulk.payloads import ItemHandler, Order
from pooledhttp.bulk.portable import why_job_cannot_be_sent
from pooledhttp.bulk.protocols import Indexed

__all__ = ["Packer"]

W = TypeVar("W")
R = TypeVar("R", bound=Indexed)


class Packer(Generic[W, R]):
    """Takes items of a lane and packs them.

    Args:
        handler: Packs one item.
        lanes: How values are pickled for workers.
        backlog: What is to be done.
        grants: The places at hosts.
        outcomes: Gets the errors of items that cannot be pickled.
    """

    def __init__(
        self,
        handler: ItemHandler[W, R],
        lanes: Lanes,
        backlog: Backlog[W],
        grants: Grants,
        outcomes: Outcomes[R],
    ) -> None:
        self._handler = handler
        self._lanes = lanes
        self._backlog = backlog
        self._grants = grants
        self._outcomes = outcomes

    def pack(
        self, lane: LaneItems[W], budget: int, most: int, seconds: float
    ) -> tuple[list[Item[W]], bytes | None]:
        """Return the items of an order, and the order; None when there is nothing to ask for.

        Args:
            lane: Whose order.
            budget: Bytes of results that it may bring.
            most: The most items.
            seconds: How long the worker works before it replies.
        """
        number, grants = lane.number, self._grants
        items = self._backlog.choose(
            lane, most, self._outcomes.next, lambda line: grants.give(line, number)
        )
        while items or lane.out:
            places = grants.of(number)
            packed = [
                self._handler.pack(item.index, item.line, item.work, item.leg) for item in items
            ]
            order = Order(packed, places, grants.rates(places), seconds, budget, self._lanes.keeps)
            try:
                return items, self._lanes.dumps(order)
            except Exception:  # one of the items cannot be pickled
                items = self._without_unsendable(items, packed)
        if not lane.out:
            grants.hold(number, {})
        return [], None

    def _without_unsendable(self, items: list[Item[W]], packed: list[Any]) -> list[Item[W]]:
        """Take out the items that cannot be pickled; each has its error as result."""
        kept = []
        for item, each in zip(items, packed, strict=True):
            try:
                self._lanes.dumps(each)
            except Exception:  # whatever its pickling raises
                error = why_job_cannot_be_sent(item.job, self._lanes.dumps)
                self._outcomes.put(self._handler.failed(item.index, item.work, error, 0))
            else:
                kept.append(item)
        if len(kept) == len(items):
            raise AssertionError("an order of items that can be pickled cannot")
        return kept
