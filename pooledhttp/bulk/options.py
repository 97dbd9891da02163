"""How a download treats what it finds in its directory."""

from __future__ import annotations

from dataclasses import dataclass

from pooledhttp.bulk.names import Naming

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a run treats what it finds.

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
        mtime: Give files the time of their Last-Modified.
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
