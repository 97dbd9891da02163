"""Progress on a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from pooledhttp.bulk import HostCounts, Tally
from pooledhttp.cli import progress
from pooledhttp.cli.speed import Speed, bytes_text, time_text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def tally(ok: int) -> Tally:
    tally = Tally()
    tally.ok = ok
    tally.size = 1_500_000
    return tally


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Show two updates on a stream in the place of standard error; returns what was written."""

    def show(stream: io.StringIO, total: int | None = 10, *, quiet: bool = False) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        meter = progress.open_meter(total, quiet=quiet)
        meter.update(tally(3))
        meter.update(tally(4))
        meter.close()
        return stream.getvalue()

    return show


def test_nothing_is_drawn_when_nobody_looks(show: Callable[..., str]) -> None:
    """A file or a pipe gets no control characters."""
    assert show(io.StringIO()) == ""


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    """Whole lines, with the bytes of unfinished bodies."""
    stream, clock = io.StringIO(), [0.0]
    meter = progress.LogMeter(10, stream, lambda: clock[0])
    counts = tally(3)
    for seconds in (1, 9, 10, 11, 19, 20, 35):
        clock[0] = float(seconds)
        counts.received = seconds * 1_000_000
        meter.update(counts)
    meter.close()
    assert stream.getvalue() == "".join(
        f"3 of 10 done, 0 failed, {size}, 0.0 files/s, {speed}/s\n"
        for size, speed in (("10.0 MB", "944.4 kB"), ("20.0 MB", "1.0 MB"), ("35.0 MB", "1.0 MB"))
    )


def test_the_speed_is_that_of_the_last_ten_seconds() -> None:
    """Files and bytes a second, hosts, and the time that is left at this speed."""
    clock = [0.0]
    speed = Speed(1000, lambda: clock[0])
    counts = tally(0)
    for tenths in range(400):
        clock[0] = tenths / 10
        counts.ok = tenths // 10 if tenths < 200 else 20 + (tenths - 200) * 2
        counts.received = 1_500_000 + 100_000 * tenths
        speed.note(counts)
        if tenths == 10:
            assert speed.text(counts, None) == ""  # too early
    hosts = HostCounts(1, 2, 0)
    assert speed.text(counts, lambda: hosts) == (
        "20.0 files/s, 1.0 MB/s, 1 host at work, 2 resting, 29.1 s left"
    )
    assert speed.text(counts, lambda: HostCounts(3, 0, 1)).count("3 hosts at work, 1 paused") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (3.44, "3.4 s"), (300, "5 min"), (7500, "2 h 05 min")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    """Two units at most."""
    assert time_text(seconds) == text


def test_nothing_is_drawn_when_told_to_be_quiet(show: Callable[..., str]) -> None:
    """Not even on a terminal."""
    assert show(Terminal(), quiet=True) == ""


def test_without_libraries_one_line_is_rewritten(
    show: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not more often than eyes can follow, and cleared in the end."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert show(Terminal()) == "\r3 of 10 done, 0 failed, 1.5 MB\x1b[K\r\x1b[K"
    assert show(Terminal(), None) == "\r3 done, 0 failed, 1.5 MB\x1b[K\r\x1b[K"


def test_a_bar_is_drawn_by_rich(show: Callable[..., str]) -> None:
    """Where it is installed, with and without a total."""
    pytest.importorskip("rich")
    assert "1.5 MB" in show(Terminal())
    assert "1.5 MB" in show(Terminal(), None)


def test_a_bar_is_drawn_by_tqdm(show: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is installed and rich is not."""
    pytest.importorskip("tqdm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert show(Terminal()) != ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (2e12, "2.0 TB"),
    ],
)
def test_bytes_are_written_for_people(size: float, text: str) -> None:
    """Three digits and a unit."""
    assert bytes_text(size) == text
