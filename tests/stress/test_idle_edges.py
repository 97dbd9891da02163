"""Requests that come just when the server gives up on an idle connection.

Everything is at a twentieth of life's scale: a server with a keep-alive of 5 s keeps connections
for 0.25 s here.
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


class Crew:
    """Threads that send one request after the other, with pauses around the server's limit."""

    def __init__(self, session: Session, server: CountingServer, method: str, turns: int) -> None:
        self.errors: list[BaseException] = []
        self.sent: Counter[str] = Counter()
        self._session = session
        self._server = server
        self._method = method
        self._turns = turns

    def run(self, threads: int) -> None:
        crew = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()

    def _work(self, number: int) -> None:
        dice = random.Random(number)
        pause = threading.Event()
        for turn in range(self._turns):
            target = f"/{number}-{turn}"
            self.sent[f"{self._method} {target}"] += 1
            try:
                answer = self._session.request(
                    self._method, self._server.url(target), data=b"x", timeout=10
                )
                assert answer.content == f"{self._method} {target}".encode()
            except BaseException as error:
                self.errors.append(error)
            if turn < self._turns - 1:
                pause.wait(KEEPS_SECONDS + dice.uniform(-0.004, 0.004))


@pytest.mark.parametrize("hint", [None, "timeout=1"], ids=["unannounced", "announced-wrongly"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("threads", "turns"), [(8, 3), pytest.param(20, 150, marks=pytest.mark.long)]
)
def test_requests_at_the_edge(method: str, hint: str | None, threads: int, turns: int) -> None:
    """No failure and no request executed twice, though connections close under them."""
    # A machine that holds both up between a dial and its request must not make the server close.
    server = CountingServer(idle_seconds=KEEPS_SECONDS, hint=hint, waits_for_first=True)
    with server, Session() as session:
        for _ in range(2):  # a first close, met by one that may be repeated: now it is known
            session.get(server.url("/first"))
            server.wait_until(lambda: not server.open_count, "the close")
        crew = Crew(session, server, method, turns)
        crew.run(threads)
        total = session.pool.stats().total
    print(
        f"\n{method}: {len(crew.sent)} sent, {len(crew.errors)} failed, {server.idle_closes} idle"
        f" closes, {total.stale_found} found dead, {total.replays} replayed,"
        f" {total.reused} reused"
    )
    first = Counter({"GET /first": 2})
    twice = {what: count for what, count in (server.executed - first).items() if count > 1}
    assert twice == {}
    assert crew.errors == []
    assert server.executed == crew.sent + first


def reuse_after_third(
    send: Callable[[int], object], server: CountingServer, pause_seconds: float, count: int
) -> float:
    """Send that many with a pause in between; the part of them after the third without a dial."""
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
    """A POST every 3 s to a server that keeps connections for long.

    The pauses are longer than what is trusted before anything is known, which is not scaled.
    """
    with CountingServer(idle_seconds=45) as server, Session() as session:
        began = time.monotonic()
        reuse = reuse_after_third(lambda _: session.post(server.url(), data=b"x"), server, 3.0, 6)
        print(f"\nreuse after the third: {reuse:.2f}, {time.monotonic() - began:.1f} s")
    assert reuse >= 0.9


@pytest.mark.long
@pytest.mark.timeout(300)
def test_posts_every_five_seconds() -> None:
    """The same at life's own scale: every 5 s, to a server that keeps 75 s."""
    with CountingServer(idle_seconds=75) as server, Session() as session:
        reuse = reuse_after_third(lambda _: session.post(server.url(), data=b"x"), server, 5.0, 23)
        print(f"\nreuse after the third: {reuse:.2f}")
    assert reuse >= 0.9
