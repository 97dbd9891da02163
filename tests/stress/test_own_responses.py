"""Each response belongs to its request, whatever happens to the connections."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import pooledhttp
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, chunked, respond


def echo(seen: SeenRequest) -> bytes:
    """Return a response with the target in its body, framed in one of two ways."""
    body = seen.target.encode() * 20
    if seen.target.endswith("0"):
        return chunked([body[:7], body[7:]])
    return respond(body)


def echoing(peer: Peer) -> None:
    """Respond to any number of requests."""
    while True:
        peer.send(echo(peer.read_request()))


def unreliable(peer: Peer) -> None:
    """Respond a few times, then close in one of four ways."""
    dice = random.Random(peer.number)
    for _ in range(dice.randint(1, 30)):
        peer.send(echo(peer.read_request()))
    last = peer.read_request()
    match dice.randint(0, 3):
        case 0:
            peer.send(echo(last))
            peer.close()
        case 1:
            peer.send(echo(last))
            peer.reset()
        case 2:
            peer.send(echo(last) + respond(b"poison"))
            peer.wait_closed()
        case _:
            peer.close()


def fetch_all(server: ScriptedServer, count: int, threads: int) -> None:
    """Send requests from many threads, and check that each gets its own response."""
    with pooledhttp.Session() as session, ThreadPoolExecutor(threads) as workers:

        def one(number: int) -> str | None:
            target = f"/token-{number}"
            if number % 7 == 0:
                with session.get(server.url(target), stream=True, timeout=20) as response:
                    body = b"".join(response.iter_content(13))
            else:
                body = session.get(server.url(target), timeout=20).content
            return None if body == target.encode() * 20 else f"{target} got {body!r}"

        wrong = [result for result in workers.map(one, range(count)) if result]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("handler", [echoing, unreliable])
def test_each_response_belongs_to_its_request(handler: object) -> None:
    """1,000 requests from 64 threads over one session."""
    before = open_descriptors()
    with ScriptedServer(handler) as server:  # type: ignore[arg-type]
        fetch_all(server, 1_000, 64)
        assert not server.errors
    assert not wait_until_closed(before)
    assert threading.active_count() < 40


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("handler", [echoing, unreliable])
def test_each_of_20000_responses_belongs_to_its_request(handler: object) -> None:
    """20,000 requests from 64 threads over one session."""
    with ScriptedServer(handler) as server:  # type: ignore[arg-type]
        fetch_all(server, 20_000, 64)
