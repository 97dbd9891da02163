"""The servers work as the tests on them suppose, seen through an independent client."""

from __future__ import annotations

import socket
import sys

import pytest
import requests

from tests.support.nginx import Nginx
from tests.support.programs import ServerProgram
from tests.support.proxies import Dante, Microsocks, Squid


def test_nginx_counts_and_logs_connections(nginx: Nginx) -> None:
    """Two requests on one connection are logged with its number, and its end is seen."""
    nginx.write("hello", b"hello")
    with requests.Session() as session:
        session.verify = nginx.authority.bundle
        for _ in range(2):
            assert session.get(nginx.url("/hello"), timeout=20).content == b"hello"
        assert nginx.active() == 1
    nginx.wait_idle()
    first, second = nginx.log(requests=2)
    assert first["connection"] == second["connection"]
    assert [first["turn"], second["turn"]] == [1, 2]


def test_squid_forwards_and_tunnels(squid: Squid, nginx: Nginx) -> None:
    """http is forwarded, https goes through CONNECT."""
    nginx.write("hello", b"hello")
    proxies = {"http": squid.url, "https": squid.url}
    for url in (nginx.plain_url("/hello"), nginx.url("/hello")):
        reply = requests.get(url, proxies=proxies, verify=nginx.authority.bundle, timeout=20)
        assert (reply.status_code, reply.content) == (200, b"hello")


def test_squid_asks_for_its_password(squid_with_password: Squid, nginx: Nginx) -> None:
    """Without credentials the status is 407, with them the response of the origin."""
    nginx.write("hello", b"hello")
    url = nginx.plain_url("/hello")
    refused = requests.get(url, proxies={"http": squid_with_password.url}, timeout=20)
    known = squid_with_password.url_with("user", "secret")
    assert refused.status_code == 407
    assert requests.get(url, proxies={"http": known}, timeout=20).content == b"hello"


def _greet(port: int, greeting: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(greeting)
        return sock.recv(2)


def test_dante_speaks_socks5(dante: Dante) -> None:
    """A greeting that offers no authentication is taken."""
    assert _greet(dante.ports[0], b"\x05\x01\x00") == b"\x05\x00"


def test_microsocks_wants_a_password(microsocks: Microsocks) -> None:
    """No authentication is refused, name and password is chosen."""
    assert _greet(microsocks.ports[0], b"\x05\x01\x00") == b"\x05\xff"
    assert _greet(microsocks.ports[0], b"\x05\x02\x00\x02") == b"\x05\x02"


def test_a_server_of_another_suite_does_not_count_as_ours() -> None:
    """A port that somebody else listens on is not ready, even though it accepts."""
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]

        class Silent(ServerProgram):
            name = "sleep"

            def configure(self) -> None:
                self.ports = [taken]

            def command(self) -> list[str]:
                return [sys.executable, "-c", "import time; time.sleep(0.3)"]

        with pytest.raises(AssertionError, match="sleep ended at once"), Silent():
            pass
