"""Checks what a program gives to be called: listeners and request hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = ["checked_callables"]

C = TypeVar("C", bound=Callable[..., Any])


def checked_callables(name: str, callables: Iterable[C], argument: str) -> tuple[C, ...]:
    """Return callables as a tuple.

    Args:
        name: What the argument is called that takes them.
        callables: The callables.
        argument: What each of them takes, such as `an event`.

    Raises:
        TypeError: One of them is not callable, or they are no iterable.
    """
    if not isinstance(callables, Iterable):
        raise TypeError(f"{name} must be an iterable of callables, not {callables!r}")
    checked = tuple(callables)
    for each in checked:
        if not callable(each):
            raise TypeError(
                f"{name} must be callables that take {argument}, and {each!r} is not one"
            )
    return checked
