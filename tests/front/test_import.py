"""`import pooledhttp` loads what a program that uses requests finds there, and little else."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pooledhttp

#: Loaded at first use. Together they took longer than all that `import requests` loads.
LATER = """
asyncio charset_normalizer dataclasses greenlet h11 idna inspect opentelemetry platform
prometheus_client rich socksio sqlite3 trustme truststore
pooledhttp.aio pooledhttp.bulk pooledhttp.cli pooledhttp.dropin pooledhttp.help
pooledhttp.monitoring pooledhttp.testing
pooledhttp.http1.connection pooledhttp.http1.h11_parser pooledhttp.network.connector
pooledhttp.network.resolve pooledhttp.network.socks pooledhttp.network.tls.handshake
pooledhttp.pool.pool pooledhttp.retry.attempts pooledhttp.transport.manager
pooledhttp.transport.urllib3_face
""".split()

SHOW = "import sys, pooledhttp; print(*sorted(sys.modules))"


def test_heavy_modules_are_loaded_at_first_use() -> None:
    """In a fresh interpreter none of them is there after the import.

    Except what urllib3 and certifi load themselves: `inspect` since Python 3.12, and 3.15.
    """
    loaded, of_others = (
        modules_after(SHOW),
        modules_after(SHOW.replace("pooledhttp", "urllib3, certifi")),
    )
    assert sorted(set(LATER) & loaded - of_others) == []
    assert {"urllib3.poolmanager", "pooledhttp.adapters", "pooledhttp.packages"} <= loaded


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


IN_A_HANDLER = """
import os, signal, pooledhttp
class Finder:
    def find_spec(self, name, *rest):
        if name == "pooledhttp.transport.manager":
            os.kill(os.getpid(), signal.SIGUSR1)
def send(*_):
    try:
        pooledhttp.get("http://127.0.0.1:0/")
    except pooledhttp.ConnectionError:
        print("sent")
signal.signal(signal.SIGUSR1, send)
sys.meta_path.insert(0, Finder())
send()
"""


def test_a_signal_handler_may_send_while_modules_are_loaded() -> None:
    """The first request loads them. A handler that interrupts it does not find half of them."""
    code = f"import sys; sys.path[:] = {sys.path!r}\n{IN_A_HANDLER}"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["sent", "sent"], "")


@pytest.mark.parametrize("name", ["bulk", "dropin", "help", "monitoring"])
def test_a_module_that_is_loaded_later_is_an_attribute(name: str) -> None:
    """`pooledhttp.bulk` needs no import of its own, and `dir` shows it."""
    assert getattr(pooledhttp, name).__name__ == f"pooledhttp.{name}"
    assert name in dir(pooledhttp)


@pytest.mark.parametrize("subpackage", ["http1", "network", "pool", "retry", "transport"])
def test_an_unknown_name_of_a_subpackage_is_an_attribute_error(subpackage: str) -> None:
    """The `__getattr__` that loads modules refuses other names, as any module does."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(getattr(pooledhttp, subpackage), "nothing")  # noqa: B009
