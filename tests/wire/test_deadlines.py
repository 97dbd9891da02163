"""One deadline for everything: whatever a server, a proxy or a name server holds back.

The peers here are slow on purpose and paced by a clock; what is asserted is when the client stops.
"""

from __future__ import annotations

import io
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pooledhttp
from pooledhttp import Timeout
from pooledhttp.exceptions import (
    ConnectionError,
    ConnectTimeout,
    PoolTimeout,
    ReadTimeout,
    WriteTimeout,
)
from tests.support.scripted import Handler, Peer, ScriptedServer, answering, chunked, respond
from tests.wire.tools import first_then_new, names_origin, prompt

#: The total that is given, and the time by which the call has to be over.
TOTAL, OVER = 0.2, 0.5

#: What one slow byte costs: far less than any timeout per operation.
PACE = 0.02


def trickle(peer: Peer, data: bytes) -> None:
    """Send a byte at a time, slowly."""
    for at in range(len(data)):
        peer.send(data[at : at + 1])
        time.sleep(PACE)


def silent(peer: Peer) -> None:
    """Read and say nothing."""
    peer.wait_closed()


def deaf(peer: Peer) -> None:
    """Neither read nor say anything."""
    peer.server.gate().wait()


def says(data: bytes, *, slowly: bytes = b"") -> Handler:
    """Answer a request with `data` at once, then `slowly` byte by byte, then nothing."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)
        trickle(peer, slowly)
        peer.wait_closed()

    return handle


def reads_slowly(peer: Peer) -> None:
    """Take the upload a little at a time."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while peer.sock.recv(32_768):
        time.sleep(PACE)


BIG = b"x" * 30_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
LONG = b"y" * 1000

SERVERS: dict[str, tuple[Handler, type[Exception]]] = {
    "silence": (silent, ReadTimeout),
    "half-a-head": (says(HEAD), ReadTimeout),
    "trickled-head": (says(b"HTTP/1.1 200 OK\r\nX: ", slowly=LONG), ReadTimeout),
    "trickled-interims": (says(b"", slowly=b"HTTP/1.1 100 Continue\r\n\r\n" * 40), ReadTimeout),
    "no-body": (says(HEAD + b"\r\n"), ConnectionError),
    "half-a-body": (says(HEAD + b"\r\nhalf"), ConnectionError),
    "trickled-body": (says(HEAD + b"\r\n", slowly=LONG), ConnectionError),
    "trickled-chunks": (says(chunked([], end=False), slowly=b"1\r\na\r\n" * 200), ConnectionError),
    "trickled-to-the-end": (says(b"HTTP/1.1 200 OK\r\n\r\n", slowly=LONG), ConnectionError),
    "trickled-trailer": (
        says(chunked([b"x"], end=False) + b"0\r\n", slowly=b"X: " + LONG),
        ConnectionError,
    ),
}


@pytest.mark.parametrize(("handler", "error"), SERVERS.values(), ids=SERVERS)
def test_total_bounds_every_answer(
    session: pooledhttp.Session, handler: Handler, error: type[Exception]
) -> None:
    """A trickling server does not outlive the total, and its connection is closed."""
    with ScriptedServer(first_then_new(handler)) as server:
        with prompt(OVER), pytest.raises(error, match="total") as caught:
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        names_origin(caught.value, server)
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()


