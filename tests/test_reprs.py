"""What a debugger, a log and a failed assertion show is short."""

from __future__ import annotations

import pytest

import pooledhttp
from pooledhttp import HostLimits, PoolConfig, Retry, Timeout, bulk
from pooledhttp.testing import MockAdapter


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (PoolConfig(), "PoolConfig()"),
        (PoolConfig(max_per_host=8, idle_timeout=None), None),
        (Timeout(total=3), None),
        (bulk.Job("https://a/", key=7, data=b"x"), "Job('https://a/', data=b'x', key=7)"),
        (bulk.Job.of("https://a/"), "Job('https://a/')"),
        (HostLimits(max_per_host=2), None),
        (Retry(3), None),
        (bulk.Tally(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_settings_show_what_was_given(thing: object, shown: str | None) -> None:
    """What is as usual is left out, and the text is code that makes an equal one."""
    text = repr(thing)
    assert shown in (None, text)
    assert len(text) < 80
    if isinstance(thing, (PoolConfig, bulk.Job)):
        assert eval(text, {"PoolConfig": PoolConfig, "Job": bulk.Job}) == thing


def test_a_session_at_work() -> None:
    """Each object that a user meets takes less than a line."""
    with pooledhttp.Session() as session:
        mock = MockAdapter()
        mock.add("POST", "https://a.example/x", text="abc")
        session.mount("https://", mock)
        response = session.post("https://a.example/x", data=b"1234")
        stats = session.pool.stats()
        things = [session, session.pool, stats, stats.total, stats.total.wait, response]
        things += [response.request, response.raw, session.adapters["http://"]]
        assert [repr(thing) for thing in things if len(repr(thing)) > 79] == []
        assert str(stats).count("\n") == 2
        assert repr(mock) == "<MockAdapter 1 sent>"
        assert repr(mock.requests[0]) == "<SentRequest POST https://a.example:443/x, 4 bytes>"
