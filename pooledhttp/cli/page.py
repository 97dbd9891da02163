"""`pooledhttp status DIR --html FILE`: a run as one page, which loads no other file."""

from __future__ import annotations

from array import array
from collections import Counter
from datetime import UTC, datetime
from html import escape
from math import log2
from typing import TYPE_CHECKING, Any

from pooledhttp.cli.charts import bars, columns
from pooledhttp.cli.speed import bytes_text, time_text

if TYPE_CHECKING:
    from pooledhttp.bulk import JobRecord

__all__ = ["Page"]

#: Columns of the picture of throughput.
_MOST_COLUMNS = 60

#: Hosts and kinds of failure that are shown.
_MOST_SHOWN = 15

_STYLE = """
:root{color-scheme:light dark;--text:#1d2433;--quiet:#5a6478;--back:#fff;--line:#d8dde6;
--good:#2f6fb3;--bad:#c2402f}
@media(prefers-color-scheme:dark){:root{--text:#e5e9f0;--quiet:#a3adbf;--back:#161a22;
--line:#343c4b;--good:#6aa9e9;--bad:#f0806c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:60rem;background:var(--back);color:var(--text);
font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.counts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.5rem;padding:0}
.counts li{list-style:none;border:1px solid var(--line);border-radius:.4rem;padding:.5rem .75rem}
.counts b{display:block;font-size:1.25rem}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:0 2rem}
figure{margin:0}.most,.axis,.note{color:var(--quiet);font-size:.85rem;margin:0}
.axis{display:flex;justify-content:space-between;border-top:1px solid var(--line)}
svg{display:block;width:100%;fill:var(--good)}svg.columns{height:9rem}.bad{fill:var(--bad)}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th{text-align:left;font-weight:normal;width:34%}td,th{padding:.2rem .5rem .2rem 0;
vertical-align:middle}.bar svg{height:.7rem}td.bar{width:30%}
"""


class Page:
    """Takes in one record after the other, and makes the page of them."""

    def __init__(self) -> None:
        self._ended = array("d")
        self._ended_sizes = array("d")
        self._sizes: Counter[int] = Counter()
        self._seconds: Counter[int] = Counter()

    def add(self, job: JobRecord) -> None:
        """Take a record in."""
        if not job.ok:
            return
        self._sizes[_step(job.size or 0)] += 1
        if job.started is None or job.ended is None:
            return
        self._ended.append(job.ended.timestamp())
        self._ended_sizes.append(job.size or 0)
        seconds = max((job.ended - job.started).total_seconds(), 0.0)
        self._seconds[_step(seconds * 1000)] += 1

    def html(self, summary: dict[str, Any]) -> str:
        """Return the page.

        Args:
            summary: What `status --json` prints.
        """
        from pooledhttp.bulk import one_line

        title = f"Download: {one_line(summary['directory'])}"
        parts = [
            f"<h1>{escape(title)}</h1>",
            _counts(summary),
            "<h2>Throughput, by UTC</h2>",
            self._throughput(),
            "<h2>Hosts</h2>",
            _hosts(summary),
            '<div class="two"><section><h2>Sizes</h2>',
            _histogram(self._sizes, lambda step: bytes_text(2.0**step), "files"),
            "</section><section><h2>Durations</h2>",
            _histogram(self._seconds, lambda step: time_text(2.0**step / 1000), "files"),
            "</section></div>",
            "<h2>Errors</h2>",
            _errors(summary),
            _suspicious(summary),
            f'<p class="note">{escape(summary["next"])}</p>',
        ]
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
            f"<body>{''.join(parts)}</body></html>\n"
        )

    def _throughput(self) -> str:
        if not self._ended:
            return '<p class="note">No file has been fetched.</p>'
        first, last = min(self._ended), max(self._ended)
        width = max((last - first) / _MOST_COLUMNS, 0.05)
        buckets = [0.0] * (int((last - first) / width) + 1)
        for moment, size in zip(self._ended, self._ended_sizes, strict=True):
            buckets[int((moment - first) / width)] += size / width
        middle = (first + last) / 2
        labels = [_moment_text(moment) for moment in (first, middle, last)]
        return columns(buckets, labels, f"{bytes_text(max(buckets))}/s", "bytes a second over time")


def _step(value: float) -> int:
    """Return the power of two below a value; -1 for what is below 1."""
    return int(log2(value)) if value >= 1 else -1


def _counts(summary: dict[str, Any]) -> str:
    states = summary["states"]
    there = states["done"] + states["unchanged"]
    waiting = states["pending"] + states["running"] + states["received"]
    counts = (
        (there, "there"),
        (bytes_text(summary["bytes"]), "in files"),
        (waiting, "not done"),
        (states["failed"], "failed"),
        (len(summary["hosts"]), "hosts"),
        (time_text(summary["seconds_waited"]), "waiting"),
        (time_text(summary["seconds_on_the_wire"]), "on the wire"),
    )
    items = "".join(f"<li><b>{value}</b>{escape(what)}</li>" for value, what in counts)
    return f'<ul class="counts">{items}</ul>'


def _hosts(summary: dict[str, Any]) -> str:
    from pooledhttp.bulk import one_line

    speeds = {each["host"]: each for each in summary["slowest"]}
    rows = []
    for host, states in list(summary["hosts"].items())[:_MOST_SHOWN]:
        total, failed = sum(states.values()), states["failed"]
        text = f"{states['done'] + states['unchanged']} of {total}"
        if failed:
            text += f", {failed} failed"
        if host in speeds:
            text += f", {time_text(speeds[host]['seconds'])} a file"
        rows.append((one_line(host), float(total), float(failed), text))
    rest = len(summary["hosts"]) - len(rows)
    more = f'<p class="note">and {rest} more hosts</p>' if rest > 0 else ""
    return bars(rows, "jobs of each host, and those that failed") + more


def _histogram(counted: Counter[int], name: Any, what: str) -> str:
    if not counted:
        return '<p class="note">Nothing to show.</p>'
    steps = range(min(counted), max(counted) + 1)
    heights = [float(counted[step]) for step in steps]
    first = "0" if steps[0] < 0 else name(steps[0])
    return columns(
        heights,
        [f"from {first}", f"below {name(steps[-1] + 1)}"],
        f"{int(max(heights))} {what}",
        "how many of each size; each column is twice the one before",
    )


def _errors(summary: dict[str, Any]) -> str:
    from pooledhttp.bulk import one_line

    kinds = list(summary["failures"].items())[:_MOST_SHOWN]
    if not kinds:
        return '<p class="note">Nothing failed.</p>'
    rows = [(one_line(kind), float(count), float(count), str(count)) for kind, count in kinds]
    return bars(rows, "failed jobs by kind")


def _suspicious(summary: dict[str, Any]) -> str:
    from pooledhttp.bulk import one_line

    found = summary["suspicious"]
    if not found["count"]:
        return ""
    items = "".join(
        f"<li>{escape(one_line(each['name']))}: {escape(each['reason'])}</li>"
        for each in found["first"]
    )
    return f"<h2>{found['count']} files look wrong</h2><ul>{items}</ul>"


def _moment_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
