"""`pooledhttp status DIR`: what a directory remembers, and what to do next."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pooledhttp.cli.insight import Insight
from pooledhttp.cli.speed import bytes_text

if TYPE_CHECKING:
    from pooledhttp.bulk import JobRecord, Run, State
    from pooledhttp.cli.page import Page

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]

_OK, _USAGE, _FILES = 0, 2, 3

_EPILOG = """\
examples:
  pooledhttp status out
  pooledhttp status out --json
  pooledhttp status out --manifest files.csv

exit status: 0 printed, 2 used wrongly or no such directory, 3 the journal is
broken"""

#: Hosts and kinds of failure that are printed; `--json` has them all.
_MOST_SHOWN = 10

_FIELDS = (
    *("url", "name", "state", "host", "status", "etag", "last_modified", "size", "digest"),
    *("attempts", "error", "started", "ended", "waited"),
)


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "status",
        help="tell what a download directory remembers",
        description="Tell what a directory remembers: counts, hosts, failures, what to do next.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("directory", metavar="DIR", help="the directory that was given to fetch")
    add("--json", action="store_true", help="print the counts as JSON")
    add("--html", metavar="FILE", help="write a page with pictures of the run")
    add(
        "--manifest",
        metavar="FILE",
        type=_manifest_name,
        help="write what is known of each URL to FILE.jsonl or FILE.csv (- for JSON lines on"
        " standard output)",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Print the status and return the exit status."""
    from pooledhttp import bulk

    try:
        run = bulk.Run(args.directory)
    except FileNotFoundError as error:
        print(f"pooledhttp status: {error}", file=sys.stderr)
        return _USAGE
    except OSError as error:
        print(f"pooledhttp status: {error}", file=sys.stderr)
        return _FILES
    with run:
        try:
            if args.manifest:
                _write_manifest(run, args.manifest)
                if args.manifest == "-":
                    return _OK
            page = _new_page() if args.html else None
            summary = _summary(run, page)
            if page is not None:
                _write(args.html, page.html(summary))
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"pooledhttp status: {error}", file=sys.stderr)
            return _FILES
    print(json.dumps(summary, indent=2) if args.json else _text(summary))
    return _OK


def _manifest_name(text: str) -> str:
    if text != "-" and not text.endswith((".jsonl", ".csv")):
        raise argparse.ArgumentTypeError(
            f"a name ending with .jsonl or .csv is wanted, not {text!r}"
        )
    return text


def _new_page() -> Page:
    from pooledhttp.cli.page import Page  # few runs want it, and it takes 11 ms to load

    return Page()


def _summary(run: Run, page: Page | None = None) -> dict[str, Any]:
    """Count everything in one pass, so that the numbers add up while a run goes on."""
    from pooledhttp.bulk import State

    states: Counter[State] = Counter()
    failures: Counter[str] = Counter()
    hosts: dict[str, Counter[State]] = {}
    size = 0
    insight = Insight(run.directory)
    for job in run:
        insight.add(job)
        if page is not None:
            page.add(job)
        states[job.state] += 1
        hosts.setdefault(job.host, Counter())[job.state] += 1
        if job.ok:
            size += job.size or 0
        if job.state is State.FAILED:
            failures[job.kind or "unknown"] += 1
    busiest = sorted(hosts.items(), key=lambda item: -item[1].total())
    return {
        "directory": str(run.directory),
        "jobs": states.total(),
        "states": {state.name.lower(): states[state] for state in State},
        "bytes": size,
        "failures": dict(failures.most_common()),
        "hosts": {
            host or "(no host)": {state.name.lower(): counted[state] for state in State}
            for host, counted in busiest
        },
        **insight.summary(),
        "next": _next(states),
    }


def _next(states: Counter[State]) -> str:
    """Say what to do."""
    from pooledhttp.bulk import State

    under_way = states[State.RUNNING] + states[State.RECEIVED]
    open_jobs = states[State.PENDING] + under_way
    if not states.total():
        return "Nothing was asked for yet."
    if open_jobs:
        return "Run the same command again: it fetches what is missing."
    if states[State.FAILED]:
        return "Run the same command again to try what failed once more."
    return "All is there. --refresh asks whether files have changed."