@pytest.mark.parametrize("chunk_size", [None, 1, 100])
def test_total_goes_on_while_the_caller_reads(
    session: pooledhttp.Session, chunk_size: int | None
) -> None:
    """The deadline of a streamed response ends a trickle in the middle of iteration."""
    with ScriptedServer(says(HEAD + b"\r\n", slowly=LONG)) as server:
        with prompt(OVER):
            answer = session.get(server.url(), stream=True, timeout=Timeout(total=TOTAL))
            assert answer.ok
            with pytest.raises(ConnectionError, match="total"):
                for _ in answer.iter_content(chunk_size):
                    pass
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("handler", [deaf, reads_slowly], ids=["stall", "slow"])
@pytest.mark.parametrize(
    "body", [BIG, lambda: io.BytesIO(BIG), lambda: (BIG[:100_000] for _ in range(300))]
)
def test_total_bounds_uploads(session: pooledhttp.Session, handler: Handler, body: Any) -> None:
    """An upload nobody takes ends by an error that is a Timeout and a ConnectionError."""
    with ScriptedServer(handler) as server:
        with prompt(OVER), pytest.raises(WriteTimeout) as caught:
            data = body() if callable(body) else body
            session.post(server.url(), data=data, timeout=Timeout(total=TOTAL))
        assert isinstance(caught.value, pooledhttp.ConnectionError)
        assert isinstance(caught.value, pooledhttp.Timeout)
        names_origin(caught.value, server)
        session.close()


def test_a_stalled_upload_meets_the_read_timeout_too(session: pooledhttp.Session) -> None:
    """A plain number bounds writing as well: requests would wait for ever."""
    with ScriptedServer(deaf) as server:
        with prompt(OVER), pytest.raises(WriteTimeout, match="write timeout"):
            session.post(server.url(), data=BIG, timeout=0.2)
        session.close()


def test_a_slow_upload_that_makes_progress_is_not_cut_off(session: pooledhttp.Session) -> None:
    """Timeouts per operation start anew with each piece."""

    def steady(peer: Peer) -> None:
        head = peer.read_head()
        left = int(head.header("content-length") or 0)
        while left > 0:
            left -= len(peer.reader.exactly(min(left, 1_000_000)))
            time.sleep(0.03)
        peer.send(respond(b"taken"))

    with ScriptedServer(steady) as server:
        assert session.post(server.url(), data=BIG, timeout=0.5).content == b"taken"
        session.close()


# ---- before the request


@pytest.fixture
def full_backlog() -> Iterator[int]:
    """A port whose host answers no SYN any more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in crowd:
            each.close()


@pytest.mark.parametrize(
    "timeout", [Timeout(total=TOTAL), TOTAL, (TOTAL, 5), Timeout(connect=TOTAL)], ids=str
)
def test_black_hole(session: pooledhttp.Session, full_backlog: int, timeout: Any) -> None:
    """A host that answers nothing is a ConnectTimeout."""
    with prompt(OVER), pytest.raises(ConnectTimeout, match=str(full_backlog)):
        session.get(f"http://127.0.0.1:{full_backlog}/", timeout=timeout)


def tls_trickle(peer: Peer) -> None:
    """A TLS record that never comes to its end."""
    peer.sock.recv(1)
    trickle(peer, b"\x16\x03\x03\x02\x00" + bytes(512))


@pytest.mark.parametrize("handler", [silent, tls_trickle], ids=["stall", "trickle"])
@pytest.mark.parametrize("timeout", [Timeout(total=TOTAL), TOTAL], ids=["total", "float"])
def test_tls_handshake(session: pooledhttp.Session, handler: Handler, timeout: Any) -> None:
    """A handshake that does not end is a ConnectTimeout."""
    with ScriptedServer(handler) as server:
        with prompt(OVER), pytest.raises(ConnectTimeout, match="handshake"):
            session.get(f"https://127.0.0.1:{server.port}/", timeout=timeout)
        session.close()


CONNECT_OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks4", "socks5h"])
@pytest.mark.parametrize("target", ["http", "https"])
@pytest.mark.parametrize("handler", [silent, tls_trickle], ids=["stall", "trickle"])
def test_proxies(session: pooledhttp.Session, scheme: str, target: str, handler: Handler) -> None:
    """A proxy that holds its answer back does not outlive the total, whatever it speaks."""
    with ScriptedServer(handler) as server:
        proxies = {"all": f"{scheme}://127.0.0.1:{server.port}"}
        with prompt(OVER), pytest.raises((pooledhttp.Timeout, ConnectionError)):
            session.get(f"{target}://127.0.0.1:1/", timeout=Timeout(total=TOTAL), proxies=proxies)
        session.close()


def test_a_tunnel_to_silence(session: pooledhttp.Session) -> None:
    """The proxy connects, the target's handshake stalls."""

    def tunnel(peer: Peer) -> None:
        peer.read_head()
        peer.send(CONNECT_OK)
        peer.wait_closed()

    with ScriptedServer(tunnel) as server:
        with prompt(OVER), pytest.raises(ConnectTimeout):
            session.get(
                "https://127.0.0.1:1/",
                timeout=Timeout(total=TOTAL),
                proxies={"https": f"http://127.0.0.1:{server.port}"},
            )
        session.close()


