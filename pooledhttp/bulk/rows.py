"""One row of the journal: what is known of a job, and its states.

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

from enum import IntEnum
from typing import NamedTuple

__all__ = ["FETCHED", "MOVES", "Row", "State", "Update"]


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
    no URL. `digest` is `algorithm:hex`. Of the seconds from `started` to `ended`, `waited` were
    spent on waiting for a place at the host and between attempts.
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
    waited: float | None


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
    waited: float | None = None

    def in_state(self, state: State) -> Update:
        """Return the same change with another state."""
        return tuple.__new__(Update, (self[0], int(state), *self[2:]))
