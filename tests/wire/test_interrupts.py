"""An exception out of a signal handler at each point of a whole request.

Points are those at which Python runs signal handlers; see `tests.support.interrupts`. The default
run tries some points of each kind of request, and `-m long` all of them.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest

import pooledhttp
from pooledhttp import PoolConfig
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.network.resolve import default_resolver
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors
from tests.support.interrupts import interrupt_at, last_point
from tests.support.patience import wait_until
from tests.support.scripted import Handler, Peer, ScriptedServer, respond

#: The files whose points count: the package, and what it uses to connect and to wait.
PACKAGE = str(Path(pooledhttp.__file__).parent) + os.sep
LIBRARY = (ssl.__file__, socket.__file__, threading.__file__)

#: The longest time of one point, with the request after it.
POINT_SECONDS = 15.0

#: The default run tries each n-th point.
STRIDE = 61

Action = Callable[[pooledhttp.Session, str], object]


#: Their own tests raise real signals: a point behind a call is none where that is of Python code.
LOCKS = str(Path(pooledhttp.__file__).parent / "runtime" / "locks.py")


def counts(code: CodeType) -> bool:
    file = code.co_filename
    return (file.startswith(PACKAGE) and file != LOCKS) or file in LIBRARY


# -- what is interrupted


def read(session: pooledhttp.Session, url: str) -> None:
    assert session.get(url, timeout=5).content == b"hello"


def dial(session: pooledhttp.Session, url: str) -> None:
    session.pool.close_idle()
    read(session, url)


def drop(session: pooledhttp.Session, url: str) -> None:
    response = session.get(url, timeout=5, stream=True)
    del response


def close(session: pooledhttp.Session, url: str) -> None:
    with session.get(url, timeout=5, stream=True) as response:
        assert response.raw.read(2) == b"he"


def stream(session: pooledhttp.Session, url: str) -> None:
    assert b"".join(session.get(url, timeout=5, stream=True).iter_content(2)) == b"hello"


def upload(session: pooledhttp.Session, url: str) -> None:
    assert session.post(url, data=io.BytesIO(b"x" * 100_000), timeout=5).content == b"hello"


def redirect(session: pooledhttp.Session, url: str) -> None:
    assert session.get(url + "moved", timeout=5).content == b"hello"


def wait_in_vain(session: pooledhttp.Session, url: str) -> None:
    with session.get(url, timeout=5, stream=True), pytest.raises(PoolTimeout):
        session.get(url, timeout=pooledhttp.Timeout(pool=0.002))


# -- how the server responds


def keep_open(peer: Peer) -> None:
    while True:
        seen = peer.read_request()
        if seen.target == "/moved":
            peer.send(respond(b"", {"Location": "/"}, status=302))
        else:
            peer.send(respond(b"hello"))


def close_idle(peer: Peer) -> None:
    """Close as soon as the connection is idle: the client finds it dead, or replays."""
    peer.read_request()
    peer.send(respond(b"hello"))


KINDS: dict[str, tuple[Action, Handler, bool]] = {
    "reused": (read, keep_open, False),
    "dialled": (dial, keep_open, False),
    "dialled-tls": (dial, keep_open, True),
    "dropped": (drop, keep_open, False),
    "dropped-tls": (drop, keep_open, True),
    "closed-early": (close, keep_open, False),
    "streamed": (stream, keep_open, False),
    "uploaded": (upload, keep_open, False),
    "redirected": (redirect, keep_open, False),
    "stale": (read, close_idle, False),
    "without-place": (wait_in_vain, keep_open, False),
}


# -- what must hold after each interrupt


def connected(port: int) -> int:
    """Return how many sockets of this process are connected to a port."""
    count = 0
    for number, target in open_descriptors().items():
        if target.startswith("socket:"):
            # The server may close its side meanwhile.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
                count += sock.getpeername()[1] == port
    return count


class Trial:
    """Interrupts an action at one point after the other, and looks for what that has lost.

    Args:
        action: What is interrupted.
        server: Where it goes.
        verify: The CA bundle of the server.
    """

    def __init__(self, action: Action, server: ScriptedServer, verify: str) -> None:
        self._action = action
        self._port = server.port
        self._url = server.url("/", host="localhost")
        self._verify = verify
        self._session = self._open()
        self.found: list[str] = []
        self.points = 0

    def run(self, stride: int) -> None:
        """Try each n-th point, and then end the session."""
        for number in itertools.count(1, stride):
            if not self._try(number):
                break
            self.points += 1
        self._session.close()

    def _open(self) -> pooledhttp.Session:
        session = pooledhttp.Session(pool=PoolConfig(max_per_host=1, acquire_timeout=5))
        session.trust_env = False
        session.verify = self._verify
        read(session, self._url)
        return session

    def _try(self, number: int) -> bool:
        session = self._session
        try:
            is_interrupted = interrupt_at(
                number, lambda: self._action(session, self._url), counts, "signal"
            )
            # The sweeper takes back a lease whose finalizer did not run, within a second.
            wait_until(lambda: not session.pool.stats().total.active, "the end of the lease")
            idle = session.pool.stats().total.idle
            wait_until(lambda: connected(self._port) == idle, "the end of the connection", 0.5)
            read(session, self._url)
        except BaseException as error:
            self.found.append(f"{last_point()}: {error!r}")
            session.close()
            self._session = self._open()
            return True
        return is_interrupted


def watch(trial: Trial, stride: int) -> None:
    """Run a trial; fail at once, with the point, if one takes too long."""
    thread = threading.Thread(target=trial.run, args=(stride,), daemon=True)
    thread.start()
    points = -1
    while thread.is_alive():
        thread.join(POINT_SECONDS)
        assert trial.points > points or not thread.is_alive(), f"it hangs after {last_point()}"
        points = trial.points


@pytest.fixture(params=KINDS)
def trial(
    request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trial]:
    """A trial of one kind of request; no name may be in use after it."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # pytest's keeps frames alive
    action, handler, is_tls = KINDS[request.param]
    with ScriptedServer(handler, tls=authority.server_context() if is_tls else None) as server:
        yield Trial(action, server, authority.bundle)
    names = default_resolver()
    wait_until(lambda: not (names._inbox or names._flights or names._running), "the last lookup")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_interrupt_at_some_points_of_a_request_loses_nothing(trial: Trial) -> None:
    """No place, descriptor or name is lost, and the next request works."""
    watch(trial, STRIDE)
    assert not trial.found
    assert trial.points >= 120 // STRIDE


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_interrupt_at_any_point_of_a_request_loses_nothing(trial: Trial) -> None:
    """No place, descriptor or name is lost, and the next request works."""
    watch(trial, 1)
    assert not trial.found
    assert trial.points >= 120
