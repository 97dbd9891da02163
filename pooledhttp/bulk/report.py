"""The results of a bulk run, one for each item, and a `Tally` that counts them.

`fetch` gives a `Result`, which holds the response. `download` gives a `DownloadResult`, which holds
what the journal has. A tally counts either kind; it keeps counts, not results.

Text that came from a server goes through `one_line` before it is shown or stored, so that no
control sequence reaches a terminal and no line of a list becomes two.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field, fields
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.rows import State
from pooledhttp.records import field as record_field
from pooledhttp.records import record

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = [
    "DownloadResult",
    "Result",
    "Tally",
    "error_text",
    "one_line",
    "result_in",
    "result_of",
    "results_of",
]

#: Control characters, line separators, surrogates, and what changes the direction of text.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)

#: Longer texts say no more.
_LONGEST_TEXT = 500


def one_line(text: str) -> str:
    """Return text as one line of printable characters; others become escapes, as in `repr`."""
    text = " ".join(text.split())
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 3] + "..."
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def error_text(error: BaseException) -> str:
    """Return an error's class and message on one line."""
    text = one_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@record
class Result:
    """How one item of a bulk fetch ended.

    Args:
        url: The URL as it stood in the input (not the one a redirect led to: that is
            `response.url`).
        response: The response, its body read into memory or given to a sink; `None` when there is
            an error.
        error: Why there is no response, or why its body could not be stored; `None` when all went
            well. A response with an HTTP error status is a response, not an error: see `ok`.
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
    job: Job | None = record_field(default=None, repr=False)
    saved: object = None
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a response and its status is below 400."""
        return self.response is not None and self.response.status_code < 400

    @property
    def key(self) -> object:
        """The `key` of the job."""
        return None if self.job is None else self.job.key

    @property
    def path(self) -> Path | None:
        """The file that the body was saved to, when the sink says so."""
        return self.saved if isinstance(self.saved, Path) else None

    @property
    def problem(self) -> str | None:
        """Why the item is not ok, on one line; `None` when it is."""
        if self.error is not None:
            return error_text(self.error)
        if self.ok or self.response is None:
            return None
        return one_line(f"HTTP {self.response.status_code} {self.response.reason or ''}")

    @property
    def kind(self) -> str | None:
        """The kind of problem, for counting: a class of error, or "HTTP 404"."""
        if self.error is not None:
            return type(self.error).__name__
        if self.ok or self.response is None:
            return None
        return f"HTTP {self.response.status_code}"


class _LazyPath:
    """Makes the path of a result when it is asked for, since few callers ask."""

    def __get__(self, result: DownloadResult | None, owner: type | None = None) -> Path | None:
        values = {} if result is None else vars(result)
        directory, name = values.get("_directory"), values.get("name")
        if directory is None or name is None:
            return None  # the field's default
        path: Path = directory / name
        values["path"] = path
        return path


@dataclass(frozen=True)  # no slots: what is made by `result_in` is set at once
class DownloadResult:
    """How one job of a download ended.

    Args:
        url: The URL as it stood in the input.
        state: `DONE` when the file is there, `UNCHANGED` when the server said that the file that
            was there is current, `FAILED` otherwise.
        name: The file's name relative to the directory; `None` when it could not have one.
        path: The file. It exists when `ok`.
        is_new: Whether this run wrote the file; False when an earlier one had.
        status: The status of the last response; `None` when there was none.
        problem: Why it failed, on one line; `None` when it did not.
        kind: The kind of problem, for counting: a class of error, "HTTP 404", or a few words.
        index: The item's place in the input, from 0.
        attempts: How many times a request was sent in this run; 0 when none was needed.
        elapsed: Seconds this run spent on it, waiting in queues not included.
        size: Bytes of the file.
        digest: `algorithm:hex` when one was asked for.
        etag: The ETag that came with the body.
        last_modified: The Last-Modified that came with the body.
        error: The error, when one was raised.
        job: The job, with the caller's `key`; `None` when the item was not one.
    """

    url: str
    state: State
    name: str | None = None
    path: Path | None = _LazyPath()  # type: ignore[assignment]  # a descriptor's field
    is_new: bool = False
    status: int | None = None
    problem: str | None = None
    kind: str | None = None
    index: int = 0
    attempts: int = 0
    elapsed: float = 0.0
    size: int = 0
    digest: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    error: Exception | None = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the file is there."""
        return self.state in (State.DONE, State.UNCHANGED)

    @property
    def key(self) -> object:
        """The `key` of the job."""
        return None if self.job is None else self.job.key


#: The fields after `path`, in their order.
_OTHERS = tuple(each.name for each in fields(DownloadResult))[4:]

_set = object.__setattr__


def result_in(
    directory: Path, url: str, state: State, name: str | None, *others: Any
) -> DownloadResult:
    """Return a result whose path is made when it is asked for.

    Args:
        directory: The directory of the run.
        url: Its URL.
        state: Its state.
        name: The name of the file.
        *others: The fields after `path`, in their order.
    """
    values = {"url": url, "state": state, "name": name, "_directory": directory}
    values.update(zip(_OTHERS, others, strict=False))
    return result_of(values)


def result_of(values: dict[str, Any]) -> DownloadResult:
    """Return a result of its fields, which then belong to it.

    Args:
        values: The fields by name. Instead of the path there may be `_directory`, in which the
            name lies.
    """
    result = object.__new__(DownloadResult)  # to set 17 fields one by one would cost 2 us
    _set(result, "__dict__", values)
    return result


def results_of(values: list[dict[str, Any]]) -> list[DownloadResult]:
    """Return results of their fields; see `result_of`. A field that is missing has its default."""
    results: list[DownloadResult] = list(map(object.__new__, repeat(DownloadResult, len(values))))
    deque(map(_set, results, repeat("__dict__"), values), maxlen=0)  # calls it for each
    return results


class _Countable(Protocol):
    """What a tally reads of a result."""

    @property
    def ok(self) -> bool: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def size(self) -> int: ...
    @property
    def attempts(self) -> int: ...


class Tally:
    """Counts over results, kept while they come."""

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.size = 0
        self.attempts = 0
        #: Bytes received, unfinished bodies included, where the caller keeps count of them.
        self.received = 0
        #: Of those that are ok: files that were there before, and files found unchanged.
        self.there_before = 0
        self.unchanged = 0
        #: How often each class of error, or "HTTP 404" and the like, was seen.
        self.problems: Counter[str] = Counter()

    @property
    def done(self) -> int:
        """Results seen."""
        return self.ok + self.failed

    @property
    def fetched(self) -> int:
        """Results that are ok and were not there before."""
        return self.ok - self.there_before - self.unchanged

    def add(self, result: _Countable) -> None:
        """Count one result."""
        self.attempts += result.attempts
        if not isinstance(result, DownloadResult) or result.is_new:
            self.size += result.size
        if not result.ok:
            self.failed += 1
            self.problems[result.kind or "unknown"] += 1
            return
        self.ok += 1
        if isinstance(result, DownloadResult) and not result.is_new:
            if result.state is State.UNCHANGED:
                self.unchanged += 1
            else:
                self.there_before += 1

    def __repr__(self) -> str:
        return f"<Tally {self.ok} ok, {self.failed} failed, {self.size} bytes>"
