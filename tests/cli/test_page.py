"""`pooledhttp status --html`: a page that needs nothing but itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pooledhttp.bulk import JobRecord, State
from pooledhttp.cli.insight import Insight
from pooledhttp.cli.page import Page
from pooledhttp.cli.status import _summary
from tests.cli.test_status import out, status

__all__ = ["out"]

HOSTILE = '<script>alert(1)</script>"\u202e'


class Outline(HTMLParser):
    """Checks that every element is closed, and keeps what is there."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def record(number: int, **changes: object) -> JobRecord:
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    values: dict[str, object] = {
        "url": "http://h/",
        "name": "a",
        "state": State.DONE,
        "host": "h",
        "status": 200,
        "etag": None,
        "last_modified": None,
        "size": 2**number,
        "digest": None,
        "attempts": 1,
        "error": None,
        "started": began,
        "ended": began + timedelta(seconds=number / 8),
        "waited": 0.25,
    }
    return JobRecord(**{**values, **changes})  # type: ignore[arg-type]


class Records:
    """Stands for a run."""

    def __init__(self, directory: Path, records: list[JobRecord]) -> None:
        self.directory = directory
        self.records = records

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.records)


def page_of(directory: Path, records: list[JobRecord]) -> str:
    page = Page()
    summary = _summary(Records(directory, records), page)  # type: ignore[arg-type]
    return page.html(summary)


def test_a_run_is_a_page_with_pictures(out: Path, tmp_path: Path) -> None:
    """Throughput, hosts, sizes, durations and errors; nothing is loaded from elsewhere."""
    assert status(out, "--html", tmp_path / "run.html") == 0
    page = (tmp_path / "run.html").read_text()
    outline = Outline(page)
    for heading in ("Throughput", "Hosts", "Sizes", "Durations", "Errors"):
        assert heading in outline.text
    assert outline.tags.count("svg") >= 5 and "HTTP 404" in outline.text
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)


@pytest.mark.parametrize("records", [[], [record(0, state=State.PENDING, size=None, ended=None)]])
def test_a_run_without_files_is_a_page_too(tmp_path: Path, records: list[JobRecord]) -> None:
    """It says that there is nothing to show."""
    assert "No file has been fetched." in Outline(page_of(tmp_path, records)).text


def test_text_of_servers_and_lists_is_escaped(tmp_path: Path) -> None:
    """Hosts, kinds of error and names of files come from others."""
    failed = record(1, host=HOSTILE, state=State.FAILED, error=f"{HOSTILE}: x", size=None)
    empty = record(2, name=HOSTILE, size=0)
    page = page_of(tmp_path / HOSTILE.replace("/", "_"), [failed, empty])
    assert "<script" not in page and "\u202e" not in page
    assert Outline(page).text.count("script>alert(1)") >= 4


def test_every_file_is_in_a_column(tmp_path: Path) -> None:
    """Sizes and durations from nothing to much, and bytes that add up over time."""
    page = page_of(tmp_path, [record(number) for number in range(40)])
    assert Outline(page).text.count("from ") >= 2 and "1.1 TB" in page


def test_waiting_is_told_from_the_wire(tmp_path: Path) -> None:
    """For each host and in all; never more than the whole time."""
    insight = Insight(tmp_path)
    insight.add(record(8))
    insight.add(record(0))  # took no time at all
    told = insight.summary()
    assert (told["seconds_waited"], told["seconds_on_the_wire"]) == (0.25, 0.75)
    assert told["slowest"][0]["seconds"] == 0.375 and told["slowest"][0]["waited"] == 0.125
