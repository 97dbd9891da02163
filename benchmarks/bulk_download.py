"""Many files over TLS: `bulk` beside requests with threads, curl, aria2 and wget, over nginx.

    python -m benchmarks bulk-download [small|large|memory ...] [--rounds N] [--only NAME ...]

    small    5,000 files of 1 to 20 KiB to disk
    large    50 files of 20 MiB to disk
    memory   20,000 responses of 1 KiB into memory, beside aiohttp

The bare loop does nothing but the transfers, with a journal and our imports or without them; see
`bare_download`. Each client is a process of its own, with 32 requests at once. The clients take
turns, and the figures are medians of the rounds: seconds of CPU of the process, its start included,
and seconds from its start to its end. httptools is used where it is installed, as by aiohttp's own
parser. Our modules are compiled first, as an installer does: a source tree that may not write what
it has compiled would compile them in each run. Small files are removed at the end only: after many
were removed, ext4 searches long for a free inode, which would be counted for the next client.
"""

from __future__ import annotations

import argparse
import compileall
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.nginx import Place, running_nginx

__all__ = ["compile_modules", "main"]

_JOBS = 32
_URLS_IN_MEMORY = 20_000

Command = Callable[[Place, list[str], str], list[str]]


# ------------------------------------------------------------------ clients, each in its process


def _own(engine: str) -> Command:
    def command(place: Place, paths: list[str], out: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.bulk_download", f"run-{engine}", place.bundle,
                f"{out}/urls", out]  # fmt: skip

    return command


def _bare(*options: str) -> Command:
    def command(place: Place, paths: list[str], out: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.bare_download", place.bundle, f"{out}/urls", out,
                *options]  # fmt: skip

    return command


def _curl(place: Place, paths: list[str], out: str) -> list[str]:
    config = "".join(f'url="{place.url("tls13", path)}"\noutput="{out}/{path[1:]}"\n'
                     for path in paths)  # fmt: skip
    Path(f"{out}/config").write_text(config)
    return ["curl", "-sS", "--parallel", "--parallel-max", str(_JOBS), "--http1.1", "--cacert",
            place.bundle, "-K", f"{out}/config"]  # fmt: skip


def _aria2(place: Place, paths: list[str], out: str) -> list[str]:
    return ["aria2c", "-q", "-i", f"{out}/urls", "-d", out, "-j", str(_JOBS), "--no-conf",
            f"--ca-certificate={place.bundle}", "--file-allocation=none", "--disable-ipv6",
            "--auto-file-renaming=false", "--max-connection-per-server=1"]  # fmt: skip


def _wget(place: Place, paths: list[str], out: str) -> list[str]:
    return ["wget", "-q", "-i", f"{out}/urls", "-P", out, f"--ca-certificate={place.bundle}"]


_TO_DISK: dict[str, Command] = {
    "pooledhttp loop": _own("loop"),
    "pooledhttp threads": _own("threads"),
    "requests": _own("requests"),
    "curl": _curl,
    "aria2": _aria2,
    "wget": _wget,
    "bare loop": _bare(),
    "bare, journal": _bare("journal"),
    "bare, both": _bare("journal", "imports"),
}
_IN_MEMORY: dict[str, Command] = {
    "pooledhttp loop": _own("memory-loop"),
    "pooledhttp threads": _own("memory-threads"),
    "requests": _own("memory-requests"),
    "aiohttp": _own("memory-aiohttp"),
}


def _run_download(engine: str, bundle: str, urls: list[str], out: str) -> None:
    import pooledhttp
    from pooledhttp import bulk

    with pooledhttp.Session() as session:
        session.verify, session.trust_env = bundle, False
        with bulk.download(
            urls, out, session, jobs=_JOBS, per_host=_JOBS, engine=engine  # type: ignore[arg-type]
        ) as results:  # fmt: skip
            for result in results:
                assert result.ok, result.problem


def _run_fetch(engine: str, bundle: str, urls: list[str]) -> None:
    import pooledhttp
    from pooledhttp import bulk

    with pooledhttp.Session() as session:
        session.verify, session.trust_env = bundle, False
        with bulk.fetch(
            urls, session, jobs=_JOBS, per_host=_JOBS, engine=engine  # type: ignore[arg-type]
        ) as results:  # fmt: skip
            for result in results:
                assert result.size == 1024, result.problem


def _run_requests(bundle: str, urls: list[str], out: str | None) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import requests

    session = requests.Session()
    session.verify, session.trust_env = bundle, False
    session.mount("https://", requests.adapters.HTTPAdapter(1, _JOBS))

    def save(url: str) -> None:
        with session.get(url, stream=True) as response:
            response.raise_for_status()
            with open(f"{out}/{url.rpartition('/')[2]}", "wb") as file:
                for piece in response.iter_content(65536):
                    file.write(piece)

    def load(url: str) -> None:
        assert len(session.get(url).content) == 1024

    with ThreadPoolExecutor(_JOBS) as workers:
        for _ in workers.map(load if out is None else save, urls):
            pass


