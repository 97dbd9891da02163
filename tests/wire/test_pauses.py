"""A process that is frozen and thaws, as on AWS Lambda, and one that is shut down."""

from __future__ import annotations

import pytest

import pooledhttp
from tests.support.scripted import Peer, ScriptedServer, answering, respond


@pytest.mark.parametrize("is_noticed", [True, False], ids=["closed", "silent"])
def test_a_frozen_function_thaws(is_noticed: bool) -> None:
    """The clock stood still, and the idle connection is dead: a GET succeeds all the same.

    The close has arrived, or it comes as the response to the first bytes on the dead connection.
    """

    def dies(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"before"))
        if is_noticed:
            peer.close()
        else:
            peer.read_request()
            peer.reset()

    with ScriptedServer([dies, answering(respond(b"after"))]) as server:
        with pooledhttp.Session() as session:
            assert session.get(server.url("/")).text == "before"
            if is_noticed:
                server.wait_all_closed()
            assert session.get(server.url("/")).text == "after"
            total = session.pool.stats().total
            assert (total.stale_found, total.created) == (1, 2)


def test_a_post_after_a_thaw_needs_close_idle() -> None:
    """As the page says: what is idle is closed first, so the POST goes over a new connection."""
    with ScriptedServer(answering(respond(b"x"))) as server, pooledhttp.Session() as session:
        session.get(server.url("/"))
        session.pool.close_idle()
        session.post(server.url("/"), json={})
        assert [seen.connection for seen in server.requests] == [0, 1]


def test_drain_waits_for_the_response_that_is_read() -> None:
    """New requests are refused at once; the one in progress reads its body to the end."""
    with ScriptedServer(answering(respond(b"x" * 100_000))) as server:
        session = pooledhttp.Session()
        response = session.get(server.url("/"), stream=True)
        assert session.pool.drain(timeout=0) is False
        with pytest.raises(pooledhttp.exceptions.PoolClosed):
            session.get(server.url("/"))
        assert len(response.content) == 100_000
        assert session.pool.drain(timeout=5) is True
