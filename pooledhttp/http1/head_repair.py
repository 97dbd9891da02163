r"""Repairs a response head that h11 has refused, by the table in `odd_heads`. Pure; nothing waits.

    refused head -> lines, folds joined -> `LINES`, line by line -> `FRAMING`, field by field
                 -> `RepairedHead`, or `None`: then the error of h11 is raised

Without a repair, one odd line would lose the whole response. The parser gives the repaired head to
a new h11, which checks it again. A head that h11 accepts never comes here.

Only SP and HTAB are ever trimmed. `str.strip` would also remove NBSP and VT, and so turn
`Content-Length\xa0` into a field that frames the body, for us alone.
"""

from __future__ import annotations

import re

from pooledhttp.http1.odd_heads import (
    CLEAN_LINE,
    CONTROL_IN_REASON,
    CONTROL_IN_VALUE,
    EQUAL_LENGTHS,
    FRAMING,
    INDENTED_FIRST_LINE,
    LINES,
    NO_NAME,
    SECOND_STATUS_LINE,
    STATUS_LINE,
    STATUS_LINE_SPACES,
    FramingRow,
    LineRow,
    Repair,
)
from pooledhttp.records import record

__all__ = ["RepairedHead", "repair_head", "says_length_twice", "without_framing"]

#: How a head ends, as h11 finds it.
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CR_OR_NUL = re.compile(rb"[\r\0]")
_VT_OR_FF = re.compile(rb"[\x0b\x0c]")
_NO_LETTERS = re.compile(rb"[^a-z]+")
#: The names of the fields that decide where a body ends, without the hyphens.
_FRAMING_LETTERS = re.compile(rb"contentlength|transferencoding|connection")

#: How a field begins that frames a body.
_FRAMING_LINE = re.compile(rb"(?:content-length|transfer-encoding):", re.IGNORECASE)

_Field = tuple[bytes, bytes]


@record
class RepairedHead:
    """A repaired head. h11 accepts it, unless something else is wrong with it.

    Attributes:
        data: Its bytes, the blank line included.
        deviations: The names of what was repaired, in order of appearance, each once.
        values: Original values that contain VT or FF, which `data` has without these bytes. The key
            is the index of the field. Content-Length fields are not counted, because h11 drops
            repeated ones.
        reason: The original reason phrase, if it contains VT or FF; `data` has none then.
    """

    data: bytes
    deviations: tuple[str, ...]
    values: dict[int, bytes]
    reason: bytes | None

    def with_real_values(self, fields: list[_Field]) -> list[_Field]:
        """Put the original values back into the fields that h11 has parsed from `data`."""
        rest = iter(range(len(fields)))
        return [
            field
            if field[0].lower() == b"content-length"
            else (field[0], self.values.get(next(rest), field[1]))
            for field in fields
        ]


def repair_head(head: bytes, max_lines: int) -> RepairedHead | None:
    """Repair a head that h11 has refused.

    Args:
        head: From its first byte to the end of the blank line.
        max_lines: The most lines behind the status line.

    Returns:
        `None` if the table has no row for what is wrong, or does not allow a repair.
    """
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")[:-2]]
    if not lines or len(lines) - 1 > max_lines or any(map(_CR_OR_NUL.search, lines)):
        return None
    repair = _HeadRepair()
    if not repair.take_status_line(lines[0]):
        return None
    if not all(map(repair.take_line, _joined(lines[1:]))):
        return None
    if len(lines) > 1 and not repair.fields:
        return None
    repair.drop_framing_fields()
    return repair.result() if repair.deviations else None


def without_framing(head: bytes) -> bytes | None:
    """Leave out the fields that frame a body: a 2xx response to CONNECT has none.

    Args:
        head: From its first byte to the end of the blank line.

    Returns:
        `None` if the status is not 2xx, if there are no such fields, or if a reader could see the
        beginning of another field in one.
    """
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    found = STATUS_LINE.fullmatch(lines[0])
    if found is None or found["status"][:1] != b"2" or any(map(_CR_OR_NUL.search, lines)):
        return None
    kept: list[bytes] = []
    dropped: list[bytes] = []
    target = kept
    for line in lines:
        if line[:1] not in (b" ", b"\t"):  # else it continues the line before it
            target = dropped if _FRAMING_LINE.match(line) else kept
        target.append(line)
    if not dropped or any(map(_VT_OR_FF.search, dropped)):
        return None
    return b"\r\n".join(kept)


