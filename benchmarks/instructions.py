"""Instructions per request, counted by callgrind, and system calls, counted by strace.

Both are the difference of two runs that differ in the number of requests alone, so what a process
does once does not count. On a shared machine they are repeatable where CPU time is not.

    python -m benchmarks instructions [--only NAME ...] [--scenarios] [--watched] [--imports]
        [--json FILE]

By default each client of `benchmarks.clients` gets 1 KiB over plain HTTP and one kept connection.
`--scenarios` counts the scenarios of `benchmarks.scenarios` with pooledhttp instead, `--watched` a
session with logs, metrics and traces; `--imports` counts the import of each library. Needs valgrind
and strace (Debian packages of these names).
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.clients import CLIENTS
from benchmarks.origin import running_origin
from benchmarks.scenarios import ORIGIN_OPTIONS, SCENARIOS
from benchmarks.watched import WATCHED

__all__ = ["count_instructions", "main"]

#: Requests in the two runs.
_FEW, _MANY = 60, 260

_SIZE = 1024

_IMPORTS = ("requests", "pooledhttp", "urllib3", "httpx")


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def count_instructions(arguments: list[str]) -> int:
    """Run this interpreter under callgrind; how many instructions it took."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    done = subprocess.run(
        [*command, *arguments], env=_environment(), capture_output=True, text=True, check=False
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return int(found[1])


def _system_calls(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "strace"
        command = ["strace", "-f", "-c", "-o", str(log), sys.executable, *arguments]
        subprocess.run(command, env=_environment(), capture_output=True, check=True)
        return int(re.findall(r"(\d+)(?:\s+\d+)? total", log.read_text())[-1])


def per_request(kind: str, name: str, url: str) -> dict[str, float]:
    """Count one client or scenario; thousands of instructions, and system calls, per request."""
    few, many = (["-m", "benchmarks.instructions", kind, name, url, str(n)] for n in (_FEW, _MANY))
    requests = _MANY - _FEW
    counts = {
        "instructions": (count_instructions(many) - count_instructions(few)) / requests / 1000
    }
    if shutil.which("strace"):
        counts["system calls"] = (_system_calls(many) - _system_calls(few)) / requests
    return counts


def per_import(name: str) -> dict[str, float]:
    """Count the import of a library, less the start of the interpreter, in thousands.

    Everything that it imports is compiled first: what is counted is an import of every day, not
    the first one after an installation.
    """
    show = f"import {name}, sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    for library in found.stdout.split():
        spec = importlib.util.find_spec(library) if library != "__main__" else None
        for folder in (spec and spec.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)
    return {
        "instructions": (
            count_instructions(["-c", f"import {name}"]) - count_instructions(["-c", ""])
        )
        / 1000
    }


def _is_installed(name: str) -> bool:
    library = {"raw socket": "socket", "bare h11": "h11"}.get(name, name)
    return importlib.util.find_spec(library) is not None


def _show(name: str, counts: dict[str, float]) -> None:
    cells = "".join(f"{value:12,.1f}" for value in counts.values())
    print(f"{name:14}{cells}", flush=True)


def main(argv: list[str]) -> None:
    """Count, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks instructions")
    parser.add_argument("--only", nargs="+", default=[], help="clients or scenarios to count")
    parser.add_argument("--scenarios", action="store_true")
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if not shutil.which("valgrind"):
        parser.error("valgrind is missing: apt-get install valgrind strace")
    table: dict[str, dict[str, float]] = {}
    print(f"{'':14}{'thousand':>12}{'system':>12}\n{'':14}{'instructions':>12}{'calls':>12}")
    if args.imports:
        for name in filter(_is_installed, args.only or _IMPORTS):
            table[name] = per_import(name)
            _show(name, table[name])
    else:
        kind, names = "client", [name for name in CLIENTS if _is_installed(name)]
        if args.scenarios:
            kind, names = "scenario", list(SCENARIOS)
        if args.watched:
            kind, names = "watched", list(WATCHED)
        for name in args.only or names:
            options = ORIGIN_OPTIONS.get(name, ())
            with running_origin(_SIZE, *options) as url:
                table[name] = per_request(kind, name, url)
            _show(name, table[name])
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + "\n")


def _run(kind: str, name: str, url: str, count: str) -> None:
    """Make `count` requests: this is what the two runs do."""
    if kind == "client":
        call = CLIENTS[name](url)
    else:
        table = WATCHED if kind == "watched" else SCENARIOS
        call = table[name](importlib.import_module("pooledhttp"), url)  # type: ignore[assignment]
    for _ in range(int(count)):
        call()


if __name__ == "__main__":
    _run(*sys.argv[1:])
