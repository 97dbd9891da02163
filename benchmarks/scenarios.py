"""What a program does with a Session, for clients with the surface of requests.

Each scenario takes the module (`requests` or `pooledhttp`) and a URL, and gives a callable that
makes one request.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ORIGIN_OPTIONS", "SCENARIOS"]

Call = Callable[[], object]

#: What the origin of a scenario does: it sets a cookie with each response, or sends another Date
#: and ETag each time, so that no response head is like an earlier one.
ORIGIN_OPTIONS = {"set-cookie": ("--cookie",), "changing-heads": ("--changing",)}


def plain(module: Any, url: str) -> Call:
    session = module.Session()
    return lambda: session.get(url).content


def arguments(module: Any, url: str) -> Call:
    """Headers, params and a timeout are given with each call."""
    session = module.Session()
    headers = {"X-Request-Id": "17", "Accept": "application/json"}
    params = {"page": "3", "per_page": "100"}
    return lambda: session.get(url, headers=headers, params=params, timeout=10).content


def jar(module: Any, url: str) -> Call:
    """The jar has 20 cookies for the host."""
    session = module.Session()
    for number in range(20):
        session.cookies.set(f"name{number}", f"value{number}", domain="127.0.0.1", path="/")
    return lambda: session.get(url).content


def environment(module: Any, url: str) -> Call:
    """The environment has 100 more variables, and there is a netrc for another host."""
    for number in range(100):
        os.environ[f"BENCHMARK_{number}"] = str(number)
    home = Path(tempfile.mkdtemp())
    netrc = home / ".netrc"
    netrc.write_text("machine example.com login me password secret\n")
    netrc.chmod(0o600)
    os.environ["HOME"] = str(home)
    session = module.Session()
    return lambda: session.get(url).content


def subclasses(module: Any, url: str) -> Call:
    """Session and HTTPAdapter are plain subclasses that override nothing."""
    session_class: Any = type("MySession", (module.Session,), {})
    adapter_class: Any = type("MyAdapter", (module.adapters.HTTPAdapter,), {})
    session = session_class()
    session.mount("http://", adapter_class())
    return lambda: session.get(url).content


def reading(module: Any, url: str) -> Call:
    """The caller reads headers, JSON and the elapsed time."""
    session = module.Session()

    def call() -> object:
        response = session.get(url)
        return response.headers["Content-Type"], response.json(), response.elapsed

    return call


def post_json(module: Any, url: str) -> Call:
    session = module.Session()
    document = {"name": "value", "numbers": list(range(20)), "text": "x" * 800}
    return lambda: session.post(url, json=document).content


def stream(module: Any, url: str) -> Call:
    session = module.Session()

    def call() -> object:
        with session.get(url, stream=True) as response:
            return sum(len(piece) for piece in response.iter_content(65536))

    return call


SCENARIOS: dict[str, Callable[[Any, str], Call]] = {
    "plain": plain,
    "arguments": arguments,
    "jar": jar,
    "set-cookie": plain,
    "changing-heads": plain,
    "environment": environment,
    "subclasses": subclasses,
    "reading": reading,
    "post-json": post_json,
    "stream": stream,
}