def says_length_twice(data: bytes) -> bool:
    """Tell whether a head gives its Content-Length more than once, in one field or in several.

    Args:
        data: The head. Bytes behind its blank line are ignored.
    """
    # Every response with a length runs this under h11. In the common case it is there once, with
    # one number; then it does not matter that the split has looked behind the blank line as well.
    lengths = data.lower().split(b"\ncontent-length:", 2)
    if len(lengths) < 2 or (len(lengths) == 2 and lengths[1].partition(b"\n")[0].strip().isdigit()):
        return False
    found = _BLANK_LINE.search(data)
    head = data[: None if found is None else found.start() + 1].lower()
    values = [part.partition(b"\n")[0] for part in head.split(b"\ncontent-length:")[1:]]
    return EQUAL_LENGTHS.matches(values)


class _HeadRepair:
    """The repair of one head, line by line."""

    def __init__(self) -> None:
        self.fields: list[_Field] = []
        #: Used as an ordered set.
        self.deviations: dict[str, None] = {}
        self._status_line = self._status = b""
        self._reason: bytes | None = None

    def _note(self, row: LineRow | FramingRow) -> None:
        self.deviations[row.name] = None

    def take_status_line(self, line: bytes) -> bool:
        """Repair the status line; `False` if the line is none."""
        found = STATUS_LINE.fullmatch(line)
        if found is None:
            return False
        version, self._status, reason = found.group("version", "status", "reason")
        self._status_line = b"%s %s" % (version, self._status)
        behind = line.removeprefix(self._status_line)
        if behind == line or behind[:1] == b"\t":
            self._note(STATUS_LINE_SPACES)
        if reason and CONTROL_IN_REASON.pattern.fullmatch(reason):
            self._note(CONTROL_IN_REASON)
            self._reason = reason
        elif reason:
            self._status_line += b" " + reason
        return True

    def take_line(self, line: bytes) -> bool:
        """Take one line, folds joined, and repair it. `False` if the head must not be repaired."""
        for row in LINES:
            if CLEAN_LINE.fullmatch(line):
                break
            found = row.pattern.fullmatch(line)
            if found is None:
                continue
            if not self._is_harmless(line, row):
                return False
            self._note(row)
            if row.repair is Repair.DROP:
                return True
            if row.repair is Repair.KEEP:
                break
            line = found.expand(row.becomes)
        name, _, value = line.partition(b":")
        self.fields.append((name, value.strip(b" \t")))
        return True

    def _is_harmless(self, line: bytes, row: LineRow) -> bool:
        """Tell whether no reader could take the line for a field that decides the framing."""
        if row is SECOND_STATUS_LINE:
            found = STATUS_LINE.fullmatch(line)
            return found is not None and found["status"] == self._status
        # Some readers end a line at VT and FF, as `str.splitlines` does, and so may see a field in
        # the value. Then the whole line is checked, else only the name.
        is_whole = row in (INDENTED_FIRST_LINE, CONTROL_IN_VALUE, NO_NAME)
        suspect = line if is_whole or _VT_OR_FF.search(line) else line.partition(b":")[0]
        return not _FRAMING_LETTERS.search(_NO_LETTERS.sub(b"", suspect.lower()))

    def drop_framing_fields(self) -> None:
        """Drop framing fields that have no effect or repeat an earlier one, by `FRAMING`."""
        for row in FRAMING:
            found = [field for field in self.fields if field[0].lower() == row.field]
            if row.matches([value.lower() for _, value in found]):
                self._note(row)
                dropped = {id(field) for field in found[row.kept :]}
                self.fields = [field for field in self.fields if id(field) not in dropped]

    def result(self) -> RepairedHead:
        """Return the repaired head."""
        others = [value for name, value in self.fields if name.lower() != b"content-length"]
        values = {at: value for at, value in enumerate(others) if _VT_OR_FF.search(value)}
        lines = [b"%s: %s" % (name, _VT_OR_FF.sub(b"", value)) for name, value in self.fields]
        data = b"\r\n".join([self._status_line, *lines, b"", b""])
        return RepairedHead(data, tuple(self.deviations), values, self._reason)


def _joined(lines: list[bytes]) -> list[bytes]:
    """Join each line with those that continue it (RFC 9112, section 5.2), as h11 does."""
    joined: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and joined and joined[-1][:1] not in (b" ", b"\t"):
            joined[-1] += b" " + line.lstrip(b" \t")
        else:
            joined.append(line)
    return joined
