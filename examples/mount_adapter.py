"""Adapters: other settings for one host, and a scheme of one's own."""

from __future__ import annotations

import io

from local_server import local_server

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter


class MemoryAdapter(BaseAdapter):
    """Answers `memory://name` from a dict, without any network."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        super().__init__()
        self.documents = documents

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        """Answer with the document, or 404."""
        body = self.documents.get(request.url.removeprefix("memory://"))
        response = pooledhttp.Response()
        response.status_code = 404 if body is None else 200
        response.url = request.url
        response.request = request
        response.raw = io.BytesIO(body or b"")
        return response

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Mount both and use them."""
    with local_server() as base, pooledhttp.Session() as session:
        session.mount("memory://", MemoryAdapter({"greeting": b"hello from memory"}))
        session.mount(base, HTTPAdapter(pool_maxsize=2, pool_block=True, max_retries=3))

        print(session.get("memory://greeting").text)
        print(session.get("memory://nothing").status_code)
        print(session.get(f"{base}/hello", timeout=5).text)
        print("longest prefix first:", [prefix for prefix in session.adapters if prefix != base])


if __name__ == "__main__":
    main()
