"""What a bulk fetch is asked to do: one `Job` for each item of the input.

A job is a value. It knows what to request and where the body should go, and nothing of how or when
that happens. Plain URL strings are jobs with everything else left at its default. An item that is
neither becomes a failed result in its place, because one bad line in a list of a million must not
end the run.

Jobs are told apart by *line*: the scheme, host and port of their URL. The pace of the engine is
kept per line, as the limits of the pool are kept per origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pooledhttp.bulk.places import origin_of

if TYPE_CHECKING:
    from pooledhttp.bulk.sinks import Sink

__all__ = ["Job"]


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a bulk fetch.

    Args:
        url: The URL to request.
        method: The HTTP method.
        headers: Header fields for this request, merged over the session's.
        data: A body as `Session.request(data=...)` takes it.
        json: A value to send as a JSON body.
        params: Query parameters to append to the URL.
        key: Anything the caller wants to find again on the result; never looked at.
        sink: Where the body goes instead of into memory, for instance `to_files("out")`. `None`
            means the sink given to `fetch`, if any.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    data: Any = None
    json: Any = None
    params: Any = None
    key: Any = None
    sink: Sink | None = None

    @classmethod
    def of(cls, item: object) -> Job:
        """Return the job that an item of the input stands for.

        Raises:
            TypeError: The item is neither a `str` nor a `Job`.
        """
        if isinstance(item, Job):
            return item
        if isinstance(item, str):
            return cls(item)
        raise TypeError(
            f"a bulk fetch takes URLs (str) and Jobs, not {type(item).__name__}: {item!r:.100}"
        )

    @property
    def can_resend(self) -> bool:
        """Whether the body can be sent a second time: not one that is read while it is sent."""
        return not hasattr(self.data, "read") and not hasattr(self.data, "__next__")

    @property
    def line(self) -> str:
        """The queue this job stands in: `scheme://host:port`, empty for a URL without one."""
        return origin_of(self.url)
