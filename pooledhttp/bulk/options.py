"""The options of a download, and how work is divided over an executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pooledhttp.bulk.names import Naming
from pooledhttp.bulk.partition import Shard
from pooledhttp.records import record

__all__ = ["MOST_BYTES", "AnyExecutor", "Batches", "Options"]

#: Bytes of results being sent by an executor's workers, or here and not taken.
MOST_BYTES = 256 * 1024 * 1024


class AnyExecutor(Protocol):
    """`Workers`, an `Executor` of `concurrent.futures`, or a `distributed.Client`."""

    @property
    def submit(self) -> Callable[..., Any]:
        """Call a function in a worker."""


@record
class Batches:
    """How work goes to the workers of an executor.

    Args:
        jobs: The most jobs that a partition has at once. If its worker dies, so many at most are
            done again.
        seconds: The time after which a partition tells what it has done. One that keeps no
            connections begins nothing more then, and tells when what it has begun is done.
        partitions: How many there are, each with its own hosts; `None` for as many as the executor
            has workers.

    Raises:
        TypeError: One of them is no number.
        ValueError: A number is not above 0.
    """

    jobs: int = 512
    seconds: float = 1.0
    partitions: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("jobs", "seconds", "partitions"):
            number = getattr(self, name)
            if not isinstance(number, int | float | None if name == "partitions" else int | float):
                raise TypeError(f"{name} must be a number, not {number!r}")
        if self.jobs < 1 or self.seconds <= 0 or (self.partitions or 1) < 1:
            raise ValueError(f"the numbers of Batches must be above 0: {self}")


@record
class Options:
    """The options of a download.

    Args:
        naming: Names jobs.
        reserved: Names of files that are not given away, in the form that `folded` gives.
        refresh: Ask conditionally for what is done.
        overwrite: Replace files that the run did not make.
        adopt: Take files under the names of new jobs for what was fetched.
        decode: What to do about a Content-Encoding: `"auto"`, `"never"` or `"always"`.
        digest: The algorithm of the digests to record; None for none.
        max_size: The most bytes that a body may have; None for no limit.
        limit_rate: Bytes a second of all bodies together; None for no limit.
        low_speed: Bytes a second below which a body is given up after a minute; None for none.
        content_disposition: Name new files as the server's Content-Disposition says.
        mtime: Give files the time of their Last-Modified.
        shard: Which shard of a run this is; None for a whole one.
        rebuild: Begin a new journal; the one that is there is set aside.
    """

    naming: Naming
    reserved: frozenset[str] = frozenset()
    refresh: bool = False
    overwrite: bool = False
    adopt: bool = False
    decode: str = "auto"
    digest: str | None = None
    max_size: int | None = None
    mtime: bool = False
    limit_rate: float | None = None
    low_speed: float | None = None
    content_disposition: bool = False
    shard: Shard | None = None
    rebuild: bool = False
