"""Many URLs: bodies into memory, then files into a directory that remembers what is there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

from local_server import local_server

from pooledhttp import bulk


def urls(base: str) -> Iterator[str]:
    """Made while they are fetched: the input is read lazily."""
    for number in range(200):
        yield f"{base}/{'missing' if number % 50 == 7 else 'page'}/{number}"
    yield "http://no host/"


def fetch(base: str) -> None:
    """Fetch all over four connections; a URL that fails is a result, too."""
    fetched, refused, failed = 0, 0, 0
    for result in bulk.fetch(urls(base), jobs=16, per_host=4, timeout=30):
        if result.error is not None:
            failed += 1
            print(f"number {result.index} failed: {type(result.error).__name__}")
        elif result.response is not None and result.response.ok:
            fetched += 1
        else:
            refused += 1
    print(f"{fetched} fetched, {refused} refused, {failed} failed")


def mirror(urls: Sequence[str], directory: str) -> None:
    """Download what is missing, and say what was done."""
    tally = bulk.Tally()
    for result in bulk.download(urls, directory, jobs=8, per_host=4):
        tally.add(result)
        if not result.ok:
            print(f"{result.name}: {result.problem}")
    print(f"{tally.fetched} fetched, {tally.there_before} there already, {tally.failed} failed")


def main() -> None:
    """Fetch a list, mirror another, then mirror it again with two URLs more."""
    with local_server() as base, tempfile.TemporaryDirectory() as directory:
        fetch(base)
        listed = [f"{base}/a/{number}.txt" for number in range(20)]
        mirror(listed, directory)
        mirror([f"{base}/b/7.txt", f"{base}/missing.txt", *listed], directory)
        with bulk.Run(directory) as run:
            (again,) = [job for job in run if "/b/7.txt" in job.url]
            print(f"the second 7.txt has a name of its own: {again.name != '7.txt'}")
            print(f"failures: {dict(run.failures())}")


if __name__ == "__main__":
    main()
