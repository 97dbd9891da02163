"""The clients of the suite, each with the same few operations.

A class raises ImportError where its library is not installed. What a client cannot do is missing
from its class, and the suite leaves it out.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import shutil
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["PEERS"]

_PIECE = 65536


class RequestsLike:
    """`requests`, and what has its interface."""

    name = "requests"

    def __init__(
        self, bundle: str, connections: int, is_kept: bool = True, origins: int = 1
    ) -> None:
        self.module: Any = importlib.import_module(self.name)
        self.session = self.module.Session()
        self.session.trust_env = False
        self.session.verify = bundle
        if not is_kept:
            self.session.headers["Connection"] = "close"
        self.prepare(connections, max(origins, connections))

    def prepare(self, connections: int, origins: int) -> None:
        """Make room for so many connections of each of so many origins."""
        adapter = self.module.adapters.HTTPAdapter(
            pool_connections=origins, pool_maxsize=connections
        )
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def get(self, url: str) -> bytes:
        return self.session.get(url).content  # type: ignore[no-any-return]

    def post(self, url: str, document: Any) -> bytes:
        return self.session.post(url, json=document).content  # type: ignore[no-any-return]

    def pieces(self, url: str) -> int:
        with self.session.get(url, stream=True) as response:
            return sum(map(len, response.iter_content(_PIECE)))

    def save(self, url: str, path: str) -> None:
        with self.session.get(url, stream=True) as response, open(path, "wb") as file:
            for piece in response.iter_content(_PIECE):
                file.write(piece)

    def upload(self, url: str, data: bytes) -> None:
        self.session.put(url, data=io.BytesIO(data)).raise_for_status()

    def hold(self, url: str) -> Callable[[], object]:
        response = self.session.get(url, stream=True)
        return lambda: response.content

    def bulk(self, urls: Iterable[str], jobs: int) -> None:
        with ThreadPoolExecutor(jobs) as workers:
            for _ in workers.map(self.get, urls):
                pass


class Pooledhttp(RequestsLike):
    """Ours."""

    name = "pooledhttp"

    def prepare(self, connections: int, origins: int) -> None:
        if origins > 256:
            old, self.session = (
                self.session,
                self.module.Session(pool=self.module.PoolConfig(max_idle_total=None)),
            )
            self.session.trust_env, self.session.verify = False, old.verify

    def bulk(self, urls: Iterable[str], jobs: int) -> None:
        with self.module.bulk.fetch(urls, self.session, jobs=jobs, per_host=jobs) as results:
            for result in results:
                assert not result.problem, result.problem


class PooledhttpThreads(RequestsLike):
    """Ours, with a pool of threads instead of `bulk`."""

    name = "pooledhttp"
    prepare = Pooledhttp.prepare


class Urllib3:
    """urllib3's `PoolManager`."""

    name = "urllib3"

    def __init__(
        self, bundle: str, connections: int, is_kept: bool = True, origins: int = 1
    ) -> None:
        import urllib3

        pools = max(origins, connections)
        self.pool = urllib3.PoolManager(pools, maxsize=connections, ca_certs=bundle)
        self.headers = {} if is_kept else {"Connection": "close"}

    def get(self, url: str) -> bytes:
        return self.pool.request("GET", url, headers=self.headers).data

    def post(self, url: str, document: Any) -> bytes:
        return self.pool.request("POST", url, json=document).data

    def pieces(self, url: str) -> int:
        response = self.pool.request("GET", url, preload_content=False)
        size = sum(map(len, response.stream(_PIECE)))
        response.release_conn()
        return size

    def save(self, url: str, path: str) -> None:
        response = self.pool.request("GET", url, preload_content=False)
        with open(path, "wb") as file:
            shutil.copyfileobj(response, file, _PIECE)
        response.release_conn()

    def upload(self, url: str, data: bytes) -> None:
        size = {"Content-Length": str(len(data))}
        assert self.pool.request("PUT", url, body=io.BytesIO(data), headers=size).status == 200

    def hold(self, url: str) -> Callable[[], object]:
        response = self.pool.request("GET", url, preload_content=False)
        return lambda: (response.read(), response.release_conn())

    bulk = RequestsLike.bulk


class Httpx:
    """httpx's `Client`."""

    name = "httpx"

    def __init__(self, bundle: str, connections: int, is_kept: bool = True) -> None:
        httpx: Any = importlib.import_module("httpx")
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        context = ssl.create_default_context(cafile=bundle)
        headers = {} if is_kept else {"Connection": "close"}
        self.client = httpx.Client(
            verify=context, limits=limits, headers=headers, trust_env=False, timeout=120
        )

    def get(self, url: str) -> bytes:
        return self.client.get(url).content  # type: ignore[no-any-return]

    def post(self, url: str, document: Any) -> bytes:
        return self.client.post(url, json=document).content  # type: ignore[no-any-return]

    def pieces(self, url: str) -> int:
        with self.client.stream("GET", url) as response:
            return sum(map(len, response.iter_bytes(_PIECE)))

    def save(self, url: str, path: str) -> None:
        with self.client.stream("GET", url) as response, open(path, "wb") as file:
            for piece in response.iter_bytes(_PIECE):
                file.write(piece)

    def upload(self, url: str, data: bytes) -> None:
        self.client.put(url, content=io.BytesIO(data)).raise_for_status()

    bulk = RequestsLike.bulk


