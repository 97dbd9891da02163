"""Looking names up: bounded threads, shared lookups, deadlines."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pooledhttp.network import Address, StaticResolver, SystemResolver, resolve
from pooledhttp.network.addresses import literal
from pooledhttp.network.resolve import HARD_LIMIT, LINGER_SECONDS, MAX_IDLE
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.commands import run_python
from tests.support.patience import wait_until

Soon = Callable[..., Deadline]


class NameServer:
    """Stands in for `getaddrinfo`: names that begin with "slow" answer when released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: list[str] = []
        self.threads: list[threading.Thread] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, *rest: object) -> list[tuple[object, ...]]:
        with self._lock:
            self.asked.append(host)
            self.threads.append(threading.current_thread())
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


@pytest.fixture
def soon_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup counts as stuck after a twentieth of a second, so that tests need not wait long."""
    monkeypatch.setattr(resolve, "SLOW_AFTER", 0.05)


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
    assert [thread.name for thread in names.threads] == ["pooledhttp-resolve"]
    assert names.threads[0].daemon


def test_error_of_the_system_comes_through(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """What getaddrinfo raises reaches the caller."""
    with pytest.raises(socket.gaierror, match="not known"):
        SystemResolver().resolve("bad", 80, soon(), runtime)


def test_one_lookup_serves_all_who_ask(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """Twenty callers for one name wait for one lookup."""
    resolver = SystemResolver()

    def release_once_all_wait() -> None:
        def callers() -> int:
            flights = list(resolver._flights.values())
            return len(resolver._inbox) + sum(len(flight.calls) for flight in flights)

        wait_until(lambda: callers() == 20, "a wait of all twenty callers")
        names.release.set()

    releasing = threading.Thread(target=release_once_all_wait)
    releasing.start()
    results = ask_in_threads(resolver, ["slow"] * 20, runtime, soon())
    releasing.join()
    assert names.asked == ["slow"]
    assert all(isinstance(found, list) for found in results)


def test_slow_names_do_not_hold_up_a_fast_one(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """With sixteen names stuck and one quick, the quick one is found and the others give up."""
    resolver = SystemResolver()
    hosts = [f"slow{number}" for number in range(16)] + ["fast"]
    results = ask_in_threads(resolver, hosts, runtime, soon(0.5))
    assert not names.release.is_set()
    assert all(isinstance(found, TimeoutError) for found in results[:16])
    assert isinstance(results[16], list)


@pytest.mark.usefixtures("soon_stuck")
def test_threads_are_bounded(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """However many names are stuck, threads stay below the hard limit, and all end."""
    resolver = SystemResolver(linger_seconds=0.01)
    hosts = [f"slow{number}" for number in range(120)]
    ask_in_threads(resolver, hosts, runtime, soon(0.2))
    assert names.most_at_once <= HARD_LIMIT
    names.release.set()
    for thread in names.threads:
        thread.join(5)
        assert not thread.is_alive()
    assert resolver.resolve("fast", 80, soon(), runtime)


def test_quick_lookups_use_few_threads(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """Lookups that are answered never run more than sixteen at a time."""
    ask_in_threads(SystemResolver(), [f"fast{n}" for n in range(100)], runtime, soon())
    assert names.most_at_once <= 16


def test_a_thread_stays_for_the_next_lookup(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """Lookups that come one after the other run on one thread, whatever became of the first."""
    resolver = SystemResolver()
    for host in ["fast", "bad", "fast", "fast"]:
        with contextlib.suppress(socket.gaierror):
            resolver.resolve(host, 80, soon(), runtime)
        wait_until(lambda: len(resolver._idle) == 1)
    assert len(names.threads) == 4
    assert len(set(names.threads)) == 1


def test_an_idle_thread_leaves(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """A thread that was not needed for a while ends, and the next lookup starts another."""
    resolver = SystemResolver(linger_seconds=0.01)
    for _ in range(2):
        resolver.resolve("fast", 80, soon(), runtime)
        names.threads[-1].join(5)
        assert not names.threads[-1].is_alive()
        assert resolver._idle == []
    assert len(set(names.threads)) == 2


def test_few_threads_stay_idle(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """After a burst most threads end at once."""
    resolver = SystemResolver()

    def release() -> None:
        wait_until(lambda: len(names.threads) == 16)
        names.release.set()

    threading.Thread(target=release).start()
    ask_in_threads(resolver, [f"slow{number}" for number in range(16)], runtime, soon())
    wait_until(lambda: sum(thread.is_alive() for thread in names.threads) == MAX_IDLE)
    assert len(resolver._idle) == MAX_IDLE


def test_a_lookup_that_comes_as_a_thread_leaves_is_run(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """Threads that stay next to no time serve 300 lookups of four callers without losing one."""
    resolver = SystemResolver(linger_seconds=0.0002)
    for number in range(75):
        hosts = [f"fast{number}-{each}" for each in range(4)]
        assert all(ask_in_threads(resolver, hosts, runtime, soon()))
    assert len(names.asked) == 300


@pytest.mark.usefixtures("soon_stuck")
def test_a_stuck_lookup_is_asked_a_second_time(
    names: NameServer, runtime: Runtime, soon: Soon
) -> None:
    """A caller who comes when a lookup has long been stuck starts another, two at the most."""
    resolver = SystemResolver()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            resolver.resolve("slow", 80, soon(0.06), runtime)
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
    done = run_python("-c", program, seconds=10)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("left")


def test_an_idle_thread_does_not_delay_the_exit() -> None:
    """An interpreter whose last lookup left an idle thread exits at once, with nothing to say."""
    program = (
        "import time\n"
        "from pooledhttp.network import default_resolver\n"
        "from pooledhttp.runtime import default_runtime\n"
        "from pooledhttp.timing import Deadline\n"
        "default_resolver().resolve('localhost', 80, Deadline.never(), default_runtime())\n"
        "print(time.time())\n"
    )
    done = run_python("-c", program, seconds=10)
    assert done.returncode == 0, done.stderr
    assert time.time() - float(done.stdout) < LINGER_SECONDS / 2
    assert done.stderr == ""


def test_a_child_has_no_idle_threads(names: NameServer, runtime: Runtime, soon: Soon) -> None:
    """A lookup in a forked child is not handed to a thread of its parent."""
    resolver = SystemResolver()
    resolver.resolve("fast", 80, soon(), runtime)
    wait_until(lambda: len(resolver._idle) == 1)
    child = os.fork()
    if child == 0:
        found = resolver.resolve("fast", 80, soon(3), runtime)
        os._exit(0 if len(found) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert resolver.resolve("fast", 80, soon(), runtime)
    assert len(set(names.threads)) == 1


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
