"""The race of a host's addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pooledhttp.exceptions import DialError, DialTimeout
from pooledhttp.network import Address, Connector, Route, SocketOptions
from pooledhttp.network.happy_eyeballs import interleave, race
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.scripted import Handler, ScriptedServer
from tests.support.stopwatch import Stopwatch

Soon = Callable[..., Deadline]


def four(port: int) -> Address:
    return Address(socket.AF_INET, ("127.0.0.1", port))


class Fixed:
    """A resolver that gives these addresses, whatever the name."""

    def __init__(self, *addresses: Address) -> None:
        self._addresses = addresses

    def resolve(self, *_: object) -> tuple[Address, ...]:
        return self._addresses


def test_families_take_turns() -> None:
    """The first address's family begins, and the families alternate as long as both last."""
    v6 = [Address(socket.AF_INET6, (f"::{n}", 80, 0, 0)) for n in range(3)]
    v4 = [Address(socket.AF_INET, (f"192.0.2.{n}", 80)) for n in range(2)]
    assert interleave([*v6, *v4]) == [v6[0], v4[0], v6[1], v4[1], v6[2]]
    assert interleave([*v4, *v6]) == [v4[0], v6[0], v4[1], v6[1], v6[2]]
    assert interleave([]) == []


def test_refused_address_costs_nothing(
    runtime: Runtime, echo: Handler, soon: Soon, refused_port: int, no_fd_leak: None
) -> None:
    """After a refusal the next address is tried at once, not after the delay."""
    with ScriptedServer(echo) as server:
        addresses = [four(refused_port), four(refused_port), four(server.port)]
        with Stopwatch() as watch:
            sock = race(addresses, SocketOptions(), runtime, soon(), delay=5.0)
        assert watch.seconds < 2.0
        assert sock.getpeername()[1] == server.port
        sock.close()


def test_silent_address_costs_the_delay(
    runtime: Runtime, echo: Handler, soon: Soon, black_hole: int, no_fd_leak: None
) -> None:
    """Beside an address that never answers the next one starts after the delay, and wins."""
    with ScriptedServer(echo) as server:
        addresses = [four(black_hole), four(server.port)]
        began = runtime.now()
        with Stopwatch() as watch:
            sock = race(addresses, SocketOptions(), runtime, soon(), delay=0.1)
        assert runtime.now() - began > 0.09 and watch.seconds < 1.0
        assert sock.getpeername()[1] == server.port
        sock.close()


def test_late_answer_of_the_first_address_wins(
    runtime: Runtime, echo: Handler, soon: Soon, refused_port: int
) -> None:
    """An address that was only slower than another's refusal is still in the race."""
    with ScriptedServer(echo) as server:
        addresses = [four(server.port), four(refused_port)]
        sock = race(addresses, SocketOptions(), runtime, soon(), delay=0.0)
        assert sock.getpeername()[1] == server.port
        sock.close()


def test_deadline_is_shared(
    runtime: Runtime, soon: Soon, black_hole: int, no_fd_leak: None
) -> None:
    """Ten silent addresses take the one connect timeout, not ten."""
    connector = Connector(runtime, resolver=Fixed(*[four(black_hole)] * 10), attempt_delay=0.01)
    with Stopwatch() as watch, pytest.raises(DialTimeout):
        connector.connect(Route("http", "many.test", black_hole), soon(0.2))
    assert watch.seconds < 0.8


def test_all_refused_tells_all_reasons(
    runtime: Runtime, soon: Soon, refused_port: int, no_fd_leak: None
) -> None:
    """When no address accepts, each distinct reason is told."""
    unroutable = Address(socket.AF_INET, ("255.255.255.255", refused_port))
    connector = Connector(runtime, resolver=Fixed(four(refused_port), unroutable))
    with pytest.raises(DialError, match="Connection refused") as caught:
        connector.connect(Route("http", "many.test", refused_port), soon())
    assert str(caught.value).count("Errno") == 2
