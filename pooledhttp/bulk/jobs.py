"""What a bulk run is asked to do: one `Job` for each item of the input.

A job is a value. It knows what to request and what to expect, and nothing of how or when that
happens. Plain URL strings are jobs with everything else left at its default. An item that is
neither becomes a failed result in its place, because one bad line in a list of a million must not
end the run.

Jobs queue by *line*: the scheme, host and port of their URL. The pace of the engine is kept per
line, as the limits of the pool are kept per origin.

A download knows a job again in the next run by its *identity*: its `key`, or its method, URL and
body.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import index
from typing import TYPE_CHECKING, Protocol

from pooledhttp.bulk.urls import origin_of
from pooledhttp.records import described, explain_misspelt_fields, record

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["BadLine", "Job", "Saved", "Sink", "bare_jobs"]


@record
class Saved:
    """Where a body was stored: `target` is for the caller (a path, say), `size` in bytes."""

    target: object
    size: int


class Sink(Protocol):
    """A place for bodies."""

    def claim(self, job: Job, index: int) -> Callable[[Response], Saved]:
        """Decide where the body of this job goes, and return what will put it there.

        Called in input order. What it returns is called in a worker with the open response, its
        body unread; not at all when there is no response with what was asked for, and once more
        when the body breaks off and the job is tried again. An exception out of either ends this
        job only.
        """
        ...


@record
class BadLine:
    """A line of a list that is no job: what it says, and what is wrong with it."""

    text: str
    problem: str

    def __str__(self) -> str:
        return self.text


_set = object.__setattr__

_HEX = re.compile("[0-9a-fA-F]+")


#: What others call a field, where that name is not near enough to be guessed.
_NAMES_ELSEWHERE = {
    **dict.fromkeys(("filename", "file", "path", "out", "output", "dest"), "name"),
    **dict.fromkeys(("body", "content"), "data"),
    **dict.fromkeys(("digest", "checksum", "hash"), "Pass sha256 or md5, in hex."),
    "id": "key",
    "query": "params",
    "timeout": "Pass it to bulk.fetch(...) or bulk.download(...) instead.",
    "auth": "Set it on the Session of the run.",
    "cookies": "Set them on the Session of the run, or as the header field Cookie.",
}


@explain_misspelt_fields(by_name=False, advice=_NAMES_ELSEWHERE)
@dataclass(frozen=True)  # no slots: what is not given stays in the class, see `of`
class Job:
    """One request of a bulk fetch.

    Args:
        url: The URL to request.
        method: The HTTP method.
        headers: Header fields for this request, merged over the session's.
        data: A body as `Session.request(data=...)` takes it.
        json: A value to send as a JSON body.
        params: Query parameters to append to the URL.
        key: Anything the caller wants to find again on the result. To `download` it is the job's
            identity, and must be a string or a whole number: the same key is the same file, also
            when the URL has changed.
        sink: For `fetch`: where the body goes instead of into memory, for instance
            `to_files("out")`. `None` means the sink given to `fetch`, if any.
        accept: For `download`: statuses that count as fetched, beside 200 and 203.
        size: For `download`: the bytes that the body must have; `None` for any number.
        sha256: For `download`: the SHA-256 that the body must have, in hex.
        md5: For `download`: the MD5 that the body must have, in hex.
        name: For `download`: the name of the file, relative to the directory. What is not safe in
            it is replaced. `None` means the way of the run.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    data: object = None
    json: object = None
    params: object = None
    key: object = None
    sink: Sink | None = None
    accept: Collection[int] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    name: str | None = None

    #: Whether `of` has made it of a URL, so that all else is as the class has it. (No field: it is
    #: the same for equal jobs or costs only time.)
    is_bare = False

    def __repr__(self) -> str:
        """Show what was given; the class has the defaults."""
        given = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name not in ("url", "is_bare") and value != getattr(Job, name, None)
        ]
        return f"{type(self).__name__}({', '.join([repr(self.url), *given])})"

    @classmethod
    def of(cls, item: object) -> Job:
        """Return the job that an item of the input stands for.

        Raises:
            TypeError: The item is neither a `str` nor a `Job`, or a `Job` with a value of a wrong
                type.
            ValueError: It is a line of a list that is no job, or a `Job` with a size or a checksum
                that no body can have.
        """
        if isinstance(item, Job):
            if not item.is_bare:
                item.check()
            return item
        if isinstance(item, str):
            if cls is not Job:
                return cls(item)
            job = object.__new__(Job)  # to set twelve defaults would cost 3 us for each line
            _set(job, "url", item)
            _set(job, "is_bare", True)
            return job
        if isinstance(item, BadLine):
            raise ValueError(item.problem)
        raise TypeError(
            f"a bulk fetch takes URLs (str) and Jobs, not {type(item).__name__}: {item!r:.100}"
        )

    def check(self) -> None:
        """Check what was given: a wrong value fails this job, and not the run.

        Raises:
            TypeError: One is of a wrong type. The message names it.
            ValueError: A size or a checksum is one that no body can have.
        """
        if not isinstance(self.url, str):
            raise TypeError(f"the url of a job must be a str, not {self.url!r:.100}")
        if not isinstance(self.method, (str, bytes)):
            raise TypeError(f"the method of a job must be a str, such as GET, not {self.method!r}")
        for field in ("name", "sha256", "md5"):
            value = getattr(self, field)
            if not (value is None or isinstance(value, str)):
                raise TypeError(f"the {field} of a job must be a str or None, not {value!r}")
        if isinstance(self.size, bool) or not (
            self.size is None or hasattr(self.size, "__index__")
        ):
            raise TypeError(
                f"the size of a job must be a whole number of bytes or None, not {self.size!r}"
            )
        if self.size is not None and index(self.size) < 0:
            raise ValueError(f"the size of a job must be at least 0, not {self.size}")
        for field, digits in (("sha256", 64), ("md5", 32)):
            value = getattr(self, field)
            if value is not None and not (len(value) == digits and _HEX.fullmatch(value)):
                raise ValueError(
                    f"the {field} of a job must be {digits} hexadecimal digits, not {value!r:.100}"
                )
        if self.headers is not None:
            self._check_headers()

    def _check_headers(self) -> None:
        if not isinstance(self.headers, Mapping):
            raise TypeError(
                "the headers of a job must be a mapping, such as {'Accept': 'text/html'}, not "
                f"{described(self.headers)}"
            )
        for name in self.headers:
            if not isinstance(name, (str, bytes)):
                raise TypeError(f"the name of a header must be a str, not {name!r}")

    @property
    def can_resend(self) -> bool:
        """Whether the body can be sent a second time: not one that is read while it is sent."""
        data = self.data
        return data is None or not (hasattr(data, "read") or hasattr(data, "__next__"))

    @property
    def reads_body(self) -> bool:
        """Whether the body is read while it is sent: a file, an iterator."""
        data = self.data
        return not (data is None or isinstance(data, (bytes, str, dict, list, tuple)))

    @property
    def is_plain(self) -> bool:
        """Whether the request is a GET that its URL and its fields say all of."""
        return (
            self.method == "GET" and self.data is None and self.json is None and self.params is None
        )

    @property
    def is_said_by_url(self) -> bool:
        """Whether a line with the URL alone asks for the same, and expects the same.

        A name does not count: the journal has it.
        """
        if self.is_bare:
            return True
        return (
            self.headers is None
            and self.key is None
            and self.data is None
            and self.json is None
            and self.params is None
            and self.size is None
            and self.sha256 is None
            and self.md5 is None
            and not self.accept
            and str(self.method).upper() == "GET"  # of a job that `check` refuses, it is no text
        )

    @property
    def line(self) -> str:
        """The queue this job stands in: `scheme://host:port`, empty for a URL without one."""
        return origin_of(self.url)

    def identity(self) -> tuple[str, str | None]:
        """Return what tells this job from others in a directory.

        Returns:
            The URL without its fragment; and the identity, or `None` when that is the URL.

        Raises:
            TypeError: The key is neither a string nor a whole number, or there is none and the body
                cannot be compared.
        """
        url = self.url.strip().partition("#")[0]
        if self.is_bare:
            return url, None
        if self.key is not None:
            if isinstance(self.key, bool) or not isinstance(self.key, (str, int)):
                raise TypeError(
                    f"the key of a downloaded job must be a str or an int, not {self.key!r}"
                )
            return url, f"key {self.key!r}"
        if self.data is None and self.json is None and self.params is None:
            method = self.method.upper()
            return url, None if method == "GET" else f"{method} {url}"
        digest = hashlib.sha256(f"{self.params!r} {self.json!r} ".encode())
        digest.update(self._body_bytes())
        return url, f"{self.method.upper()} {url} {digest.hexdigest()}"

    def _body_bytes(self) -> bytes:
        if isinstance(self.data, bytes):
            return self.data
        if self.data is None or isinstance(self.data, (str, dict, list, tuple)):
            return repr(self.data).encode("utf-8", "surrogatepass")
        raise TypeError(
            f"a job that sends a {type(self.data).__name__} needs a key, by which the next run"
            " knows it again"
        )


def bare_jobs(urls: Sequence[str]) -> list[Job]:
    """Return what `Job.of` makes of each URL."""
    jobs: list[Job] = list(map(object.__new__, repeat(Job, len(urls))))
    deque(map(_set, jobs, repeat("url"), urls), maxlen=0)  # calls it for each
    deque(map(_set, jobs, repeat("is_bare"), repeat(True)), maxlen=0)
    return jobs
