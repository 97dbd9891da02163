"""What the request hooks that trace have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from pooledhttp.events import (
    OutgoingRequest,
    RequestOutcome,
    add_request_hook,
    remove_request_hook,
)

__all__ = ["TracingHook"]


class TracingHook(ABC):
    """A request hook for one session, or for all of the process."""

    @abstractmethod
    def __call__(self, request: OutgoingRequest) -> Callable[[RequestOutcome], object] | None:
        """Begin a span; this is the hook."""

    def instrument(self) -> Self:
        """Trace the requests of all sessions of this process, and return this object."""
        add_request_hook(self)
        return self

    def uninstrument(self) -> None:
        """Undo `instrument`.

        Raises:
            ValueError: `instrument` was not called.
        """
        remove_request_hook(self)
