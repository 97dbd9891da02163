"""`pooledhttp.testing`: canned responses, assertions and faults, over the real pool and retries."""

from __future__ import annotations

from typing import Any

import pytest

import pooledhttp
from pooledhttp.testing import MockAdapter

API = "https://api.example.com"


def mocked(mock: MockAdapter, **options: Any) -> pooledhttp.Session:
    """A session without any other adapter."""
    session = pooledhttp.Session(**options)
    for prefix in ("https://", "http://"):
        session.mount(prefix, mock)
    return session


def test_canned_responses_over_the_real_pool() -> None:
    """JSON, text, bytes and statuses come back; one connection serves them all."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", json={"n": 1}, headers={"X-A": "b"})
    mock.add("POST", f"{API}/b", status=201, text="ä")
    mock.add("DELETE", f"{API}/c", status=204)
    mock.add("HEAD", f"{API}/d", content=b"xyz")
    with mocked(mock) as session:
        first = session.get(f"{API}/a?q=1")
        assert (first.json(), first.headers["x-a"], first.reason) == ({"n": 1}, "b", "Ok")
        assert session.post(f"{API}/b", json={"x": 2}).text == "ä"
        assert session.delete(f"{API}/c").status_code == 204
        assert session.head(f"{API}/d").headers["Content-Length"] == "3"
        total = mock.pool.stats().total
        assert (total.created, total.reused) == (1, 3)
    assert mock.assert_sent("POST", f"{API}/b", times=1).json() == {"x": 2}
    assert mock.assert_sent("GET", f"{API}/a").url == f"{API}:443/a?q=1"
    mock.assert_all_used()


def test_replies_come_in_order_and_the_last_one_stays() -> None:
    """A query of its own goes before the URL without a query."""
    mock = MockAdapter()
    for number in (1, 2):
        mock.add("GET", f"{API}/a", json=number)
    mock.add("GET", f"{API}/a?page=2", json="page")
    with mocked(mock) as session:
        urls = [f"{API}/a", f"{API}/a?page=2", f"{API}/a", f"{API}/a?page=3"]
        assert [session.get(url).json() for url in urls] == [1, "page", 2, 2]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_is_seen_as_it_was_meant(streamed: bool) -> None:
    """Chunks and `Expect: 100-continue` are undone."""
    mock = MockAdapter()
    mock.add("PUT", f"{API}/a")
    data: Any = iter([b"one", b"two"]) if streamed else b"onetwo"
    with mocked(mock) as session:
        session.put(f"{API}/a", data=data, headers={"Expect": "100-continue"})
    assert mock.assert_sent("PUT", f"{API}/a").body == b"onetwo"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse", pooledhttp.ConnectionError),
        ("stall", pooledhttp.ReadTimeout),
        ("stall in body", pooledhttp.ReadTimeout),
        ("reset", pooledhttp.ConnectionError),
        ("cut body", pooledhttp.exceptions.ChunkedEncodingError),
    ],
)
def test_a_fault_raises_what_the_network_would(fault: Any, error: type[Exception]) -> None:
    """Without retries the caller gets the error, at once."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", fault=fault)
    with mocked(mock) as session, pytest.raises(error):
        session.get(f"{API}/a", timeout=30)
    assert mock.slept == pytest.approx(30 if "stall" in fault else 0, abs=1)


@pytest.mark.parametrize("fault", ["refuse", "stall", "reset", "cut body", "503 with Retry-After"])
def test_a_retry_survives_a_fault(fault: Any) -> None:
    """The retries of the session are used, with their pauses, which take no time."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", fault=fault)
    mock.add("GET", f"{API}/a", json="good")
    with mocked(mock, retries=pooledhttp.Retry(1, status_forcelist=[503])) as session:
        assert session.get(f"{API}/a", timeout=30).json() == "good"
    mock.assert_all_used()
    if fault == "503 with Retry-After":
        assert 1 <= mock.slept < 3


def test_a_total_timeout_runs_on_the_same_clock() -> None:
    """Pauses and stalls use up the whole of a call's time."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", fault="stall")
    retries = pooledhttp.Retry(9, backoff_factor=0)
    with mocked(mock, retries=retries) as session:
        with pytest.raises(pooledhttp.exceptions.Timeout):
            session.get(f"{API}/a", timeout=pooledhttp.Timeout(total=60, read=25))
    assert mock.slept == pytest.approx(60, abs=1)
    assert len(mock.requests) == 3


def test_a_stall_without_a_timeout_is_a_mistake() -> None:
    """The test fails where the program would hang."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", fault="stall")
    with mocked(mock) as session, pytest.raises(AssertionError, match="would wait forever"):
        session.get(f"{API}/a")


def test_a_reset_of_a_kept_connection_is_replayed() -> None:
    """As for a server that closes an idle connection."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a")
    mock.add("GET", f"{API}/a", fault="reset")
    mock.add("GET", f"{API}/a", json="again")
    with mocked(mock) as session:
        session.get(f"{API}/a")
        assert session.get(f"{API}/a").json() == "again"
        assert mock.pool.stats().total.replays == 1


def test_idle_connections_end_with_time() -> None:
    """`advance` moves the clock of the pool."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a")
    with mocked(mock) as session:
        session.get(f"{API}/a")
        mock.advance(3600)
        session.get(f"{API}/a")
        assert mock.pool.stats().total.created == 2


def test_what_is_missing_is_said() -> None:
    """A request without a reply, a reply without a request, and a wrong fault."""
    mock = MockAdapter()
    mock.add("GET", f"{API}/a", json=1)
    with mocked(mock) as session:
        with pytest.raises(AssertionError, match="No reply was added to GET https://api"):
            session.get(f"{API}/b")
    with pytest.raises(AssertionError, match="no request got: .*/a"):
        mock.assert_all_used()
    with pytest.raises(AssertionError, match="was sent 0 times"):
        mock.assert_sent("GET", f"{API}/a")
    wrong: Any = "boom"
    with pytest.raises(ValueError, match="fault must be one of refuse, stall"):
        mock.add("GET", f"{API}/a", fault=wrong)
    with pytest.raises(ValueError, match="whole URL"):
        mock.add("GET", "/a")
