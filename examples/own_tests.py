"""Tests of one's own code: what it does when a server is slow, busy, or breaks off.

Run it: python examples/own_tests.py    (or: pytest examples/own_tests.py)
"""

from __future__ import annotations

from pooledhttp import RequestException, Retry, Session
from pooledhttp.testing import MockAdapter

URL = "https://api.example.com/price"


def price_of(session: Session) -> float | None:
    """The code under test: a price, or None if it cannot be had in time."""
    try:
        response = session.get(URL, timeout=3)
        response.raise_for_status()
        return float(response.json()["price"])
    except RequestException:
        return None


def session_with(mock: MockAdapter) -> Session:
    """A session as the program makes it, whose servers the test plays."""
    session = Session(retries=Retry(2, status_forcelist=[503]))
    session.mount("https://", mock)
    return session


def test_a_busy_server_is_asked_again() -> None:
    """The pause that the server asks for is kept, and takes no time here."""
    mock = MockAdapter()
    mock.add("GET", URL, fault="503 with Retry-After")
    mock.add("GET", URL, json={"price": 9.5})
    assert price_of(session_with(mock)) == 9.5
    assert mock.slept >= 1


def test_a_silent_server_gives_no_price() -> None:
    """Three attempts, each ended by the timeout."""
    mock = MockAdapter()
    mock.add("GET", URL, fault="stall")
    assert price_of(session_with(mock)) is None
    mock.assert_sent("GET", URL, times=3)


if __name__ == "__main__":
    test_a_busy_server_is_asked_again()
    test_a_silent_server_gives_no_price()
    print("both tests passed")