def _run_aiohttp(bundle: str, urls: list[str]) -> None:
    import asyncio
    import ssl

    import aiohttp

    async def main() -> None:
        context = ssl.create_default_context(cafile=bundle)
        left = iter(urls)
        connector = aiohttp.TCPConnector(limit=_JOBS, ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def work() -> None:
                for url in left:
                    async with session.get(url) as response:
                        assert len(await response.read()) == 1024

            await asyncio.gather(*(work() for _ in range(_JOBS)))

    asyncio.run(main())


def _run(kind: str, bundle: str, listed: str, out: str) -> None:
    """Do the work of one client, in its process."""
    urls = Path(listed).read_text().split()
    if kind.startswith("memory-"):
        if kind == "memory-aiohttp":
            _run_aiohttp(bundle, urls)
        elif kind == "memory-requests":
            _run_requests(bundle, urls, None)
        else:
            _run_fetch(kind.removeprefix("memory-"), bundle, urls)
    elif kind == "requests":
        _run_requests(bundle, urls, out)
    else:
        _run_download(kind, bundle, urls, out)


# ------------------------------------------------------------------ measuring


def _make_files(place: Place, kind: str) -> list[str]:
    """Make what is fetched; returns the paths of the URLs."""
    if kind == "memory":
        return ["/small"] * _URLS_IN_MEMORY
    www, chance = Path(place.folder) / "www", random.Random(1)
    sizes = [20 << 20] * 50 if kind == "large" else [
        chance.randrange(1024, 20 * 1024) for _ in range(5000)]  # fmt: skip
    for number, size in enumerate(sizes):
        (www / f"{kind}{number}").write_bytes(chance.randbytes(size))
    return [f"/{kind}{number}" for number in range(len(sizes))]


def compile_modules() -> None:
    """Compile our modules, for the processes that are measured."""
    root = Path(__file__).resolve().parent.parent
    for folder in ("pooledhttp", "benchmarks"):
        compileall.compile_dir(root / folder, quiet=2)


def _measure(
    command: Command, place: Place, paths: list[str], kind: str, folder: str
) -> tuple[float, float]:
    """Run a client once; returns its CPU and its time, in seconds."""
    out = tempfile.mkdtemp(dir=folder)
    Path(f"{out}/urls").write_text("".join(place.url("tls13", path) + "\n" for path in paths))
    arguments = command(place, paths, out)
    began = time.monotonic()
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{arguments[0]} failed with {process.returncode}")
    if kind != "memory":
        there = sum(os.path.exists(f"{out}{path}") for path in paths)
        assert there == len(paths), f"{there} of {len(paths)} files"
    if kind == "large":
        shutil.rmtree(out)
    return usage.ru_utime + usage.ru_stime, seconds


def main() -> None:
    """Run the scenarios and print a table for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=["small", "large", "memory"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="clients")
    args = parser.parse_args()
    compile_modules()
    with running_nginx() as place:
        for kind in args.kinds:
            paths = _make_files(place, kind)
            clients = {name: command
                       for name, command in (_IN_MEMORY if kind == "memory" else _TO_DISK).items()
                       if (not args.only or name in args.only)
                       and (name not in ("curl", "aria2", "wget")
                            or shutil.which("aria2c" if name == "aria2" else name))}  # fmt: skip
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
            with tempfile.TemporaryDirectory(prefix="pooledhttp-bulk-") as folder:
                for _ in range(args.rounds):
                    for name, command in clients.items():
                        found[name].append(_measure(command, place, paths, kind, folder))
            _show(kind, len(paths), found)


def _show(kind: str, count: int, found: dict[str, list[tuple[float, float]]]) -> None:
    medians = {name: tuple(map(statistics.median, zip(*some, strict=True)))
               for name, some in found.items()}  # fmt: skip
    print(f"\n{kind}: {count} URLs, {_JOBS} at once")
    print(
        f"{'':20} {'CPU s':>8} {'time s':>8} {'URLs/s':>8}   CPU beside requests, time beside curl"
    )
    for name, (cpu, seconds) in medians.items():
        beside = [f"{cpu / medians['requests'][0]:.2f}" if "requests" in medians else "",
                  f"{seconds / medians['curl'][1]:.2f}" if "curl" in medians else ""]  # fmt: skip
        print(f"{name:20} {cpu:8.2f} {seconds:8.2f} {count / seconds:8.0f}   {'  '.join(beside)}")


if __name__ == "__main__":
    _run(sys.argv[1].removeprefix("run-"), *sys.argv[2:])
