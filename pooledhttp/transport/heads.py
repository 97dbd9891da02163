"""Heads as values: the bytes of one that is sent, one that came, and what can be read off it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.transport.wire import WireRequest

__all__ = [
    "OPENING_BYTES",
    "Head",
    "head_bytes",
    "is_opening",
    "keep_alive_seconds",
    "name_protocol",
]

#: How an answer begins (RFC 9112, section 4), and one beginning to complete others with.
_OPENING = re.compile(rb"HTTP/1\.[0-9] [0-9]{3}")
_SAMPLE = b"HTTP/1.1 200"
OPENING_BYTES = len(_SAMPLE)


@dataclass(slots=True)
class Head:
    """The status line and fields of a final answer.

    `keep_seconds` is the server's `Keep-Alive: timeout=` hint, `None` without one. `is_chunked`
    tells whether the body comes in chunks, whose ends a reader of a live stream wants to see.
    """

    status: int
    reason: str
    version: int
    headers: list[tuple[str, str]]
    is_chunked: bool
    keep_seconds: float | None


def head_bytes(request: WireRequest) -> bytes:
    """The head with its fields in the caller's order; h11, which has checked them, moves Host."""
    lines = [b"%s: %s\r\n" % field for field in request.headers]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (request.method, request.target, b"".join(lines))


def is_opening(start: bytes) -> bool:
    """Whether the first bytes of an answer, at most `OPENING_BYTES`, can be those of a status line.

    So what can never become one is found as it comes, also from a peer that says no more.
    """
    return _OPENING.fullmatch(start + _SAMPLE[len(start) :]) is not None


def name_protocol(data: bytes) -> str:
    """Say what a peer speaks that does not speak HTTP/1."""
    if data[0] in (0x15, 0x16) and data[1:2] in (b"\x03", b""):
        return "it speaks TLS; use https:// or another port"
    if data[3:4] == b"\x04" and data[5:9] == bytes(4):
        return "it speaks HTTP/2"
    if data.startswith(b"SSH-"):
        return "it speaks SSH"
    return f"its answer begins with {data[:20]!r}"


def keep_alive_seconds(value: bytes) -> float | None:
    """Read `timeout=N` out of a Keep-Alive field; `None` when it has none that makes sense."""
    for part in value.lower().split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.strip() == b"timeout" and number.strip().isdigit() and len(number) < 10:
            return float(number)
    return None
