"""One deadline for everything that a server, a proxy or a name server can delay.

The peers here are slow on purpose. What costs a second each is tried side by side, every call on a
thread of its own (`Trial`), while one stopwatch runs: all of it is over when the second is.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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
from tests.support.commands import ROOT, run_python
from tests.support.scripted import Handler, Peer, ScriptedServer, answering, chunked, respond
from tests.support.stopwatch import Stopwatch
from tests.wire.tools import first_then_new, names_origin

#: The total that is given, and the time by which the call has to be over.
TOTAL, OVER = 1.0, 1.2

#: What one slow byte costs: far less than any timeout per operation.
PACE = 0.05

# ---- trials


class Trial:
    """One call that has to end in time, and what it needs around it.

    Args:
        play: Sets the peer up, makes the call under `ends`, and checks what is left to check.
    """

    def __init__(self, play: Callable[[Trial, pooledhttp.Session], None]) -> None:
        self.play = play
        #: What the call took.
        self.seconds: float | None = None
        self.failure: BaseException | None = None
        self.watch: Stopwatch

    @contextlib.contextmanager
    def ends(
        self, error: type[Exception] | None = None, match: str | None = None
    ) -> Iterator[list[BaseException]]:
        """Time a block, which has to raise `error` unless that is None; yields what it raised."""
        raised: list[BaseException] = []
        began = self.watch.seconds
        try:
            if error is None:
                yield raised
            else:
                with pytest.raises(error, match=match) as caught:
                    yield raised
                raised.append(caught.value)
        finally:
            self.seconds = self.watch.seconds - began

    def run(self) -> None:
        """Play, on a thread of its own."""
        try:
            with pooledhttp.Session() as session:
                self.play(self, session)
        except BaseException as failure:
            self.failure = failure


TRIALS: dict[str, Trial] = {}
Play = Callable[..., None]


def trial(*cases: Any) -> Callable[[Play], Play]:
    """Register a function as a trial for each case, a tuple of its further arguments by name."""

    def register(play: Play) -> Play:
        for name, *arguments in cases or [("",)]:
            full = f"{play.__name__}[{name}]" if name else play.__name__
            TRIALS[full] = Trial(
                lambda trial, session, given=tuple(arguments): play(trial, session, *given)
            )
        return play

    return register


def side_by_side(trials: Iterable[Trial]) -> None:
    """Play all of them at once."""
    with Stopwatch() as watch:
        threads = []
        for each in trials:
            each.watch = watch
            threads.append(threading.Thread(target=each.run, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> dict[str, Trial]:
    """The trials that were selected, all over."""
    here = [item for item in request.session.items if item.path == request.path]
    wanted = {item.callspec.params.get("name") for item in here if hasattr(item, "callspec")}
    chosen = {name: each for name, each in TRIALS.items() if name in wanted}
    with slow_names():
        side_by_side(chosen.values())
    return chosen


# ---- slow peers


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
    """Respond with `data` at once, then with `slowly` byte by byte, then with nothing."""

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


def tls_trickle(peer: Peer) -> None:
    """A TLS record that never comes to its end."""
    peer.sock.recv(1)
    trickle(peer, b"\x16\x03\x03\x02\x00" + bytes(512))


@contextlib.contextmanager
def slow_names() -> Iterator[None]:
    """A name server in place of the system's: lookups of `slow...` names do not end in time."""
    released = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).startswith("slow"):
            released.wait(20)
        return real("127.0.0.1", port, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield
        released.set()


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose host no longer replies to a SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            each = stack.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port


BIG = b"x" * 30_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
LONG = b"y" * 1000

# ---- the response


@trial(
    ("silence", silent, ReadTimeout),
    ("half-a-head", says(HEAD), ReadTimeout),
    ("trickled-head", says(b"HTTP/1.1 200 OK\r\nX: ", slowly=LONG), ReadTimeout),
    ("trickled-interims", says(b"", slowly=b"HTTP/1.1 100 Continue\r\n\r\n" * 40), ReadTimeout),
    ("no-body", says(HEAD + b"\r\n"), ConnectionError),
    ("half-a-body", says(HEAD + b"\r\nhalf"), ConnectionError),
    ("trickled-body", says(HEAD + b"\r\n", slowly=LONG), ConnectionError),
    ("trickled-chunks", says(chunked([], end=False), slowly=b"1\r\na\r\n" * 99), ConnectionError),
    ("trickled-to-the-end", says(b"HTTP/1.1 200 OK\r\n\r\n", slowly=LONG), ConnectionError),
    (
        "trickled-trailer",
        says(chunked([b"x"], end=False) + b"0\r\n", slowly=b"X: " + LONG),
        ConnectionError,
    ),
)
def answer(
    trial: Trial, session: pooledhttp.Session, handler: Handler, error: type[Exception]
) -> None:
    """A trickling server does not outlive the total, and its connection is closed."""
    with ScriptedServer(first_then_new(handler)) as server:
        with trial.ends(error, "total") as raised:
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        names_origin(raised[0], server)
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()


@trial(("all", None), ("bytes", 1), ("pieces", 100))
def streamed_answer(trial: Trial, session: pooledhttp.Session, chunk_size: int | None) -> None:
    """The total runs while the caller reads, and ends a trickle in the middle of iteration."""
    with ScriptedServer(says(HEAD + b"\r\n", slowly=LONG)) as server:
        with trial.ends(ConnectionError, "total"):
            answer = session.get(server.url(), stream=True, timeout=Timeout(total=TOTAL))
            assert answer.ok
            for _ in answer.iter_content(chunk_size):
                pass
        assert session.pool.stats().total.active == 0
        session.close()


@trial()
def silences_are_no_total(trial: Trial, session: pooledhttp.Session) -> None:
    """As in requests, a plain number is the longest silence, not the whole."""
    body = b"z" * int(1.4 / PACE)
    head = HEAD.replace(b"1000", b"%d" % len(body)) + b"\r\n"
    with ScriptedServer(says(head, slowly=body)) as server:
        assert session.get(server.url(), timeout=1.0).content == body
        session.close()


# ---- the upload


@trial(
    *(
        (f"{how}-{what}", handler, body)
        for how, handler in (("stall", deaf), ("slow", reads_slowly))
        for what, body in (
            ("bytes", lambda: BIG),
            ("file", lambda: io.BytesIO(BIG)),
            ("pieces", lambda: (BIG[:100_000] for _ in range(300))),
        )
    )
)
def upload(
    trial: Trial, session: pooledhttp.Session, handler: Handler, body: Callable[[], Any]
) -> None:
    """An upload that is not read ends with a Timeout that is also a ConnectionError."""
    with ScriptedServer(handler) as server:
        data = body()
        with trial.ends(WriteTimeout) as raised:
            session.post(server.url(), data=data, timeout=Timeout(total=TOTAL))
        assert isinstance(raised[0], pooledhttp.ConnectionError)
        assert isinstance(raised[0], pooledhttp.Timeout)
        names_origin(raised[0], server)
        session.close()


@trial()
def stalled_upload_meets_the_read_timeout_too(trial: Trial, session: pooledhttp.Session) -> None:
    """A plain number bounds writing as well: requests would wait forever."""
    with ScriptedServer(deaf) as server:
        with trial.ends(WriteTimeout, "write timeout"):
            session.post(server.url(), data=BIG, timeout=0.8)
        session.close()


@trial()
def slow_upload_that_makes_progress(trial: Trial, session: pooledhttp.Session) -> None:
    """Timeouts per operation start again with each piece, so a slow body is not cut off."""

    def steady(peer: Peer) -> None:
        head = peer.read_head()
        left = int(head.header("content-length") or 0)
        while left > 0:
            left -= len(peer.reader.exactly(min(left, 1_000_000)))
            time.sleep(0.03)
        peer.send(respond(b"taken"))

    with ScriptedServer(steady) as server:
        assert session.post(server.url(), data=BIG, timeout=0.7).content == b"taken"
        session.close()


# ---- before the request


@trial(
    ("total", Timeout(total=TOTAL)),
    ("float", TOTAL),
    ("tuple", (TOTAL, 5)),
    ("connect", Timeout(connect=TOTAL)),
)
def into_a_black_hole(trial: Trial, session: pooledhttp.Session, timeout: Any) -> None:
    """A host that does not reply is a ConnectTimeout."""
    with black_hole() as port, trial.ends(ConnectTimeout, str(port)):
        session.get(f"http://127.0.0.1:{port}/", timeout=timeout)


@trial(
    ("stall-total", silent, Timeout(total=TOTAL)),
    ("stall-float", silent, TOTAL),
    ("trickle-total", tls_trickle, Timeout(total=TOTAL)),
    ("trickle-float", tls_trickle, TOTAL),
)
def tls_handshake(
    trial: Trial, session: pooledhttp.Session, handler: Handler, timeout: Any
) -> None:
    """A handshake that does not end is a ConnectTimeout."""
    with ScriptedServer(handler) as server:
        with trial.ends(ConnectTimeout, "handshake"):
            session.get(f"https://127.0.0.1:{server.port}/", timeout=timeout)
        session.close()


@trial(
    *(
        (f"{scheme}-{target}-{how}", scheme, target, handler)
        for scheme in ("http", "https", "socks5", "socks4", "socks5h")
        for target in ("http", "https")
        for how, handler in (("stall", silent), ("trickle", tls_trickle))
    )
)
def proxy(
    trial: Trial, session: pooledhttp.Session, scheme: str, target: str, handler: Handler
) -> None:
    """A proxy of any kind that delays its reply does not exceed the total."""
    with ScriptedServer(handler) as server:
        proxies = {"all": f"{scheme}://127.0.0.1:{server.port}"}
        with trial.ends(pooledhttp.RequestException) as raised:
            session.get(f"{target}://127.0.0.1:1/", timeout=Timeout(total=TOTAL), proxies=proxies)
        assert isinstance(raised[0], (pooledhttp.Timeout, ConnectionError))
        session.close()


@trial()
def tunnel_to_silence(trial: Trial, session: pooledhttp.Session) -> None:
    """The proxy connects, the target's handshake stalls."""

    def tunnel(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.wait_closed()

    with ScriptedServer(tunnel) as server:
        proxies = {"https": f"http://127.0.0.1:{server.port}"}
        with trial.ends(ConnectTimeout):
            session.get("https://127.0.0.1:1/", timeout=Timeout(total=TOTAL), proxies=proxies)
        session.close()


@trial(
    *((str(number), Timeout(total=TOTAL)) for number in range(16)),
    ("float", TOTAL),
    ("connect", Timeout(connect=TOTAL)),
)
def slow_name(trial: Trial, session: pooledhttp.Session, timeout: Any) -> None:
    """A lookup that does not end is a ConnectTimeout which says so; sixteen at once, too."""
    host = f"slow-{id(trial)}.example"
    with trial.ends(ConnectTimeout, f"looking up {host}"):
        session.get(f"http://{host}/", timeout=timeout)


@trial()
def fast_name(trial: Trial, session: pooledhttp.Session) -> None:
    """A fast name is found while all the slow ones hang."""
    with ScriptedServer(answering(respond(b"x"))) as server, trial.ends():
        answer = session.get(f"http://fast.example:{server.port}/", timeout=Timeout(total=TOTAL))
        assert answer.content == b"x"
        session.close()


@trial()
def place_in_the_pool(trial: Trial, session: pooledhttp.Session) -> None:
    """The wait for a connection counts, and says what it waited for."""
    config = pooledhttp.PoolConfig(max_per_host=1)
    with ScriptedServer(says(HEAD + b"\r\n")) as server:
        with pooledhttp.Session(pool=config) as session:
            held = session.get(server.url(), stream=True)
            with trial.ends(PoolTimeout, str(server.port)) as raised:
                session.get(server.url(), timeout=Timeout(total=TOTAL))
            assert isinstance(raised[0], pooledhttp.Timeout)
            assert isinstance(raised[0], ConnectionError)
            held.close()


# ---- more than one exchange


@trial()
def redirects(trial: Trial, session: pooledhttp.Session) -> None:
    """A chain of hops, each of them in time, ends with the total."""
    hops = itertools.count()

    def slow_hop(seen: object) -> bytes:
        time.sleep(0.3)
        return respond(b"", {"Location": f"/{next(hops)}"}, status=302)

    with ScriptedServer(answering(slow_hop)) as server:
        with trial.ends(pooledhttp.Timeout):
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        session.close()
    assert 2 <= next(hops) <= 4


@trial()
def sessions_timeout(trial: Trial, session: pooledhttp.Session) -> None:
    """`Session(timeout=...)` holds unless a call brings its own."""
    with ScriptedServer(silent) as server:
        with pooledhttp.Session(timeout=Timeout(total=TOTAL)) as session:
            with pytest.raises(ReadTimeout, match=r"0\.2"):
                session.get(server.url(), timeout=0.2)
            with trial.ends(ReadTimeout, "total"):
                session.get(server.url())


@trial()
def timeout_object_used_many_times(trial: Trial, session: pooledhttp.Session) -> None:
    """The total starts again with every call."""
    timeout = Timeout(total=TOTAL)
    with ScriptedServer(answering(lambda seen: time.sleep(0.35) or respond(b"x"))) as server:
        for _ in range(4):
            assert session.get(server.url(), timeout=timeout).content == b"x"
        session.close()


@pytest.mark.parametrize("name", TRIALS)
def test_over_in_time(played: dict[str, Trial], name: str) -> None:
    """Every kind of slowness ends after its second with the right error, all at once."""
    over = played[name]
    if over.failure is not None:
        raise over.failure
    assert over.seconds is None or over.seconds < OVER, f"took {over.seconds:.2f} s"


# ---- what costs no time


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
        with Stopwatch() as watch, pytest.raises(pooledhttp.RequestException):
            session.get(server.url(), timeout=Timeout(total=TOTAL))
        assert watch.seconds < OVER
        assert len(server.requests) == 1


@pytest.mark.parametrize("timeout", [(1,), (1, 2, 3), "fast", 0, -1, (0, 1)])
def test_timeouts_that_make_no_sense(session: pooledhttp.Session, timeout: Any) -> None:
    """A wrong timeout is a ValueError before anything is sent."""
    with pytest.raises(ValueError):
        session.get("http://127.0.0.1:1/", timeout=timeout)


# ---- the end of the process

_EXIT = """
import socket, sys, threading, time
import pooledhttp
from tests.support.stopwatch import Stopwatch
real = socket.getaddrinfo
def slow(host, *args, **kwargs):
    if str(host).startswith("slow"):
        time.sleep(60)
    return real("127.0.0.1", *args, **kwargs)
socket.getaddrinfo = slow
silent, trickling, hole = sys.argv[1:]
urls = [f"http://slow{n}.example/" for n in range(16)]
urls += [f"http://127.0.0.1:{silent}/", f"https://127.0.0.1:{silent}/"]
urls += [f"http://127.0.0.1:{trickling}/", f"http://127.0.0.1:{hole}/"]
session = pooledhttp.Session()
took = {}
def one(url):
    began, began_at = watch.seconds, time.monotonic()
    try:
        session.get(url, timeout=pooledhttp.Timeout(total=1))
    except (pooledhttp.Timeout, pooledhttp.ConnectionError):
        took[url] = watch.seconds - began
        assert time.monotonic() - began_at >= 1
with Stopwatch() as watch:
    threads = [threading.Thread(target=one, args=(url,)) for url in urls]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
assert took.keys() == set(urls), took
assert max(took.values()) < 1.2, took
print(time.time(), flush=True)
"""

#: A wait for one of the abandoned calls takes 20 s or more; a busy machine needs time.
AT_ONCE_SECONDS = 2.0


def run_apart(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    return run_python("-W", "ignore", "-c", code, *map(str, arguments), cwd=ROOT, seconds=20)


def test_the_interpreter_exits_at_once() -> None:
    """Abandoned lookups, dials, handshakes and reads do not hold up the end of the process."""
    with (
        ScriptedServer(silent) as mute,
        ScriptedServer(says(HEAD + b"\r\n", slowly=LONG)) as trickling,
        black_hole() as hole,
    ):
        run = run_apart(_EXIT, mute.port, trickling.port, hole)
        ended = time.time()
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert ended - float(run.stdout) < AT_ONCE_SECONDS


def test_an_interrupt_while_waiting_ends_the_wait() -> None:
    """Ctrl-C while waiting for a head ends at once, and the connection is closed."""
    code = """
import os, signal, sys, pooledhttp
session = pooledhttp.Session(pool=pooledhttp.PoolConfig(max_per_host=1))
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
try:
    session.get(f"{sys.argv[1]}{os.getpid()}", timeout=15)
except KeyboardInterrupt:
    assert session.pool.stats().total.active == 0
    print("interrupted")
"""

    def interrupting(peer: Peer) -> None:
        os.kill(int(peer.read_request().target.strip("/")), signal.SIGALRM)
        peer.wait_closed()

    with ScriptedServer(interrupting) as server:
        run = run_apart(code, server.url())
        server.wait_all_closed()
    assert run.stdout == "interrupted\n", run.stderr
