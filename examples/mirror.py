"""Download into a directory that remembers: run twice, and only what is missing is fetched."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from local_server import local_server

from pooledhttp import bulk


def mirror(urls: Sequence[str], directory: str) -> None:
    """Fetch what is missing, and say what was done."""
    tally = bulk.Tally()
    for result in bulk.download(urls, directory, jobs=8, per_host=4):
        tally.add(result)
        if not result.ok:
            print(f"{result.name}: {result.problem}")
    print(f"{tally.fetched} fetched, {tally.there_before} there already, {tally.failed} failed")


def main() -> None:
    """Mirror a list, then the same list with one URL more."""
    with local_server() as base, tempfile.TemporaryDirectory() as directory:
        urls = [f"{base}/a/{number}.txt" for number in range(20)]
        mirror(urls, directory)
        mirror([f"{base}/b/7.txt", f"{base}/missing.txt", *urls], directory)
        with bulk.Run(directory) as run:
            (again,) = [job for job in run if "/b/7.txt" in job.url]
            print(f"the second 7.txt has a name of its own: {again.name != '7.txt'}")
            print(f"failures: {dict(run.failures())}")


if __name__ == "__main__":
    main()
