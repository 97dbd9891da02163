"""Real servers for the tests of this folder, each started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.nginx import Nginx
from tests.support.proxies import Dante, Microsocks, Squid

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a server program."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def nginx_process(authority: Authority) -> Iterator[Nginx]:
    """The one nginx; tests take `nginx`."""
    with Nginx(authority) as server:
        yield server


@pytest.fixture
def nginx(nginx_process: Nginx) -> Nginx:
    """A running nginx with no connections and an empty log."""
    nginx_process.wait_idle()
    nginx_process.clear_log()
    return nginx_process


@pytest.fixture(scope="session")
def squid() -> Iterator[Squid]:
    """An open forward proxy."""
    with Squid() as server:
        yield server


@pytest.fixture(scope="session")
def squid_with_password() -> Iterator[Squid]:
    """A forward proxy that knows `user` with the password `secret` alone."""
    with Squid("user", "secret") as server:
        yield server


@pytest.fixture(scope="session")
def dante() -> Iterator[Dante]:
    """An open SOCKS server."""
    with Dante() as server:
        yield server


@pytest.fixture(scope="session")
def microsocks() -> Iterator[Microsocks]:
    """A SOCKS server with a password."""
    with Microsocks() as server:
        yield server
