"""What a bulk fetch tells: a `Result` for each item, and a `Tally` over many of them.

A result either holds a response or an error, never both. Reading a tally costs nothing; it keeps
counts, not results.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .jobs import Job

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Result", "Tally"]


@dataclass(frozen=True, slots=True)
class Result:
    """How one item of a bulk fetch ended.

    Args:
        url: The URL as it stood in the input (not the one a redirect led to: that is
            `response.url`).
        response: The response, its body read into memory or given to a sink; `None` when there is
            an error.
        error: Why there is no response, or why its body could not be stored; `None` when all went
            well. An answer with an HTTP error status is a response, not an error: see `ok`.
        index: The item's place in the input, from 0.
        attempts: How many times the request was sent, retries included; 0 when the item never got
            so far.
        elapsed: Seconds from the start of the item to its end, the reading of the body included,
            waiting in the engine's queues not.
        job: The job, with the caller's `key`; `None` when the item was not one.
        saved: What the sink made of the body (for `to_files` the path of the file); `None` without
            a sink.
        size: Bytes of the body, as they were kept (after decoding).
    """

    url: str
    response: Response | None = None
    error: Exception | None = None
    index: int = 0
    attempts: int = 0
    elapsed: float = 0.0
    job: Job | None = field(default=None, repr=False)
    saved: Any = None
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a response and its status is below 400."""
        return self.response is not None and self.response.status_code < 400

    @property
    def key(self) -> Any:
        """The `key` of the job."""
        return None if self.job is None else self.job.key

    @property
    def problem(self) -> str | None:
        """Why the item is not ok, on one line; `None` when it is."""
        if self.error is not None:
            text = " ".join(str(self.error).split())
            return f"{type(self.error).__name__}: {text}" if text else type(self.error).__name__
        if self.ok or self.response is None:
            return None
        return f"HTTP {self.response.status_code} {self.response.reason or ''}".rstrip()


class Tally:
    """Counts over the results of a bulk fetch, kept while they pass by."""

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.size = 0
        self.attempts = 0
        #: How often each class of error, or "HTTP 404" and the like, was seen.
        self.problems: Counter[str] = Counter()

    @property
    def done(self) -> int:
        """Results seen."""
        return self.ok + self.failed

    def add(self, result: Result) -> None:
        """Count one result."""
        self.attempts += result.attempts
        self.size += result.size
        if result.ok:
            self.ok += 1
            return
        self.failed += 1
        if result.error is not None:
            self.problems[type(result.error).__name__] += 1
        elif result.response is not None:
            self.problems[f"HTTP {result.response.status_code}"] += 1

    def __repr__(self) -> str:
        return f"<Tally {self.ok} ok, {self.failed} failed, {self.size} bytes>"
