"""Requests at the moment when the server closes an idle connection.

All times are a twentieth of real ones: a server with a keep-alive of 5 s keeps connections for
0.25 s here.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from pooledhttp import Session
from tests.support.counting import CountingServer

KEEPS_SECONDS = 0.25


class Senders:
    """Threads that send requests one by one, with pauses close to the limit of the server."""

    def __init__(self, session: Session, server: CountingServer, method: str, turns: int) -> None:
        self.errors: list[BaseException] = []
        self.sent: Counter[str] = Counter()
        self._session = session
        self._server = server
        self._method = method
        self._turns = turns

    def run(self, threads: int) -> None:
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()

    def _work(self, number: int) -> None:
        source = random.Random(number)
        pause = threading.Event()
        for turn in range(self._turns):
            target = f"/{number}-{turn}"
            self.sent[f"{self._method} {target}"] += 1
            try:
                response = self._session.request(
                    self._method, self._server.url(target), data=b"x", timeout=10
                )
                assert response.content == f"{self._method} {target}".encode()
            except BaseException as error:
                self.errors.append(error)
            if turn < self._turns - 1:
                pause.wait(KEEPS_SECONDS + source.uniform(-0.004, 0.004))


@pytest.mark.parametrize("hint", [None, "timeout=1"], ids=["unannounced", "announced-wrongly"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("threads", "turns"), [(8, 3), pytest.param(20, 150, marks=pytest.mark.long)]
)
def test_requests_at_the_edge(method: str, hint: str | None, threads: int, turns: int) -> None:
    """No request fails and none is executed twice, although the server closes connections."""
    # On a busy machine the first request may come late: the server waits for it, however long.
    server = CountingServer(idle_seconds=KEEPS_SECONDS, hint=hint, waits_for_first=True)
    with server, Session() as session:
        for _ in range(2):  # the pool learns from a first close
            session.get(server.url("/first"))
            server.wait_until(lambda: not server.open_count, "the close")
        senders = Senders(session, server, method, turns)
        senders.run(threads)
        total = session.pool.stats().total
    print(
        f"\n{method}: {len(senders.sent)} sent, {len(senders.errors)} failed,"
        f" {server.idle_closes} idle closes, {total.stale_found} found dead,"
        f" {total.replays} replayed, {total.reused} reused"
    )
    first = Counter({"GET /first": 2})
    twice = {what: count for what, count in (server.executed - first).items() if count > 1}
    assert twice == {}
    assert senders.errors == []
    assert server.executed == senders.sent + first


def reuse_after_third(
    send: Callable[[int], object], server: CountingServer, pause_seconds: float, count: int
) -> float:
    """Send so many requests with pauses; return the part that reused, after the third."""
    pause = threading.Event()
    opened = 0
    for number in range(count):
        if number == 3:
            opened = server.accepted.total()
        send(number)
        pause.wait(pause_seconds)
    return 1 - (server.accepted.total() - opened) / (count - 3)


@pytest.mark.long
def test_posts_with_pauses_are_reused() -> None:
    """A POST every 3 s to a server that keeps connections for 45 s.

    The pauses are longer than the trust at the start, which is not scaled.
    """
    with CountingServer(idle_seconds=45) as server, Session() as session:
        began = time.monotonic()
        reuse = reuse_after_third(lambda _: session.post(server.url(), data=b"x"), server, 3.0, 6)
        print(f"\nreuse after the third: {reuse:.2f}, {time.monotonic() - began:.1f} s")
    assert reuse >= 0.9


@pytest.mark.long
@pytest.mark.timeout(300)
def test_posts_every_five_seconds() -> None:
    """The same in real time: a POST every 5 s, to a server that keeps connections for 75 s."""
    with CountingServer(idle_seconds=75) as server, Session() as session:
        reuse = reuse_after_third(lambda _: session.post(server.url(), data=b"x"), server, 5.0, 23)
        print(f"\nreuse after the third: {reuse:.2f}")
    assert reuse >= 0.9
