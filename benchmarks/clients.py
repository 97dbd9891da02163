"""The clients that are compared: each is made for a URL, and then gets it again and again.

A factory raises ImportError where its library is not installed.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

__all__ = ["CLIENTS"]

Get = Callable[[], bytes]

_HEADERS = [
    ("User-Agent", "benchmark/1.0"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept", "*/*"),
    ("Connection", "keep-alive"),
]


def _connected(url: str) -> tuple[socket.socket, str]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    sock = socket.create_connection((parts.hostname, parts.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, parts.netloc


def raw_socket(url: str) -> Get:
    """Send fixed bytes, and read as many as the first response had."""
    sock, host = _connected(url)
    lines = [f"GET {urlsplit(url).path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in _HEADERS]
    head = "\r\n".join([*lines, "", ""]).encode()
    size = 0

    def get() -> bytes:
        nonlocal size
        sock.sendall(head)
        data = sock.recv(65536)
        if not size:
            body_at = data.index(b"\r\n\r\n") + 4
            length = int(data.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            size = body_at + length
        while len(data) < size:
            data += sock.recv(65536)
        return data.partition(b"\r\n\r\n")[2]

    return get


def bare_h11(url: str) -> Get:
    """Run the plainest loop over h11 that is right for a response with a body."""
    import h11

    sock, host = _connected(url)
    connection = h11.Connection(h11.CLIENT)
    path = urlsplit(url).path

    def get() -> bytes:
        request = h11.Request(method="GET", target=path, headers=[("Host", host), *_HEADERS])
        sock.sendall(connection.send(request) + connection.send(h11.EndOfMessage()))
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(sock.recv(65536))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                connection.start_next_cycle()
                return body

    return get


def _requests_like(name: str) -> Callable[[str], Get]:
    def make(url: str) -> Get:
        module: Any = importlib.import_module(name)
        session = module.Session()
        if name == "requests":
            session.mount("http://", module.adapters.HTTPAdapter(pool_maxsize=64))
        return lambda: session.get(url).content  # type: ignore[no-any-return]

    return make


def _urllib3(url: str) -> Get:
    import urllib3

    manager = urllib3.PoolManager(maxsize=64)
    return lambda: manager.request("GET", url).data


def _httpx(url: str) -> Get:
    httpx: Any = importlib.import_module("httpx")
    client = httpx.Client()
    return lambda: client.get(url).content  # type: ignore[no-any-return]


def _httpcore(url: str) -> Get:
    httpcore: Any = importlib.import_module("httpcore")
    pool = httpcore.ConnectionPool()
    return lambda: pool.request("GET", url).content  # type: ignore[no-any-return]


CLIENTS: dict[str, Callable[[str], Get]] = {
    "raw socket": raw_socket,
    "bare h11": bare_h11,
    "urllib3": _urllib3,
    "httpcore": _httpcore,
    "pooledhttp": _requests_like("pooledhttp"),
    "httpx": _httpx,
    "requests": _requests_like("requests"),
}
