"""Calling listeners; an error of one never reaches the request.

A listener is any callable that takes an event. It runs in the thread of the request, so it should
be quick. What it raises is logged, as a warning the first time and at DEBUG after that (a listener
that fails does so at every request), and is then dropped.

There is no lock: registering is one append to a list, and emitting iterates over a copy. Emitting
costs nothing without listeners if the event is only built behind `if listeners:`, which every
request asks several times. `Listeners` is a list for that: its truth is known without a call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from pooledhttp.events.callables import checked_callables
from pooledhttp.events.kinds import Event

__all__ = ["Listener", "Listeners", "check_listeners"]

Listener = Callable[[Event], object]

logger = logging.getLogger(__name__)


class _Entry:
    """One listener and whether it has failed before."""

    __slots__ = ("has_failed", "listener")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.has_failed = False


class Listeners(list[Any]):
    """The listeners of a session or pool. True when there is at least one.

    Args:
        listeners: The first ones; each is called with every event, in this order.
    """

    __slots__ = ()

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        super().__init__(_Entry(listener) for listener in listeners)

    # Two are equal if they are the same, as for any object that is not a value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]  # that of a list is None

    def add(self, listener: Listener) -> None:
        """Call `listener` with every event from now on. Any thread may call this."""
        self.append(_Entry(listener))

    def remove(self, listener: Listener) -> None:
        """Stop calling `listener`; one that was added twice is still called once.

        Raises:
            ValueError: It is not a listener.
        """
        for entry in tuple(self):
            if entry.listener == listener:
                super().remove(entry)
                return
        raise ValueError(f"{listener!r} is not listening")

    def emit(self, event: Event) -> None:
        """Give `event` to every listener. Never raises for one of them."""
        for entry in tuple(self):
            try:
                entry.listener(event)
            except Exception as error:  # the request goes on
                level = logging.DEBUG if entry.has_failed else logging.WARNING
                entry.has_failed = True
                logger.log(level, "Listener %r failed on %r", entry.listener, event, exc_info=error)

    def __repr__(self) -> str:
        return f"<Listeners {len(self)}>"


def check_listeners(listeners: Iterable[Listener]) -> tuple[Listener, ...]:
    """Return listeners as a tuple.

    Raises:
        TypeError: One of them is not callable, or they are no iterable.
    """
    return checked_callables("listeners", listeners, "an event")
