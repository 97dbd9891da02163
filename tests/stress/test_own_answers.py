"""Whatever happens to connections, a response belongs to its request."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import pooledhttp
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, chunked, respond


def echo(seen: SeenRequest) -> bytes:
    """Say the target back, framed in one of several ways."""
    body = seen.target.encode() * 20
    if seen.target.endswith("0"):
        return chunked([body[:7], body[7:]])
    return respond(body)


def echoing(peer: Peer) -> None:
    """Answer for ever."""
    while True:
        peer.send(echo(peer.read_request()))


def unreliable(peer: Peer) -> None:
    """Answer a few times, then go: politely, rudely, with rubbish behind, or when asked again."""
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
    """Every thread checks that each answer is the one to its own request."""
    with pooledhttp.Session() as session, ThreadPoolExecutor(threads) as crew:

        def one(number: int) -> str | None:
            target = f"/token-{number}"
            if number % 7 == 0:
                with session.get(server.url(target), stream=True, timeout=20) as answer:
                    body = b"".join(answer.iter_content(13))
            else:
                body = session.get(server.url(target), timeout=20).content
            return None if body == target.encode() * 20 else f"{target} got {body!r}"

        wrong = [result for result in crew.map(one, range(count)) if result]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("handler", [echoing, unreliable])
def test_each_response_is_its_own_requests(handler: object) -> None:
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
def test_each_of_20000_responses_is_its_own_requests(handler: object) -> None:
    """20,000 requests from 64 threads over one session."""
    with ScriptedServer(handler) as server:  # type: ignore[arg-type]
        fetch_all(server, 20_000, 64)
