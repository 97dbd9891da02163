"""One session, a few calls, an error that is caught, and the numbers of the pool.

Run it: python examples/quickstart.py
"""

from __future__ import annotations

from local_server import local_server

import pooledhttp as requests


def main() -> None:
    """Send requests, catch an error, and print what the pool did."""
    with local_server() as base, requests.Session() as session:
        session.headers["X-Example"] = "quickstart"

        response = session.get(f"{base}/hello", params={"name": "you"}, timeout=5)
        print(response.status_code, response.text)

        response = session.post(f"{base}/echo", json={"n": 1}, timeout=5)
        print(response.status_code, response.json())

        response = session.get(f"{base}/missing", timeout=5)
        try:
            response.raise_for_status()
        except requests.HTTPError:
            print("as expected:", response.status_code)

        with session.get(f"{base}/streamed", stream=True, timeout=5) as response:
            print(b"".join(response.iter_content(4)).decode())

        print(session.pool.stats())


if __name__ == "__main__":
    main()