class Names:
    """A name server in place of the system's: `slow...` names answer when released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(host)
        if str(host).startswith("slow"):
            self.released.wait(20)
        return self._real("127.0.0.1", port, *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names(monkeypatch)
    yield names
    names.released.set()


@pytest.mark.parametrize(
    "timeout",
    [Timeout(total=TOTAL), TOTAL, Timeout(connect=TOTAL)],
    ids=["total", "float", "connect"],
)
def test_a_slow_name_server(session: pooledhttp.Session, names: Names, timeout: Any) -> None:
    """A lookup that does not end is a ConnectTimeout which says so."""
    host = f"slow-{id(timeout)}.example"
    with prompt(OVER), pytest.raises(ConnectTimeout, match=f"looking up {host}"):
        session.get(f"http://{host}/", timeout=timeout)


def test_slow_names_do_not_delay_a_fast_one(session: pooledhttp.Session, names: Names) -> None:
    """Sixteen names hang at once; another is looked up meanwhile."""
    threads = [
        threading.Thread(target=_swallow, args=(session, f"http://slow{number}.example/"))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    with ScriptedServer(answering(respond(b"x"))) as server:
        with prompt(TOTAL + 0.7):
            answer = session.get(f"http://fast.example:{server.port}/", timeout=Timeout(total=1))
        assert answer.content == b"x"
        for thread in threads:
            thread.join()
        session.close()


def _swallow(session: pooledhttp.Session, url: str) -> None:
    with pytest.raises(ConnectTimeout):
        session.get(url, timeout=Timeout(total=TOTAL))


def test_waiting_for_a_place() -> None:
    """The wait for a connection counts, and says what it waited for."""
    config = pooledhttp.PoolConfig(max_per_host=1)
    with ScriptedServer(answering(respond(b"x" * 100_000_000, length=None))) as server:
        with pooledhttp.Session(pool=config) as session:
            held = session.get(server.url(), stream=True)
            with prompt(OVER), pytest.raises(PoolTimeout, match=str(server.port)) as caught:
                session.get(server.url(), timeout=Timeout(total=TOTAL))
            assert isinstance(caught.value, pooledhttp.Timeout)
            assert isinstance(caught.value, ConnectionError)
            held.close()


# ---- more than one exchange


def test_redirects_share_the_total(session: pooledhttp.Session) -> None:
    """A chain of hops, each of them in time, ends with the total."""
    hops = itertools.count()

    def slow_hop(seen: object) -> bytes:
        time.sleep(0.08)
        return respond(b"", {"Location": f"/{next(hops)}"}, status=302)

    with ScriptedServer(answering(slow_hop)) as server:
        with prompt(OVER), pytest.raises(pooledhttp.Timeout):
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        session.close()
    assert 2 <= next(hops) <= 5


@pytest.mark.parametrize(
    "answer",
    [
        respond(b"", {"Retry-After": "30"}, status=503),
        respond(b"", status=503),
        b"",
    ],
    ids=["retry-after", "backoff", "no-answer"],
)
def test_retries_never_sleep_past_the_total(answer: bytes) -> None:
    """A wait that would outlast the deadline is not begun."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        peer.close()

    policy = pooledhttp.Retry(5, status_forcelist=[503], backoff_factor=30)
    policy.rng = type("Long", (), {"uniform": staticmethod(lambda low, high: high)})()  # type: ignore[assignment]
    with ScriptedServer(handle) as server, pooledhttp.Session(retries=policy) as session:
        with prompt(OVER), pytest.raises(pooledhttp.RequestException):
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        assert len(server.requests) == 1


