"""Who holds what, in words: the caller's line, and the text of a `PoolTimeout`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Iterable
from typing import TypeVar

from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import Place

__all__ = ["caller_outside", "describe_holders", "timed_out"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_PACKAGE = __name__.partition(".")[0]

#: Holders named in one message; the one who reads it needs a few, not all.
_MAX_HOLDERS = 10


def caller_outside() -> tuple[str, str]:
    """Return file and line of the first frame outside the package, and the thread's name.

    The file and line are empty when there is no such frame, as in a greenlet of our own.
    """
    frame = sys._getframe(1)
    thread = threading.current_thread().name
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != _PACKAGE and not name.startswith(_PACKAGE + "."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}", thread
        frame = frame.f_back  # type: ignore[assignment]
    return "", thread


def describe_holders(places: Iterable[Place[K, R]], now: float) -> tuple[str, ...]:
    """Return a text for each place in use, longest held first: origin, age, place, thread."""
    held = sorted(places, key=lambda place: place.taken_at)
    texts = []
    for place in held[:_MAX_HOLDERS]:
        text = f"{place.record.origin} for {now - place.taken_at:.1f} s"
        if place.resource is None:
            text += ", dialling"
        if place.watch is not None:
            text += str(place.watch)
        texts.append(text)
    return tuple(texts)


def timed_out(
    record: Record[K, R],
    places: Iterable[Place[K, R]],
    total: tuple[int, int],
    waited_seconds: float,
    now: float,
) -> PoolTimeout:
    """Make the error of a caller that waited in vain.

    Args:
        record: Of the key it waited for.
        places: All that are held.
        total: How many resources the pool has open, and its maximum.
        waited_seconds: How long it stood in line.
        now: The time.
    """
    is_own_limit = record.open >= record.max_open
    mine = [place for place in places if not is_own_limit or place.record is record]
    in_use, limit = (record.in_use, record.max_open) if is_own_limit else total
    setting = "max_per_host" if is_own_limit else "max_total"
    holders = describe_holders(mine, now)
    limit_text = str(limit) if limit != UNLIMITED else "any number"
    message = (
        f"No connection to {record.origin} became free in {waited_seconds:.1f} s "
        f"(in use {in_use} of {limit_text}, waiting {len(record.waiters) + 1}). "
        f"Close responses you have finished reading, or raise {setting}."
    )
    if holders:
        message += " Held: " + "; ".join(holders) + "."
    if len(mine) > len(holders):
        message += f" And {len(mine) - len(holders)} more."
    return PoolTimeout(
        message,
        origin=record.origin,
        waited_seconds=waited_seconds,
        in_use=in_use,
        limit=None if limit == UNLIMITED else limit,
        waiting=len(record.waiters) + 1,
        holders=holders,
    )
