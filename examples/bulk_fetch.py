"""A few hundred URLs, some of them bad, over no more than four connections."""

from __future__ import annotations

from collections.abc import Iterator

from local_server import local_server

from pooledhttp import bulk


def urls(base: str) -> Iterator[str]:
    """Made while they are fetched: the input is read lazily."""
    for number in range(200):
        yield f"{base}/{'missing' if number % 50 == 7 else 'page'}/{number}"
    yield "http://no host/"


def main() -> None:
    """Fetch all, count what came of it."""
    fetched, refused, failed = 0, 0, 0
    with local_server() as base:
        for result in bulk.fetch(urls(base), jobs=16, per_host=4, timeout=30):
            if result.error is not None:
                failed += 1
                print(f"number {result.index} failed: {type(result.error).__name__}")
            elif result.response is not None and result.response.ok:
                fetched += 1
            else:
                refused += 1
    print(f"{fetched} fetched, {refused} refused, {failed} failed")


if __name__ == "__main__":
    main()