def test_the_sessions_timeout_is_the_default() -> None:
    """`Session(timeout=...)` holds unless a call brings its own."""
    with ScriptedServer(silent) as server:
        with pooledhttp.Session(timeout=Timeout(total=0.1)) as session:
            with prompt(0.4), pytest.raises(ReadTimeout):
                session.get(server.url())
            with prompt(0.6), pytest.raises(ReadTimeout, match=r"0\.3"):
                session.get(server.url(), timeout=0.3)


def test_a_timeout_object_can_be_used_many_times(session: pooledhttp.Session) -> None:
    """The total starts anew with every call."""
    timeout = Timeout(total=TOTAL)
    with ScriptedServer(answering(lambda seen: time.sleep(0.1) or respond(b"x"))) as server:
        for _ in range(5):
            assert session.get(server.url(), timeout=timeout).content == b"x"
        session.close()


def test_a_float_is_no_total(session: pooledhttp.Session) -> None:
    """As in requests, a plain number is the longest silence."""
    with ScriptedServer(says(HEAD.replace(b"1000", b"20") + b"\r\n", slowly=b"z" * 20)) as server:
        assert session.get(server.url(), timeout=0.2).content == b"z" * 20
        session.close()


@pytest.mark.parametrize("timeout", [(1,), (1, 2, 3), "fast", 0, -1, (0, 1)])
def test_timeouts_that_make_no_sense(session: pooledhttp.Session, timeout: Any) -> None:
    """A wrong timeout is a ValueError before anything is sent."""
    with pytest.raises(ValueError):
        session.get("http://127.0.0.1:1/", timeout=timeout)


_EXIT = """
import socket, sys, threading, time
import pooledhttp
real = socket.getaddrinfo
def slow(host, *args, **kwargs):
    if str(host).startswith("slow"):
        time.sleep(60)
    return real("127.0.0.1", *args, **kwargs)
socket.getaddrinfo = slow
port = int(sys.argv[1])
urls = [f"http://slow{n}.example/" for n in range(16)]
urls += [f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/"]
session = pooledhttp.Session()
took = []
def one(url):
    started = time.monotonic()
    try:
        session.get(url, timeout=pooledhttp.Timeout(total=0.5))
    except pooledhttp.Timeout:
        took.append(time.monotonic() - started)
threads = [threading.Thread(target=one, args=(url,)) for url in urls]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(took) == len(urls), took
assert max(took) < 0.9, took
print(time.time(), flush=True)
"""


def test_the_interpreter_exits_at_once() -> None:
    """Abandoned lookups, handshakes and reads do not hold up the end of the process."""
    with ScriptedServer(silent) as server:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _EXIT, str(server.port)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        ended = time.time()
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert ended - float(run.stdout) < 0.5


def test_an_interrupt_while_waiting_ends_the_wait() -> None:
    """Ctrl-C while waiting for a head ends at once, and the connection is closed."""
    code = """
import signal, sys, pooledhttp
signal.setitimer(signal.ITIMER_REAL, 0.3)
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
session = pooledhttp.Session(pool=pooledhttp.PoolConfig(max_per_host=1))
try:
    session.get(sys.argv[1], timeout=20)
except KeyboardInterrupt:
    assert session.pool.stats().total.active == 0
    print("interrupted")
"""
    with ScriptedServer(silent) as server:
        run = subprocess.run(
            [sys.executable, "-c", code, server.url()],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        server.wait_all_closed()
    assert run.stdout == "interrupted\n", run.stderr
