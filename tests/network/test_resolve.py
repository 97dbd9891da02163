"""Looking names up: bounded threads, shared lookups, deadlines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pooledhttp.network import Address, StaticResolver, SystemResolver
from pooledhttp.network.resolve import HARD_LIMIT, literal
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline

Soon = Callable[..., Deadline]


class NameServer:
    """Stands in for `getaddrinfo`: names that begin with "slow" answer when released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, *rest: object) -> list[tuple[object, ...]]:
        with self._lock:
            self.asked.append(host)
            self.threads.add(threading.current_thread().name)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if host.startswith("slow"):
                self.release.wait(20)
            if host.startswith("bad"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            one = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
            return [six, one, one]
        finally:
            with self._lock:
                self._at_once -= 1


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A name server in place of the system's."""
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.release.set()


def ask_in_threads(
    resolver: SystemResolver, hosts: list[str], runtime: Runtime, deadline: Deadline
) -> list[object]:
    """Look up all hosts at once; results or errors in their order."""
    results: list[object] = [None] * len(hosts)

    def ask(index: int) -> None:
        try:
            results[index] = resolver.resolve(hosts[index], 80, deadline, runtime)
        except OSError as error:
            results[index] = error

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(hosts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_addresses_in_order_without_doubles(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """The system's order is kept, doubles are dropped, and the lookup ran on a thread of ours."""
    found = SystemResolver().resolve("fast", 80, soon(), runtime)
    assert [address.family for address in found] == [socket.AF_INET6, socket.AF_INET]
    assert names.threads == {"pooledhttp-resolve"}


def test_error_of_the_system_comes_through(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """What getaddrinfo raises reaches the caller."""
    with pytest.raises(socket.gaierror, match="not known"):
        SystemResolver().resolve("bad", 80, soon(), runtime)


def test_one_lookup_serves_all_who_ask(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """Twenty callers for one name wait for one lookup."""
    resolver = SystemResolver()
    threading.Timer(0.1, names.release.set).start()
    results = ask_in_threads(resolver, ["slow"] * 20, runtime, soon())
    assert names.asked == ["slow"]
    assert all(isinstance(found, list) for found in results)


def test_slow_names_do_not_hold_up_a_fast_one(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """With sixteen names stuck and one quick, all is over in time and the quick one is found."""
    resolver = SystemResolver()
    hosts = [f"slow{number}" for number in range(16)] + ["fast"]
    began = runtime.now()
    results = ask_in_threads(resolver, hosts, runtime, soon(0.6))
    assert runtime.now() - began < 0.9
    assert all(isinstance(found, TimeoutError) for found in results[:16])
    assert isinstance(results[16], list)


def test_threads_are_bounded(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """However many names are stuck, threads stay below the hard limit, and all end."""
    resolver = SystemResolver()
    hosts = [f"slow{number}" for number in range(120)]
    ask_in_threads(resolver, hosts, runtime, soon(0.4))
    assert names.most_at_once <= HARD_LIMIT
    names.release.set()
    for thread in threading.enumerate():
        if thread.name == "pooledhttp-resolve":
            thread.join(5)
            assert not thread.is_alive()
    assert resolver.resolve("fast", 80, soon(), runtime)


def test_quick_lookups_use_few_threads(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """Lookups that are answered never run more than sixteen at a time."""
    ask_in_threads(SystemResolver(), [f"fast{n}" for n in range(100)], runtime, soon())
    assert names.most_at_once <= 16


def test_a_stuck_lookup_is_asked_a_second_time(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """A caller who comes when a lookup has long been stuck starts another, two at the most."""
    resolver = SystemResolver()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            resolver.resolve("slow", 80, soon(0.3), runtime)
    assert names.asked == ["slow", "slow"]


def test_family_is_urllib3s_choice(
    names: NameServer, runtime: Runtime, soon: Soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that switch IPv6 off at urllib3 are heeded."""
    seen = []

    def getaddrinfo(host: str, port: int, family: int, *rest: object) -> list[object]:
        seen.append(family)
        return names(host, port)  # type: ignore[return-value]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("urllib3.util.connection.HAS_IPV6", False)
    SystemResolver().resolve("fast", 80, soon(), runtime)
    assert seen == [socket.AF_INET]


def test_stuck_lookup_does_not_delay_the_exit() -> None:
    """An interpreter that leaves a lookup behind exits at once."""
    program = (
        "import socket, threading, time\n"
        "from pooledhttp.network import SystemResolver\n"
        "from pooledhttp.runtime import default_runtime\n"
        "from pooledhttp.timing import Deadline\n"
        "socket.getaddrinfo = lambda *a: threading.Event().wait(30)\n"
        "runtime = default_runtime()\n"
        "try:\n"
        "    SystemResolver().resolve('slow', 80, Deadline.after(0.1, runtime.now), runtime)\n"
        "except TimeoutError:\n"
        "    print('left', time.time())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout.startswith("left")


def test_fork_starts_over(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """A child of a process in the middle of a lookup looks the same name up itself."""
    resolver = SystemResolver()
    with pytest.raises(TimeoutError):
        resolver.resolve("slow", 80, soon(0.05), runtime)
    resolver._lock.acquire()  # as a thread of the parent may hold it at the moment of the fork
    child = os.fork()
    if child == 0:
        names.release.set()
        found = resolver.resolve("slow", 80, soon(3), runtime)
        os._exit(0 if len(found) == 2 else 1)
    resolver._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", Address(socket.AF_INET, ("192.0.2.1", 80))),
        ("::1", Address(socket.AF_INET6, ("::1", 80, 0, 0))),
        ("fe80::1%3", Address(socket.AF_INET6, ("fe80::1", 80, 0, 3))),
        ("fe80::1%253", Address(socket.AF_INET6, ("fe80::1", 80, 0, 3))),
        ("example.test", None),
        ("1.2.3", None),
        ("a:b", None),
        ("1.2.3.4\0", None),
    ],
)
def test_literals(host: str, address: Address | None) -> None:
    """IP literals are told from names, zone ids included."""
    assert literal(host, 80) == address


def test_static_table(runtime: Runtime, soon: Soon) -> None:
    """A table answers for its names in any case and passes the others on."""
    resolver = StaticResolver({"A.test": ["192.0.2.1", "::1"]}, StaticResolver({"b": ["::1"]}))
    assert len(resolver.resolve("a.TEST", 80, soon(), runtime)) == 2
    assert len(resolver.resolve("b", 80, soon(), runtime)) == 1
    with pytest.raises(socket.gaierror):
        resolver.resolve("c", 80, soon(), runtime)
