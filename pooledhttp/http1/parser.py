"""The seam between an exchange and the library that reads response heads.

    HeadReader   feeds a `HeadParser`, counts interim heads, decides the framing     head_reader
    HeadParser   finds heads in bytes: by h11                                         h11_parser
                                       by httptools                                   fast_parser

A parser reads heads only. It lives for one exchange, so no byte behind a response can reach the
next one. The framing of the body is decided from the fields (`framing`), and the body is
decoded by this package (`response_body`, `chunks`): both are the same with every parser.

A parser has attributes for one head, the one that it has found last. An object made for each head
would cost more than reading the head.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["HeadParser"]


class HeadParser(Protocol):
    """Finds the heads of the responses to one request: interim ones, then the final one.

    Attributes:
        name: The library that has read the head, such as `"h11"`.
        repairs: What was repaired in the heads so far: names of rows of `odd_heads`, each once.
        status: The status code of the head, interim or final.
        reason: Its reason phrase, perhaps empty.
        version: Such as `b"1.1"`.
        fields: Name and value pairs, names as the server wrote them. A Content-Length that is
            repeated with the same number may be there once.
        by_name: The fields by lower-case name. Of repeated ones it has the last.
        asks_tunnel: Set by the owner if the method is CONNECT. In a 2xx head a parser then leaves
            out framing fields that it would refuse.
    """

    name: str
    repairs: tuple[str, ...]
    status: int
    reason: bytes
    version: bytes
    fields: list[tuple[bytes, bytes]]
    by_name: dict[bytes, bytes]
    asks_tunnel: bool

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive, never none."""

    def next_head(self) -> bool:
        """Go to the next head; `False` if more bytes are needed.

        Raises:
            BadResponse: What came is no head that this package accepts, or exceeds the limits.
            ConflictingLength: The head gives more than one Content-Length, or none that is a
                number.
        """

    @property
    def rest(self) -> bytes:
        """The bytes that have arrived behind the head; known once `next_head` has found one."""

    @property
    def repeats_length(self) -> bool:
        """Whether a repeated Content-Length is there only once in `fields`."""