def _text(summary: dict[str, Any]) -> str:
    from pooledhttp.bulk import one_line

    states = summary["states"]
    there = states["done"] + states["unchanged"]
    waiting = states["pending"] + states["running"] + states["received"]
    lines = [
        f"{one_line(summary['directory'])}: {summary['jobs']} URLs",
        f"  {there:>8} there, {bytes_text(summary['bytes'])}",
        f"  {waiting:>8} not done",
        f"  {states['failed']:>8} failed",
    ]
    kinds = list(summary["failures"].items())
    lines += [f"  {number:>12} {one_line(kind)}" for kind, number in kinds[:_MOST_SHOWN]]
    if len(kinds) > _MOST_SHOWN:
        rest = sum(number for _, number in kinds[_MOST_SHOWN:])
        lines.append(f"  {rest:>12} by {len(kinds) - _MOST_SHOWN} other kinds")
    number = len(summary["hosts"])
    lines.append(f"{number} host{'s' if number != 1 else ''}")
    for host, counted in list(summary["hosts"].items())[:_MOST_SHOWN]:
        done = counted["done"] + counted["unchanged"]
        total = sum(counted.values())
        lines.append(f"  {done:>8} of {total} {one_line(host)}, {counted['failed']} failed")
    if len(summary["hosts"]) > _MOST_SHOWN:
        lines.append(f"           and {len(summary['hosts']) - _MOST_SHOWN} more")
    waited, on_the_wire = summary["seconds_waited"], summary["seconds_on_the_wire"]
    if waited + on_the_wire:
        lines.append(f"{on_the_wire:.1f} s on the wire, {waited:.1f} s waited for places")
    lines += _standing_out(summary)
    lines.append(summary["next"])
    return "\n".join(lines)


def _standing_out(summary: dict[str, Any]) -> Iterator[str]:
    """Say which hosts are slow or bad, where there are several, and which files look wrong."""
    from pooledhttp.bulk import one_line

    if len(summary["hosts"]) > 1:
        if summary["slowest"]:
            yield "slowest hosts, seconds a file"
        for slow in summary["slowest"]:
            speed = slow["bytes_per_second"]
            rate = "" if speed is None else f", {bytes_text(speed)}/s"
            waited = f", {slow['waited']:.2f} waited" if slow["waited"] >= 0.01 else ""
            yield f"  {slow['seconds']:>8.2f} {one_line(slow['host'])}{rate}{waited}"
        if summary["worst"]:
            yield "worst hosts, failed"
        for bad in summary["worst"]:
            yield f"  {bad['failed']:>8} of {bad['jobs']} {one_line(bad['host'])}"
    suspicious = summary["suspicious"]
    if suspicious["count"]:
        yield f"{suspicious['count']} files look wrong"
        for file in suspicious["first"]:
            yield f"           {one_line(file['name'])}: {file['reason']}"


def _write_manifest(run: Run, name: str) -> None:
    if name == "-":
        for record in _records(run):
            print(json.dumps(record))
        return
    with open(name, "w", encoding="utf-8", newline="", opener=_open_no_link) as file:
        if name.endswith(".csv"):
            writer: csv.DictWriter[str] = csv.DictWriter(file, _FIELDS)
            writer.writeheader()
            writer.writerows(_records(run))
        else:
            file.writelines(json.dumps(record) + "\n" for record in _records(run))


def _write(name: str, text: str) -> None:
    with open(name, "w", encoding="utf-8", opener=_open_no_link) as file:
        file.write(text)


def _open_no_link(name: str, flags: int) -> int:
    """Open a file, but not through a symbolic link in its place."""
    return os.open(name, flags | os.O_NOFOLLOW, 0o666)


def _records(run: Run) -> Iterator[dict[str, Any]]:
    for job in run:
        yield _record(job)


def _record(job: JobRecord) -> dict[str, Any]:
    from pooledhttp.bulk import one_line

    values: dict[str, Any] = {name: getattr(job, name) for name in _FIELDS}
    for name in ("etag", "last_modified"):  # as the server sent them
        if values[name] is not None:
            values[name] = one_line(str(values[name]))
    values["state"] = job.state.name.lower()
    for name in ("started", "ended"):
        moment = getattr(job, name)
        values[name] = None if moment is None else moment.isoformat(timespec="milliseconds")
    return values
