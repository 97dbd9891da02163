"""What an engine and what is around it need of each other.

`Requester` is the session of a run, `AnyEngine` what results need of an engine: that of this
process, or one over an executor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pooledhttp.bulk.backends import EngineName
from pooledhttp.bulk.pacing import Entry, HostCounts
from pooledhttp.pool import PoolStats

if TYPE_CHECKING:
    from pooledhttp.bulk.direct import BegunGet
    from pooledhttp.message import Response
    from pooledhttp.transport import WholeResponse

__all__ = ["AnyEngine", "Counted", "Indexed", "NamedBackend", "Requester"]


class Requester(Protocol):
    """What a bulk run needs of a session."""

    def request(self, method: str, url: str, **settings: Any) -> Response:
        """Send a request as `Session.request` does."""
        ...

    def get(
        self, url: str, headers: Mapping[str, str] | None, timeout: object, *, stream: bool
    ) -> Response:
        """Send a GET that its URL and these fields say all of; see `OwnSession.get`."""
        ...

    def fetch(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> WholeResponse | BegunGet | None:
        """Fetch a small body by the shortest way; see `OwnSession.fetch`."""
        ...

    def fetch_response(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> Response | BegunGet | None:
        """Do the same as a response; see `OwnSession.fetch_response`."""
        ...

    def waited(self) -> float:
        """Return the seconds for which this thread's request has waited for places so far."""
        ...

    def leave(self) -> tuple[int, float]:
        """End this thread's request: how often it was sent, and how long it waited for places."""
        ...

    def is_resting(self, line: str) -> bool:
        """Whether the host of a line rests, so that its items are to be put back."""
        ...

    def rest(self) -> None:
        """Give back what is kept for the next request, since a worker has nothing to do."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...

    def stats(self) -> PoolStats:
        """Return the counters of its pool."""
        ...


class Indexed(Protocol):
    """What an engine needs of a result: its place in the order of the input."""

    @property
    def index(self) -> int:
        """The item's place in the input."""
        ...


R = TypeVar("R", bound=Indexed)


class NamedBackend(Protocol):
    """What results tell of an engine."""

    #: What it is called.
    name: EngineName

    #: Why it is not the first choice; None if it is.
    reason: str | None


class AnyEngine(Protocol[R]):
    """What results need of an engine: this one, or one over several processes.

    See `Engine` for the meaning of each.
    """

    #: Whether the last counters come while it stops.
    counts_come_late: bool

    #: Items that were begun again because a worker process has died.
    repeated: int

    @property
    def backend(self) -> NamedBackend:
        """Where the work is done, by name."""

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""

    @property
    def has_result(self) -> bool:
        """Whether `take` would return one."""

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted was taken."""

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""

    @property
    def room(self) -> int:
        """How many items should be read now; 0 for none."""

    def submit(self, entry: Entry[Any]) -> None:
        """Queue the next item of the input."""

    def submit_all(self, entries: Sequence[Entry[Any]]) -> None:
        """Queue items, in the order of the input."""

    def put(self, result: R) -> None:
        """Queue a result that needed no work."""

    def take(self) -> R | None:
        """Return the next result; None when none is ready."""

    def left(self) -> list[R]:
        """Return the results that were not taken. Only when stopped."""

    def wait(self, seconds: float | None = None) -> None:
        """Wait until `take` has something to say."""

    def halt(self) -> None:
        """End all waits. Never blocks."""

    def stop(self) -> None:
        """Stop all work."""

    def hosts(self) -> HostCounts:
        """Return how many hosts are in which condition."""


class Counted(Protocol):
    """What knows the counters of a run's connections."""

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
