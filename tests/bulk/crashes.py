"""Runs of `pooledhttp fetch` that are killed at random moments and run again, and their judge."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from pooledhttp import bulk
from pooledhttp.bulk import State
from tests.bulk.hostile import KINDS, Site
from tests.support.commands import ROOT

FOREIGN = b"this was here before"


class Crashes:
    """One directory, one list, many runs.

    Args:
        site: What is fetched.
        out: The directory.
        count: URLs in the list.
        seed: Of everything that is random.
        engine: What does the work.
    """

    def __init__(self, site: Site, out: Path, count: int, seed: int, engine: str = "auto") -> None:
        self.engine = engine
        self.site = site
        self.out = out
        self.random = random.Random(seed)
        self.paths = [
            f"/{KINDS[number % len(KINDS)]}/{seed}/{number // 3}.bin" for number in range(count)
        ]
        self.random.shuffle(self.paths)
        self.names: dict[str, str] = {}
        self.fetched: set[str] = set()
        #: What the last run printed.
        self.said = ""
        self._put_foreign_files()

    def _put_foreign_files(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.foreign = {"0.bin", "5.bin", "own notes.txt"}
        for name in self.foreign:
            (self.out / name).write_bytes(FOREIGN)

    def run_until_killed(self) -> int:
        """Run the command, and kill it at a random moment; returns its exit status.

        One run in four is killed so soon that it may not have asked for anything. The others are
        killed soon after a random request, whatever the load of the machine.
        """
        if self.random.random() < 0.25:
            return self.run(kill_after=self.random.uniform(0.2, 1.6))
        requests = self.random.randint(1, max(len(set(self.paths) - self.fetched), 1))
        return self.run(kill_after=self.random.uniform(0, 0.05), requests=requests)

    def run(self, kill_after: float | None = None, *, requests: int = 0) -> int:
        """Run the command; returns its exit status.

        Args:
            kill_after: Kill it after so many seconds; `None` lets it come to its end.
            requests: The seconds count from when the site has had so many of its requests.
        """
        listed = self.out.parent / "urls.txt"
        listed.write_text("".join(f"{self.site.base}{path}\n" for path in self.paths))
        command = [sys.executable, "-m", "pooledhttp", "fetch", "-q", "--engine", self.engine]
        asked_before = len(self.site.requests)
        process = subprocess.Popen(
            [*command, "-i", str(listed), "-d", str(self.out), "--jobs", "16", "--per-host", "16"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            while process.poll() is None and len(self.site.requests) - asked_before < requests:
                time.sleep(0.005)
            said = process.communicate(timeout=kill_after if kill_after is not None else 3000)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            said = process.communicate()[1]
        self.said = said.decode()
        assert "Traceback" not in self.said, self.said
        asked = {path for path, _ in self.site.requests[asked_before:]}
        assert not asked & self.fetched, "asked for what was there"
        self._look()
        return process.returncode

    def edit(self) -> None:
        """Reorder the list, take some URLs out and put some in."""
        self.random.shuffle(self.paths)
        del self.paths[: len(self.paths) // 20]
        new = self.random.randrange(10**6)
        self.paths += [f"/{kind}/new/{new}.bin" for kind in KINDS]
        self.random.shuffle(self.paths)

    def listed(self) -> set[str]:
        """Return the paths that the last run listed as not done, wherever it had room for it."""
        _, is_elsewhere, place = self.said.partition("what is not done is listed in ")
        listing = Path(place.splitlines()[0]) if is_elsewhere else self.out / "failures.txt"
        lines = listing.read_text().splitlines()
        if is_elsewhere:
            shutil.rmtree(listing.parent)
        return {line.partition("\t")[0].removeprefix(self.site.base) for line in lines}

    def check_end(self) -> None:
        """Everything is there, everything is right, and nothing else is there."""
        assert list(self.out.glob(".pooledhttp/parts/*")) == []
        assert not (self.out / ".pooledhttp" / "reserve").exists()
        names = {self.names[path] for path in self.paths}
        assert len(names) == len(set(self.paths))
        for path in set(self.paths):
            assert path in self.fetched
            content = (self.out / self.names[path]).read_bytes()
            assert self.site.is_right(path, content), (path, len(content))
        there = {file.name for file in self.out.iterdir()} - {".pooledhttp"}
        assert there == {self.names[path] for path in self.fetched} | self.foreign
        for name in self.foreign:
            assert (self.out / name).read_bytes() == FOREIGN

    def _look(self) -> None:
        """Note what the journal knows: names never change, and what is there stays."""
        if not (self.out / ".pooledhttp" / "journal.sqlite3").exists():
            return
        try:
            run = bulk.Run(self.out)
        except bulk.JournalError as exc:
            assert "is empty" in str(exc)  # killed while it was made
            return
        with run:
            for job in run:
                path = job.url.removeprefix(self.site.base)
                assert job.name is not None
                assert self.names.setdefault(path, job.name) == job.name, "a name has changed"
                if job.state in (State.RECEIVED, State.DONE):
                    self.fetched.add(path)
