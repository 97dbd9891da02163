"""A set of numbers of rows, which takes a bit for each row of the journal."""

from __future__ import annotations

__all__ = ["RowSet"]


class RowSet:
    """Numbers of rows. A million of them take 125 kB."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Add a number."""
        byte = number >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1024 - len(self._bits)))
        self._bits[byte] |= 1 << (number & 7)

    def add_range(self, first: int, count: int) -> None:
        """Add numbers that follow each other."""
        if not count:
            return
        start, end = first >> 3, (first + count + 7) >> 3
        if end > len(self._bits):
            self._bits.extend(bytes(end + 1023 - len(self._bits)))
        added = ((1 << count) - 1) << (first & 7)
        bits = int.from_bytes(self._bits[start:end], "little") | added
        self._bits[start:end] = bits.to_bytes(end - start, "little")

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] & (1 << (number & 7)))
