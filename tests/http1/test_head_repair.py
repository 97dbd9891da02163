"""The table of odd heads: each row matches its example, and has a row in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pooledhttp.http1.head_repair import repair_head, says_length_twice
from pooledhttp.http1.odd_heads import (
    CONTROL_IN_REASON,
    EQUAL_LENGTHS,
    FRAMING,
    LINES,
    STATUS_LINE_SPACES,
    FramingRow,
    LineRow,
)

ROWS = (STATUS_LINE_SPACES, CONTROL_IN_REASON, *LINES, *FRAMING, EQUAL_LENGTHS)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "odd-heads.md"

START, FIELD = b"HTTP/1.1 200 OK\r\n", b"X-After: 1\r\n\r\n"


def test_the_docs_have_a_row_for_each_row() -> None:
    """In the order of the table, and no other."""
    table = PAGE.read_text("utf-8").partition("## Settings")[0]
    assert re.findall(r"(?m)^\| `([a-z-]+)` \|", table) == [row.name for row in ROWS]


@pytest.mark.parametrize("row", [*LINES, *FRAMING], ids=lambda row: row.name)
def test_the_example_is_repaired_by_its_row(row: LineRow | FramingRow) -> None:
    """By this row alone."""
    repaired = repair_head(START + row.example + b"\r\n" + FIELD, 9)
    assert repaired is not None
    assert repaired.deviations == (row.name,)


@pytest.mark.parametrize("row", [STATUS_LINE_SPACES, CONTROL_IN_REASON], ids=lambda row: row.name)
def test_the_example_of_a_status_line(row: LineRow) -> None:
    """It takes the place of the first line."""
    repaired = repair_head(row.example + b"\r\n" + FIELD, 9)
    assert repaired is not None
    assert row.name in repaired.deviations


def test_a_clean_head_has_nothing_to_repair() -> None:
    """Then the error of the parser stands."""
    assert repair_head(START + FIELD, 9) is None


def test_many_lines_are_not_repaired() -> None:
    """The work on one head is bounded by the limit of fields."""
    assert repair_head(START + b"no colon\r\n" * 8 + FIELD, 9) is not None
    assert repair_head(START + b"no colon\r\n" * 9 + FIELD, 9) is None


@pytest.mark.parametrize(
    ("head", "twice"),
    [
        (b"Content-Length: 5\r\n\r\n", False),
        (b"X: 1, 2\r\nContent-Length: 5\r\nY: 1, 2\r\n\r\n", False),
        (b"Content-Length: 5\r\n\r\n\r\nContent-Length: 6\r\n", False),
        (b"Content-Length: 5\n\n\nContent-Length: 6\n\r\n", False),
        (b"X-Content-Length: 5\r\n\r\n", False),
        (b"X: y\r\n\r\n", False),
        (b"Content-Length: 5\r\ncontent-LENGTH: 5\r\n\r\n", True),
        (b"Content-Length: 5,5\r\n\r\n", True),
        (b"X: y\nContent-Length: 5\nContent-Length:5\n\nbody", True),
    ],
)
def test_a_length_that_is_said_twice(head: bytes, twice: bool) -> None:
    """In one field or in several; what stands in the body does not count."""
    assert says_length_twice(START + head) is twice
