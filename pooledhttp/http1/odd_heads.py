"""The table of odd response heads: real servers send them, and they break RFC 9112.

`head_repair` repairs what the table lists, and only in heads that h11 has refused. Everything else
stays an error. A row is here because its repair leaves no doubt about the other fields of the head,
and none about where the body ends. The following could leave such doubt. They are never repaired,
even if a row matches:

- CR or NUL anywhere in the head. A reader that takes a bare CR for a line end sees other fields.
- A damaged line whose letters spell Content-Length, Transfer-Encoding or Connection. A more
  tolerant reader would use it to find the end of the body.
- A second status line with another status: it may begin another response.
- A head with no field left after the repair. It may not be HTTP at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from pooledhttp.records import record
from pooledhttp.syntax import TOKEN

__all__ = [
    "CLEAN_LINE",
    "CONTROL_IN_REASON",
    "CONTROL_IN_VALUE",
    "EQUAL_LENGTHS",
    "FRAMING",
    "INDENTED_FIRST_LINE",
    "LINES",
    "NO_NAME",
    "SECOND_STATUS_LINE",
    "STATUS_LINE",
    "STATUS_LINE_SPACES",
    "FramingRow",
    "LineRow",
    "Repair",
]

_TOKEN = TOKEN.encode("ascii")

#: A status line, with any number of SP and HTAB in place of one SP (RFC 9112, section 4).
STATUS_LINE = re.compile(
    rb"(?P<version>HTTP/1\.[0-9])[ \t]+(?P<status>[0-9]{3})(?:[ \t]+(?P<reason>.*))?", re.DOTALL
)

#: A line that h11 accepts. In a value h11 refuses only VT, FF, CR and NUL; the last two are checked
#: elsewhere.
CLEAN_LINE = re.compile(_TOKEN + rb":[^\x0b\x0c]*")


class Repair(Enum):
    """What is done with an odd line."""

    #: It becomes `LineRow.becomes`.
    REWRITE = auto()
    #: It is left out, with the lines that continue it.
    DROP = auto()
    #: It is kept as it is, although h11 refuses it.
    KEEP = auto()


@record
class LineRow:
    """One row of the table: a kind of odd line, and what is done with it.

    Attributes:
        name: For the DEBUG line, the event and the docs.
        pattern: Matches the whole line, folds joined.
        repair: What is done with the line.
        example: Such a line.
        becomes: The template of the line that replaces it.
    """

    name: str
    pattern: re.Pattern[bytes]
    repair: Repair
    example: bytes
    becomes: bytes = b""


@record
class FramingRow:
    """One kind of odd framing fields.

    Attributes:
        name: For the DEBUG line, the event and the docs.
        field: The name of the field, lower case.
        matches: Whether the row applies. It gets the values of all fields of that name, trimmed and
            in lower case.
        kept: How many of these fields are kept; the others are dropped.
        example: Such lines.
    """

    name: str
    field: bytes
    matches: Callable[[list[bytes]], bool]
    kept: int
    example: bytes


def _row(
    name: str, pattern: bytes, repair: Repair, example: bytes, becomes: bytes = b""
) -> LineRow:
    return LineRow(name, re.compile(pattern, re.DOTALL), repair, example, becomes)


# ---- the status line

STATUS_LINE_SPACES = LineRow(
    "spaces-in-status-line", STATUS_LINE, Repair.REWRITE, b"HTTP/1.1  200\tOK"
)
CONTROL_IN_REASON = _row(
    "control-in-reason", rb".*[\x0b\x0c].*", Repair.KEEP, b"HTTP/1.1 200 O\x0cK"
)

# ---- the lines behind it: the first row that matches is applied

#: Lines that continue a field have been joined with it. So an indented line can only be left right
#: behind the status line (RFC 9112, section 2.2).
INDENTED_FIRST_LINE = _row("indented-first-line", rb"[ \t].*", Repair.DROP, b' "X-Type": text/html')
#: Only if its status is that of the first status line; `head_repair` checks that.
SECOND_STATUS_LINE = _row("second-status-line", rb"(?i:HTTP/).*", Repair.DROP, b"HTTP/1.1 200 OK")
CONTROL_IN_VALUE = _row("control-in-value", _TOKEN + rb":.*", Repair.KEEP, b"X-A: a\x0cb")
NO_NAME = _row("no-name", rb":.*", Repair.DROP, b": x")

LINES = (
    INDENTED_FIRST_LINE,
    SECOND_STATUS_LINE,
    _row(  # the rewritten line is checked by the next rows
        "space-before-colon",
        rb"(?P<name>" + _TOKEN + rb")[ \t]+:(?P<value>.*)",
        Repair.REWRITE,
        b"X-A : b",
        rb"\g<name>:\g<value>",
    ),
    CONTROL_IN_VALUE,
    _row("no-colon", rb"[^:]*", Repair.DROP, b"some debug text"),
    NO_NAME,
    _row("no-token", rb"[^:]+:.*", Repair.DROP, b"get-ban/forum.php: no"),
)

# ---- the fields about the framing

FRAMING = (
    FramingRow(
        "coding-identity",
        b"transfer-encoding",
        lambda values: values == [b"identity"],
        0,
        b"Transfer-Encoding: identity\r\nContent-Length: 5",
    ),
    FramingRow(
        "coding-twice",
        b"transfer-encoding",
        lambda values: len(values) > 1 and set(values) == {b"chunked"},
        1,
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
)

#: h11 accepts equal lengths and refuses others (RFC 9110, section 8.6), so nothing is dropped. But
#: some readers cannot read a list: http.client, for example, takes it for no length.
EQUAL_LENGTHS = FramingRow(
    "equal-lengths",
    b"content-length",
    lambda values: len(values) > 1 or any(b"," in value for value in values),
    1,
    b"Content-Length: 5\r\nContent-Length: 5",
)
