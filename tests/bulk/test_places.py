"""Places at a host, and the time that is waited for them."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.halting import HaltableRuntime, Halted
from pooledhttp.bulk.placed_adapter import PlacedAdapter
from pooledhttp.bulk.places import Places
from pooledhttp.bulk.rates import Rates
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Timeout
from tests.support.patience import wait_until

BASE = default_runtime()


def taken(places: Places) -> dict[str, int]:
    """Return how many places are taken, where some are."""
    return {
        place.name: place.taken
        for place in (*places._places.values(), *places._proxies.values())
        if place.taken
    }


def waiting(places: Places) -> dict[str, int]:
    """Return how many wait for places, where some do."""
    return {
        place.name: len(place.waiting)
        for place in (*places._places.values(), *places._proxies.values())
        if place.waiting
    }


def in_thread(act: Any) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_a_place_is_handed_to_the_one_that_waits_longest() -> None:
    """And no other passes it."""
    places = Places(1, BASE)
    order: list[int] = []
    places.enter("a")
    threads = []
    for number in range(3):

        def visit(number: int = number) -> None:
            places.enter("a")
            order.append(number)
            places.leave()

        threads.append(in_thread(visit))
        wait_until(lambda n=number: waiting(places) == {"a": n + 1})  # type: ignore[misc]
    assert order == []
    places.leave()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2]
    assert taken(places) == {} and waiting(places) == {}


def test_a_thread_has_one_place_at_a_time() -> None:
    """Going to another host gives the first back; staying costs nothing."""
    places = Places(1, BASE)
    places.enter("a")
    places.enter("a")
    places.enter("b")
    other = in_thread(lambda: (places.enter("a"), places.leave()))
    other.join(10)
    assert not other.is_alive()
    assert taken(places) == {"b": 1}
    places.leave()
    places.leave()
    assert taken(places) == {}


def test_a_proxy_has_places_of_its_own() -> None:
    """Whatever the hosts behind it; both places are given back together."""
    places = Places(3, BASE, per_proxy=2)
    order: list[str] = []

    def visit(origin: str) -> None:
        places.enter(origin, "http://proxy")
        order.append(origin)
        wait_until(lambda: free)
        places.leave()

    free: list[bool] = []
    threads = [in_thread(lambda host=host: visit(host)) for host in "abcd"]  # type: ignore[misc]
    wait_until(lambda: waiting(places).get("http://proxy") == 2)
    assert len(order) == 2 and taken(places)["http://proxy"] == 2
    places.enter("a")  # without the proxy
    places.leave()
    free.append(True)
    for thread in threads:
        thread.join(10)
    assert sorted(order) == list("abcd") and taken(places) == {} and waiting(places) == {}


def test_a_host_that_refuses_has_fewer_places_for_a_while() -> None:
    """Those who hold one keep it; the next ones wait until there are few enough again."""
    places = Places(4, BASE)
    told: list[tuple[str, int]] = []
    places.on_limit = lambda origin, limit: told.append((origin, limit))
    go: list[bool] = []
    inside: list[int] = []

    def visit(number: int) -> None:
        places.enter("a")
        inside.append(number)
        wait_until(lambda: len(go) > number)
        places.note("a", is_refused=number < 3)
        places.leave()

    threads = [in_thread(lambda n=number: visit(n)) for number in range(4)]  # type: ignore[misc]
    wait_until(lambda: len(inside) == 4)
    go += [True] * 3  # three refusals together count once
    wait_until(lambda: taken(places)["a"] == 1)
    assert told == [("a", 2)]
    threads += [in_thread(lambda n=number: visit(n)) for number in (4, 5)]  # type: ignore[misc]
    wait_until(lambda: len(inside) == 5 and bool(waiting(places).get("a")))
    go += [True] * 3  # two successes add a place
    for thread in threads:
        thread.join(10)
    assert sorted(inside) == list(range(6)) and taken(places) == {}
    assert told == [("a", 2), ("a", 3)]


@pytest.mark.parametrize(("status", "is_refused"), [(200, 0), (404, 0), (429, 1), (503, 1)])
def test_a_refusal_is_a_status_or_a_refused_connection(
    monkeypatch: pytest.MonkeyPatch, status: int, is_refused: int
) -> None:
    """Any other error says nothing about how much a host bears."""
    noted: list[bool] = []
    places = Places(4, BASE)
    monkeypatch.setattr(places, "note", lambda origin, is_refused: noted.append(is_refused))
    adapter = PlacedAdapter(places, BASE.now)
    responses: list[Any] = [SimpleNamespace(status_code=status)]

    def send(*args: object, **settings: object) -> Any:
        if isinstance(responses[0], Exception):
            raise responses[0]
        return responses[0]

    monkeypatch.setattr(HTTPAdapter, "send", send)
    request: Any = SimpleNamespace(url="http://a/")
    adapter.send(request)
    refused = pooledhttp.ConnectionError("x")
    refused.__cause__ = ConnectionRefusedError()
    for error in (refused, pooledhttp.ConnectionError("y"), pooledhttp.ReadTimeout("z")):
        responses[0] = error
        with pytest.raises(type(error)):
            adapter.send(request)
    assert noted == [bool(is_refused), True]


def test_the_turn_of_a_request_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it is sent, at the host that it is sent to; the wait is counted as any other."""
    slept: list[float] = []
    runtime = HaltableRuntime(BASE)
    monkeypatch.setattr(runtime, "now", lambda: 100.0)
    monkeypatch.setattr(runtime, "sleep", slept.append)
    places = Places(None, runtime, rates=Rates(per_host=2.0))
    waited = [places.enter("a"), places.enter("a"), places.enter("b")]
    assert slept == [0.5] and waited == [0.0, 0.5, 0.5] and places.leave() == 0.5
    runtime.close()


def test_without_a_limit_no_thread_waits() -> None:
    """No place is counted."""
    places = Places(None, BASE)
    assert places.enter("a") == 0.0 and places.leave() == 0.0


def test_a_run_that_is_halted_ends_the_wait() -> None:
    """Not at some later time."""
    runtime = HaltableRuntime(BASE)
    places = Places(1, runtime)
    places.enter("a")
    ended: list[str] = []

    def visit() -> None:
        try:
            places.enter("a")
        except Halted:
            ended.append("halted")

    thread = in_thread(visit)
    wait_until(lambda: bool(waiting(places)))
    runtime.halt()
    thread.join(10)
    assert ended == ["halted"]
    runtime.close()


def test_the_wait_adds_to_no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter gives the request as much time as it would have had without the wait."""
    seen: list[Any] = []

    def send(self: object, request: object, timeout: object = None, **rest: object) -> Any:
        seen.append(timeout)
        return SimpleNamespace(status_code=200)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    clock = [100.0]
    places = Places(1, BASE)
    monkeypatch.setattr(places, "enter", lambda origin, proxy: 40.0)
    adapter = PlacedAdapter(places, lambda: clock[0])
    running = Timeout(total=50, connect=3, read=4).start(lambda: clock[0])
    clock[0] += 45.0  # 40 of them in the line
    adapter.send(SimpleNamespace(url="http://a/"), timeout=running)  # type: ignore[arg-type]
    (given,) = seen
    assert (given.connect, given.read) == (3, 4)
    assert given.deadline.remaining() == pytest.approx(45.0)
    adapter.send(SimpleNamespace(url="http://a/"), timeout=(3, 4))  # type: ignore[arg-type]
    assert seen[1] == (3, 4)