class Httpcore:
    """httpcore's `ConnectionPool`."""

    name = "httpcore"

    def __init__(self, bundle: str, connections: int, is_kept: bool = True) -> None:
        httpcore: Any = importlib.import_module("httpcore")
        self.pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=bundle),
            max_connections=connections,
            max_keepalive_connections=connections,
        )
        self.headers = {} if is_kept else {"Connection": "close"}

    def get(self, url: str) -> bytes:
        return self.pool.request("GET", url, headers=self.headers).content  # type: ignore[no-any-return]

    def post(self, url: str, document: Any) -> bytes:
        headers = {"Content-Type": "application/json"}
        data = json.dumps(document).encode()
        return self.pool.request("POST", url, headers=headers, content=data).content  # type: ignore[no-any-return]

    bulk = RequestsLike.bulk


class Aiohttp:
    """aiohttp's `ClientSession`; one request at a time runs its loop until it is done."""

    name = "aiohttp"

    def __init__(self, bundle: str, connections: int, is_kept: bool = True) -> None:
        self.aiohttp: Any = importlib.import_module("aiohttp")
        self.loop = asyncio.new_event_loop()
        context = ssl.create_default_context(cafile=bundle)

        async def make() -> Any:
            connector = self.aiohttp.TCPConnector(
                limit=connections, ssl=context, force_close=not is_kept
            )
            return self.aiohttp.ClientSession(connector=connector)

        self.session = self.loop.run_until_complete(make())

    async def _send(self, method: str, url: str, **body: Any) -> bytes:
        async with self.session.request(method, url, **body) as response:
            return await response.read()  # type: ignore[no-any-return]

    def get(self, url: str) -> bytes:
        return self.loop.run_until_complete(self._send("GET", url))

    def post(self, url: str, document: Any) -> bytes:
        return self.loop.run_until_complete(self._send("POST", url, json=document))

    def upload(self, url: str, data: bytes) -> None:
        self.loop.run_until_complete(self._send("PUT", url, data=io.BytesIO(data)))

    def bulk(self, urls: Iterable[str], jobs: int) -> None:
        left = iter(urls)

        async def work() -> None:
            for url in left:
                await self._send("GET", url)

        async def run() -> None:
            await asyncio.gather(*(work() for _ in range(jobs)))

        self.loop.run_until_complete(run())


class Libcurl:
    """libcurl, by pycurl."""

    name = "pycurl"

    def __init__(self, bundle: str, connections: int, is_kept: bool = True) -> None:
        self.pycurl: Any = importlib.import_module("pycurl")
        self.bundle = bundle
        self.is_kept = is_kept
        self.handle = self._new()

    def _new(self) -> Any:
        handle = self.pycurl.Curl()
        handle.setopt(self.pycurl.CAINFO, self.bundle)
        handle.setopt(self.pycurl.NOSIGNAL, 1)
        handle.setopt(self.pycurl.PROXY, "")
        if not self.is_kept:
            handle.setopt(self.pycurl.FORBID_REUSE, 1)
        return handle

    def _run(self, url: str, write: Callable[[bytes], object]) -> None:
        self.handle.setopt(self.pycurl.URL, url)
        self.handle.setopt(self.pycurl.WRITEFUNCTION, write)
        self.handle.perform()

    def get(self, url: str) -> bytes:
        body = io.BytesIO()
        self._run(url, body.write)
        return body.getvalue()

    def pieces(self, url: str) -> int:
        sizes: list[int] = []
        self._run(url, lambda data: sizes.append(len(data)))
        return sum(sizes)

    def save(self, url: str, path: str) -> None:
        with open(path, "wb") as file:
            self._run(url, file.write)

    def bulk(self, urls: Iterable[str], jobs: int) -> None:
        multi, left, running = self.pycurl.CurlMulti(), iter(urls), 0
        free = [self._new() for _ in range(jobs)]
        while True:
            while free and (url := next(left, None)) is not None:
                handle = free.pop()
                handle.setopt(self.pycurl.URL, url)
                handle.setopt(self.pycurl.WRITEFUNCTION, io.BytesIO().write)
                multi.add_handle(handle)
                running += 1
            if not running:
                return
            multi.perform()
            _, done, failed = multi.info_read()
            assert not failed, failed
            for handle in done:
                multi.remove_handle(handle)
                free.append(handle)
                running -= 1
            if not done:
                multi.select(1.0)


PEERS: dict[str, Any] = {
    "libcurl": Libcurl,
    "urllib3": Urllib3,
    "httpcore": Httpcore,
    "pooledhttp": Pooledhttp,
    "threads": PooledhttpThreads,
    "aiohttp": Aiohttp,
    "httpx": Httpx,
    "requests": RequestsLike,
}
