"""Follow a list that another program writes, and read what the run remembers."""

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
    for number in range(20):
        with listed.open("a") as file:
            file.write(f"{base}/page/{number}.txt\n")
    with listed.open("a") as file:
        file.write(f"{base}/missing.txt\n")
    listed.unlink()


def main() -> None:
    """Download what the crawler finds, then read the run."""
    with local_server() as base, tempfile.TemporaryDirectory() as folder:
        directory, listed = Path(folder) / "out", Path(folder) / "urls.txt"
        listed.touch()
        crawler = Thread(target=crawl, args=(base, listed))
        source = bulk.FollowedList(listed)
        crawler.start()
        fetched = sum(result.ok for result in bulk.download(source, directory, retries=0))
        crawler.join()
        print(f"{fetched} files")

        with bulk.Run(directory) as run:
            for job in run.jobs(bulk.State.FAILED):
                print(f"{job.name}: {job.kind}, {job.attempts} attempt")
            print(f"{run.size()} bytes from {len(run.hosts())} host")

        page = Path(folder) / "run.html"
        command = [sys.executable, "-m", "pooledhttp", "status", str(directory)]
        subprocess.run([*command, "--html", str(page)], check=True, stdout=subprocess.DEVNULL)
        print(f"a page with {page.read_text().count('<svg')} pictures")


if __name__ == "__main__":
    main()
