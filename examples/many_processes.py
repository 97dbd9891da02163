"""Many URLs over two processes: limits hold for both together, and the names are given here."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from local_server import local_server

from pooledhttp import bulk


def main() -> None:
    """Download, and do the same again: nothing is asked for twice."""
    with local_server() as base, TemporaryDirectory() as folder, bulk.Workers(2) as workers:
        urls = [f"{base}/page/{number}" for number in range(200)]
        for _ in range(2):
            tally = bulk.Tally()
            download = bulk.download(urls, Path(folder), per_host=4, executor=workers)
            for result in download:
                tally.add(result)
            print(
                f"{tally.fetched} fetched, {tally.there_before} there before,"
                f" {tally.failed} failed, {download.repeated} repeated"
            )


if __name__ == "__main__":  # the processes import this file
    main()
