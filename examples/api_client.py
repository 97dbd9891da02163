"""A client for one API: its address, credentials, retries and timeouts in one place.

Run it: python examples/api_client.py
"""

from __future__ import annotations

from typing import Any, Self

from local_server import local_server

from pooledhttp import PoolConfig, PreparedRequest, Retry, Session, Timeout
from pooledhttp.auth import AuthBase


class TokenAuth(AuthBase):
    """Adds the token to each request; it is not sent to another host after a redirect."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set the header field."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ApiClient:
    """Calls of the API as methods. Threads can share it."""

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._session = Session(
            pool=PoolConfig(max_per_host=8, acquire_timeout=5),
            retries=Retry(3, status_forcelist=[429, 502, 503]),
            timeout=Timeout(total=20, connect=3),
        )
        self._session.auth = TokenAuth(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()

    def create(self, item: dict[str, Any]) -> Any:
        """Make an item. The key makes a second send harmless, so it may be retried."""
        response = self._session.post(
            f"{self._base}/items", json=item, headers={"Idempotency-Key": str(item["id"])}
        )
        response.raise_for_status()
        return response.json()


if __name__ == "__main__":
    with local_server() as base, ApiClient(base, "secret") as client:
        print(client.create({"id": 7, "name": "lamp"}))
