"""A list that another program writes, over two processes; then what the run remembers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

from local_server import local_server

from pooledhttp import bulk


def crawl(base: str, listed: Path) -> None:
    """Stand for a program that finds URLs one by one; removing the list ends the run."""
    with listed.open("a", buffering=1) as file:
        for number in range(20):
            file.write(f"{base}/page/{number}.txt\n")
        file.write(f"{base}/missing.txt\n")
    listed.unlink()


def download(base: str, listed: Path, directory: Path) -> None:
    """Fetch what the crawler finds. A host's limits hold for both processes together."""
    listed.touch()
    source = bulk.FollowedList(listed)
    crawler = Thread(target=crawl, args=(base, listed))
    crawler.start()
    with bulk.Workers(2) as workers:
        results = bulk.download(source, directory, per_host=4, retries=0, executor=workers)
        print(f"{sum(result.ok for result in results)} files")
    crawler.join()


def main() -> None:
    """Download, read the run, and make a page of it."""
    with local_server() as base, tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "out"
        download(base, Path(folder) / "urls.txt", directory)
        with bulk.Run(directory) as run:
            for job in run.jobs(bulk.State.FAILED):
                print(f"{job.name}: {job.kind}, {job.attempts} attempt")
            print(f"{run.size()} bytes from {len(run.hosts())} host")
        page = Path(folder) / "run.html"
        command = [sys.executable, "-m", "pooledhttp", "status", str(directory)]
        subprocess.run([*command, "--html", str(page)], check=True, stdout=subprocess.DEVNULL)
        print(f"a page with {page.read_text().count('<svg')} pictures")


if __name__ == "__main__":  # the processes import this file
    main()
