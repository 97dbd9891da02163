"""The seam between an exchange and the library that reads response heads.

    HeadReader   feeds a `HeadParser`, counts interim heads, decides the framing     head_reader
    HeadParser   finds heads in bytes: h11                                            h11_parser

A parser reads heads only. It lives for one exchange, so no byte behind a response can reach the
next one. The framing of the body is decided from the fields (`framing`), and the body is taken
apart by this package (`response_body`, `chunks`): both are the same whichever parser is at work.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["HeadParser", "ParsedHead"]


class ParsedHead(NamedTuple):
    """A head as a parser has found it, interim or final.

    Attributes:
        status: The status code.
        reason: The reason phrase, perhaps empty.
        version: Such as `b"1.1"`.
        fields: Name and value pairs, names as the server wrote them. A Content-Length that is
            repeated with the same number may be there once.
        data: The bytes of the head, for checks that need them.
    """

    status: int
    reason: bytes
    version: bytes
    fields: list[tuple[bytes, bytes]]
    data: bytes


class HeadParser(Protocol):
    """Finds the heads of the responses to one request: interim ones, then the final one."""

    @property
    def name(self) -> str:
        """The library at work, such as `"h11"`."""

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was repaired in the heads so far: names of rows of `odd_heads`, each once."""

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive, never none."""

    def next_head(self) -> ParsedHead | None:
        """Return the next head, `None` if more bytes are needed.

        Raises:
            BadResponse: What came is no head that this package accepts, or exceeds the limits.
            ConflictingLength: The head gives more than one Content-Length, or none that is a
                number.
        """

    @property
    def rest(self) -> bytes:
        """The bytes that have arrived behind the head that was returned last."""
