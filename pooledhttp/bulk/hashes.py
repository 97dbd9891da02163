"""64-bit hashes of texts, with which a journal finds rows, and tables of them in memory.

In the first run of a directory nearly every question to the journal has the response "no". Each
costs 9 us there, and every insertion into an index over hashes 5 us, because the pages of the index
are hit at random. So a new journal has these indexes in memory, as two `HashTable`s. The database
gets them at its end, sorted, which costs a quarter.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache

__all__ = ["Filter", "HashTable", "add_free", "fresh_hash64", "hash64"]


_first_number = struct.Struct(">q").unpack_from


def fresh_hash64(text: str) -> int:
    """Return 64 bits of a text's digest, as the signed integer that SQLite stores; never 0."""
    digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    number: int = _first_number(digest)[0]
    return number or 1


#: The same, remembered: a text is looked up, and then added.
hash64 = lru_cache(maxsize=64)(fresh_hash64)


class HashTable:
    """Numbers of rows by the hash of a text: open addressing, 20 to 40 bytes for each row."""

    __slots__ = ("_free", "_hashes", "_mask", "_rows")

    def __init__(self, size: int = 1 << 16) -> None:
        self._mask = size - 1
        #: Places until five eighths are taken.
        self._free = size * 5 // 8
        self._hashes = array("q", bytes(8 * size))
        self._rows = array("I", bytes(4 * size))

    def __len__(self) -> int:
        return (self._mask + 1) * 5 // 8 - self._free

    def add(self, number: int, row: int) -> None:
        """Add the row of a hash. Several rows may have the same hash."""
        hashes, mask = self._hashes, self._mask
        at = number & mask
        while hashes[at]:
            at = (at + 1) & mask
        hashes[at] = number
        self._rows[at] = row
        self._free -= 1
        if not self._free:
            self._grow()

    def rows(self, number: int) -> Sequence[int]:
        """Return the rows that have this hash."""
        hashes, mask = self._hashes, self._mask
        at = number & mask
        if not hashes[at]:
            return ()  # as nearly always
        found = []
        while hashes[at]:
            if hashes[at] == number:
                found.append(self._rows[at])
            at = (at + 1) & mask
        return found

    def to_filter(self) -> Filter:
        """Return a filter that knows these hashes."""
        known = Filter()
        for number in self._hashes:
            if number:
                known.add(number, 0)
        return known

    def reserve(self, count: int) -> None:
        """Make room for so many rows more."""
        while self._free <= count:
            self._grow()

    def _grow(self) -> None:
        bigger = HashTable(2 * len(self._hashes))
        hashes, rows, mask = bigger._hashes, bigger._rows, bigger._mask
        for number, row in zip(self._hashes, self._rows, strict=True):
            if number:  # as `add` does: a call for each would double the cost
                at = number & mask
                while hashes[at]:
                    at = (at + 1) & mask
                hashes[at] = number
                rows[at] = row
        self._free = bigger._free - len(self)
        self._hashes, self._rows, self._mask = hashes, rows, mask


def add_free(
    identities: HashTable,
    names: HashTable,
    identity_hashes: Sequence[int],
    name_hashes: Sequence[int],
    start: int,
    row: int,
    rename: Callable[[int], int],
) -> int:
    """Add rows to two tables, up to the first one of which a table has a hash already.

    A row whose name alone is there may get another name. A call of `rows` and of `add` for each
    hash would cost three times as much.

    Args:
        identities: The rows by the hash of their identity.
        names: The rows by the hash of their name.
        identity_hashes: Of each row; the first 0 ends them as well.
        name_hashes: Of each row.
        start: The first of these to add.
        row: Its row. The others have the rows behind that.
        rename: Gives one of the rows another name, and returns the hash of that; 0 if there is
            none. It changes `name_hashes` as well.

    Returns:
        How many were added.
    """
    left = len(identity_hashes) - start
    identities.reserve(left)
    names.reserve(left)
    first, first_mask, first_rows = identities._hashes, identities._mask, identities._rows
    second, second_mask, second_rows = names._hashes, names._mask, names._rows
    at_row, renamed = row, -1
    try:
        for place in range(start, start + left):
            number, other = identity_hashes[place], name_hashes[place]
            if not number:
                break
            at = number & first_mask
            while found := first[at]:
                if found == number:
                    return at_row - row
                at = (at + 1) & first_mask
            other_at = other & second_mask
            while found := second[other_at]:
                if found == other:
                    if renamed == place or not (other := rename(place)):
                        return at_row - row
                    renamed, other_at = place, other & second_mask
                else:
                    other_at = (other_at + 1) & second_mask
            first_rows[at] = second_rows[other_at] = at_row
            first[at], second[other_at] = number, other
            at_row += 1
    finally:
        identities._free -= at_row - row
        names._free -= at_row - row
    return at_row - row


class Filter:
    """Says of nearly every number that was not added that it was not (a Bloom filter of 8 MiB).

    One bit for each number is enough: with a million numbers, 1.5 % of the questions go on to the
    journal.
    """

    __slots__ = ("_bits",)

    _MASK = (1 << 26) - 1

    def __init__(self) -> None:
        self._bits = bytearray((self._MASK + 1) >> 3)

    def add(self, number: int, row: int) -> None:
        """Add a hash. Which row has it is not kept."""
        place = number & self._MASK
        self._bits[place >> 3] |= 1 << (place & 7)

    def rows(self, number: int) -> list[int] | None:
        """Return `[]` when no row has this hash, None when one may have it."""
        place = number & self._MASK
        return None if self._bits[place >> 3] >> (place & 7) & 1 else []
