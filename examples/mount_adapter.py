"""Mount adapters: other settings for one host, and an adapter for a new scheme.

Run it: python examples/mount_adapter.py
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from local_server import local_server

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter


class MemoryAdapter(BaseAdapter):
    """Serves `memory://name` from a dict, without a network.

    Args:
        documents: The bodies by name.
    """

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        super().__init__()
        self.documents = documents

    def send(
        self, request: pooledhttp.PreparedRequest, *args: Any, **settings: Any
    ) -> pooledhttp.Response:
        """Return the document, or a response with status 404."""
        url = request.url or ""
        body = self.documents.get(url.removeprefix("memory://"))
        response = pooledhttp.Response()
        response.status_code = 404 if body is None else 200
        response.url = url
        response.request = request
        response.raw = io.BytesIO(body or b"")
        return response

    def close(self) -> None:
        """Do nothing: no connection is open."""


def main() -> None:
    """Mount both kinds of adapter and use them."""
    with local_server() as base, pooledhttp.Session() as session:
        session.mount("memory://", MemoryAdapter({"greeting": b"hello from memory"}))
        session.mount(base, HTTPAdapter(pool_maxsize=2, pool_block=True, max_retries=3))

        print(session.get("memory://greeting").text)
        print(session.get("memory://nothing").status_code)
        print(session.get(f"{base}/hello", timeout=5).text)
        print("longest prefix first:", [prefix for prefix in session.adapters if prefix != base])


if __name__ == "__main__":
    main()
