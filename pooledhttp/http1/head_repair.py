r"""Repairs a response head that h11 has refused, by the table in `odd_heads`. Pure; nothing waits.

    refused head -> lines, folds joined -> `LINES`, line by line -> `FRAMING`, field by field
                 -> `RepairedHead`, or `None`: the error of h11 stands

One odd line would cost the whole response. So the parser gives what comes back to a fresh h11,
which checks it again. A clean head never comes here.

Only SP and HTAB are ever trimmed. `str.strip` would also take NBSP and VT away, and so turn
`Content-Length\xa0` into a field that frames the body, for us alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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

__all__ = ["RepairedHead", "repair_head", "says_length_twice"]

#: How a head ends, as h11 finds it.
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CR_OR_NUL = re.compile(rb"[\r\0]")
_VT_OR_FF = re.compile(rb"[\x0b\x0c]")
_NO_LETTERS = re.compile(rb"[^a-z]+")
#: The names of the fields that say where a body ends, by their letters alone.
_FRAMING_LETTERS = re.compile(rb"contentlength|transferencoding|connection")

_Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RepairedHead:
    """A head in the form that h11 accepts, unless something else is wrong with it.

    Attributes:
        data: Its bytes, the blank line included.
        deviations: The names of what was repaired, in order of appearance, each once.
        values: The values of fields that `data` shows without VT and FF, by the index of the field
            among those that are no Content-Length: h11 leaves repeats of that one out.
        reason: The reason phrase, if `data` has none for the same cause.
    """

    data: bytes
    deviations: tuple[str, ...]
    values: dict[int, bytes]
    reason: bytes | None

    def with_real_values(self, fields: list[_Field]) -> list[_Field]:
        """Put the values that `data` does not show back into the fields that h11 made of it."""
        rest = iter(range(len(fields)))
        return [
            field
            if field[0].lower() == b"content-length"
            else (field[0], self.values.get(next(rest), field[1]))
            for field in fields
        ]


def repair_head(head: bytes, max_lines: int) -> RepairedHead | None:
    """Bring a head that h11 has refused into form.

    Args:
        head: From its first byte to the end of the blank line.
        max_lines: The most lines behind the status line.

    Returns:
        `None` where the table does not allow it, or names nothing that the head has.
    """
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")[:-2]]
    if not lines or len(lines) - 1 > max_lines or any(map(_CR_OR_NUL.search, lines)):
        return None
    work = _Work()
    if not work.take_status_line(lines[0]):
        return None
    if not all(map(work.take_line, _joined(lines[1:]))):
        return None
    if len(lines) > 1 and not work.fields:
        return None
    work.settle_framing()
    return work.result() if work.deviations else None


def says_length_twice(data: bytes) -> bool:
    """Tell whether a head gives its Content-Length more than once, in one field or in several.

    Args:
        data: The head; what comes behind its blank line is not looked at.
    """
    # Every response with a length comes here. So no regular expression, but four calls.
    end = data.find(b"\n\r\n")
    head = data[:end].lower() if end > 0 else data.lower()
    lengths = head.split(b"\ncontent-length:", 2)
    if len(lengths) == 2 and b"," not in lengths[1].partition(b"\n")[0]:
        return False
    # Where lines end in bare LF, the body may have been looked at as well.
    found = _BLANK_LINE.search(data)
    head = data[: None if found is None else found.start() + 1].lower()
    values = [part.partition(b"\n")[0] for part in head.split(b"\ncontent-length:")[1:]]
    return EQUAL_LENGTHS.matches(values)


class _Work:
    """The repair of one head."""

    def __init__(self) -> None:
        self.fields: list[_Field] = []
        #: Used as an ordered set.
        self.deviations: dict[str, None] = {}
        self._status_line = self._status = b""
        self._reason: bytes | None = None

    def _note(self, row: LineRow | FramingRow) -> None:
        self.deviations[row.name] = None

    def take_status_line(self, line: bytes) -> bool:
        """Bring the status line into form; `False` if it is none."""
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
        """Take one line, folds joined; `False` if nothing of this head may be repaired."""
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
        """Tell whether no reader could take the line for a word about the framing."""
        if row is SECOND_STATUS_LINE:
            found = STATUS_LINE.fullmatch(line)
            return found is not None and found["status"] == self._status
        # Some readers end a line at VT and FF, as `str.splitlines` does: they see a field in it.
        is_whole = row in (INDENTED_FIRST_LINE, CONTROL_IN_VALUE, NO_NAME)
        suspect = line if is_whole or _VT_OR_FF.search(line) else line.partition(b":")[0]
        return not _FRAMING_LETTERS.search(_NO_LETTERS.sub(b"", suspect.lower()))

    def settle_framing(self) -> None:
        """Leave out fields about the framing that say nothing, or the same once more."""
        for row in FRAMING:
            found = [field for field in self.fields if field[0].lower() == row.field]
            if row.matches([value.lower() for _, value in found]):
                self._note(row)
                dropped = {id(field) for field in found[row.kept :]}
                self.fields = [field for field in self.fields if id(field) not in dropped]

    def result(self) -> RepairedHead:
        """Return the head that has been put together."""
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
