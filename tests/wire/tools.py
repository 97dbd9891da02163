"""What the tables of misbehaving servers share: one case, and how it is played."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import pooledhttp
from pooledhttp import exceptions
from tests.support.scripted import Handler, Peer, ScriptedServer, answering, respond
from tests.support.stopwatch import Stopwatch

#: Longest time of an exchange that ends by a response or by its own error, not by a timeout.
PROMPT_SECONDS = 2.0

#: How a response ends on the server's side: it waits for more requests, or closes in some way.
Then = Callable[[Peer], None]

Expected = bytes | type[BaseException] | tuple[type[BaseException], ...]

SAME, NEW = b"over the same connection", b"over a new connection"


def keep(peer: Peer) -> None:
    """Respond to every later request on the same connection."""
    answering(respond(SAME))(peer)


def close(peer: Peer) -> None:
    """Close with FIN."""
    peer.close()


def reset(peer: Peer) -> None:
    """Close with RST."""
    peer.reset()


@dataclass(frozen=True)
class Case:
    """What a server says to one request, and what has to come of it.

    Args:
        name: What is wrong with it; the test's id.
        sends: The bytes of the response.
        expect: The body, or the class of the error.
        reused: Whether the next request may go over the same connection; None where both are fine.
        then: What the server does after its response.
        method: Of the request.
        status: Of the response, checked unless None.
    """

    name: str
    sends: bytes
    expect: Expected = b"hello"
    reused: bool | None = False
    then: Then = keep
    method: str = "GET"
    status: int | None = None


def table(*cases: Case) -> Any:
    """Parametrize a test with cases, named."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def first_then_new(first: Handler) -> list[Handler]:
    """`first` handles the first connection; a second one gets a good response."""
    return [first, answering(respond(NEW))]


def play(case: Case, session: pooledhttp.Session, **how: Any) -> None:
    """Run a case: the expected outcome comes in time, and no connection in doubt is reused."""

    def misbehave(peer: Peer) -> None:
        peer.read_request()
        peer.send(case.sends)
        case.then(peer)

    with ScriptedServer(first_then_new(misbehave)) as server:
        with prompt():
            outcome(case, session, server, **how)
        with prompt():
            again = session.get(server.url("/again"), timeout=PROMPT_SECONDS)
        assert again.content in (SAME, NEW)
        if case.reused is not None:
            assert again.content == (SAME if case.reused else NEW)
        session.close()
        assert server.unexpected == 0


def outcome(
    case: Case, session: pooledhttp.Session, server: ScriptedServer, **how: Any
) -> pooledhttp.Response | None:
    """Send the request of a case and check what comes back."""
    how = {"timeout": PROMPT_SECONDS, "allow_redirects": False, **how}
    if isinstance(case.expect, bytes):
        answer = session.request(case.method, server.url("/"), **how)
        assert answer.content == case.expect
        if case.status is not None:
            assert answer.status_code == case.status
        return answer
    with pytest.raises(case.expect) as caught:
        session.request(case.method, server.url("/"), **how)
    assert isinstance(caught.value, exceptions.RequestException)
    assert not isinstance(caught.value, exceptions.Timeout) or how["timeout"] != PROMPT_SECONDS
    names_origin(caught.value, server)
    return None


def names_origin(error: BaseException, server: ScriptedServer) -> None:
    """A message tells which server it is about."""
    assert str(server.port) in str(error), f"no origin in {error}"


@contextlib.contextmanager
def prompt(seconds: float = PROMPT_SECONDS) -> Iterator[None]:
    """Fail a block that takes longer than `seconds`; what the machine took away does not count."""
    with Stopwatch() as watch:
        yield
    assert watch.seconds < seconds, f"took {watch.seconds:.2f} s"
