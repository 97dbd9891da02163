"""What the journal has of a job, and how far a job can be.

```
                    .--------- failed <----------.
                    v                            |
add --> pending --> running --> received --> done | unchanged
          ^            |            |          |
          '------------+------------'<---------'      (a part or a file is gone, or is asked again)
```

- `pending`: the job has a name and nothing else.
- `running`: a part may exist, and the row says with which validator it can be resumed.
- `received`: the part is complete and has `size` bytes. It may already stand under its name.
- `done`, `unchanged`: the file stands under its name.
- `failed`: `error` says why. It is tried again in the next run.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

__all__ = ["FETCHED", "MOVES", "Filter", "Row", "State", "Update", "hash64"]


class State(IntEnum):
    """How far a job is; see the module's text."""

    PENDING = 0
    RUNNING = 1
    RECEIVED = 2
    DONE = 3
    UNCHANGED = 4
    FAILED = 5


#: The states in which the file stands under its name.
FETCHED = frozenset({State.DONE, State.UNCHANGED})


#: From each state, the states that a job may be recorded in next.
MOVES = {
    State.PENDING: frozenset(State) - {State.PENDING},  # straight to DONE is adoption
    State.RUNNING: frozenset({State.RUNNING, State.RECEIVED, State.UNCHANGED, State.FAILED}),
    State.RECEIVED: frozenset({State.PENDING, State.RECEIVED, State.DONE, State.FAILED}),
    State.DONE: frozenset({State.RUNNING, State.RECEIVED, State.UNCHANGED, State.FAILED}),
    State.UNCHANGED: frozenset({State.RUNNING, State.RECEIVED, State.UNCHANGED, State.FAILED}),
    State.FAILED: frozenset(State) - {State.PENDING},
}


class Row(NamedTuple):
    """What the journal knows of a job. Times are seconds since 1970, sizes bytes.

    `identity` is None for a plain GET, whose identity is its URL. `name` is None for a line that is
    no URL. `digest` is `algorithm:hex`.
    """

    id: int
    url: str
    identity: str | None
    name: str | None
    host: str
    state: int
    status: int | None
    etag: str | None
    modified: str | None
    size: int | None
    digest: str | None
    attempts: int
    error: str | None
    started: float | None
    ended: float | None


class Update(NamedTuple):
    """A change of one row; what is None is written as unknown."""

    id: int
    state: int
    status: int | None = None
    etag: str | None = None
    modified: str | None = None
    size: int | None = None
    digest: str | None = None
    attempts: int = 0
    error: str | None = None
    started: float | None = None
    ended: float | None = None


@lru_cache(maxsize=64)  # a text is looked up, and then added
def hash64(text: str) -> int:
    """Return 64 bits of a text's digest, as the signed integer that SQLite stores."""
    digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Filter:
    """Says of nearly every number that was not added that it was not (a Bloom filter of 4 MiB).

    In the first run of a directory nearly every question to the journal has the response "no". Each
    costs 9 us there, and half a microsecond here.
    """

    __slots__ = ("_bits",)

    _MASK = (1 << 25) - 1

    def __init__(self) -> None:
        self._bits = bytearray((self._MASK + 1) >> 3)

    def add(self, number: int) -> None:
        """Add a 64-bit number."""
        bits, one, two = self._bits, number & self._MASK, (number >> 30) & self._MASK
        bits[one >> 3] |= 1 << (one & 7)
        bits[two >> 3] |= 1 << (two & 7)

    def may_have(self, number: int) -> bool:
        """Whether a number may have been added."""
        bits, one, two = self._bits, number & self._MASK, (number >> 30) & self._MASK
        return bool(bits[one >> 3] >> (one & 7) & 1 and bits[two >> 3] >> (two & 7) & 1)
