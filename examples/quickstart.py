"""The first ten minutes: one session, a few calls, an error caught, and what the pool did."""

from __future__ import annotations

from local_server import local_server

import pooledhttp as requests


def main() -> None:
    """Fetch, post, fail, and look at the pool."""
    with local_server() as base, requests.Session() as session:
        session.headers["X-Example"] = "quickstart"

        reply = session.get(f"{base}/hello", params={"name": "you"}, timeout=5)
        print(reply.status_code, reply.text)

        reply = session.post(f"{base}/echo", json={"n": 1}, timeout=5)
        print(reply.status_code, reply.json())

        try:
            session.get(f"{base}/missing", timeout=5).raise_for_status()
        except requests.HTTPError as error:
            print("as expected:", error.response.status_code)

        with session.get(f"{base}/streamed", stream=True, timeout=5) as reply:
            print(b"".join(reply.iter_content(4)).decode())

        print(session.pool.stats())


if __name__ == "__main__":
    main()
