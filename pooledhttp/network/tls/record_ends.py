"""Finds where the records of TLS end, in ciphertext (RFC 8446, section 5.1).

    content type (1 byte), version (2), length (2), then as many bytes

OpenSSL takes in a part of a record, and tells nothing of it: to a reader it looks as if nothing had
come. On an idle connection that matters. A whole record is a message of TLS, or data. A part of one
may become data, and then it would be read as the response to the next request.
"""

from __future__ import annotations

__all__ = ["RecordEnds"]

_HEADER_BYTES = 5


class RecordEnds:
    """Follows ciphertext from the beginning of a record on, in pieces of any size."""

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        #: The beginning of a header.
        self._header = b""
        #: Bytes that the present record lacks.
        self._missing = 0

    @property
    def is_at_end(self) -> bool:
        """Whether the last byte was the last one of a record."""
        return not (self._missing or self._header)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._header:
            data, self._header = self._header + data, b""
        at, size = self._missing, len(data)
        while at + _HEADER_BYTES <= size:
            at += _HEADER_BYTES + int.from_bytes(data[at + 3 : at + 5])
        if at < size:
            self._header = data[at:]
        self._missing = max(0, at - size)
