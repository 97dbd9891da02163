"""Who hears of events, and what happens when a listener fails."""

from __future__ import annotations

import dataclasses
import logging
import threading
import typing

import pytest

from pooledhttp import events
from pooledhttp.events import Event, IdleOverflow, Listeners, Replayed

EVENT = IdleOverflow("https://example.org:443")


def test_nobody_listening_is_false() -> None:
    """`if listeners:` spares building the event."""
    listeners = Listeners()
    assert not listeners
    listeners.emit(EVENT)
    listeners.add(lambda event: None)
    assert listeners
    assert len(listeners) == 1
    assert repr(listeners) == "<Listeners 1>"


def test_all_hear_every_event_in_order() -> None:
    """Listeners are called in the order in which they came."""
    heard: list[tuple[str, Event]] = []
    listeners = Listeners([lambda e: heard.append(("a", e)), lambda e: heard.append(("b", e))])
    other = Replayed("https://example.org:443", "GET")
    listeners.emit(EVENT)
    listeners.emit(other)
    assert heard == [("a", EVENT), ("b", EVENT), ("a", other), ("b", other)]


def test_a_failing_listener_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The next one is still told; the failure is a warning once, and quiet from then on."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("boom")

    listeners = Listeners([broken, heard.append, broken])
    with caplog.at_level(logging.DEBUG, "pooledhttp.events"):
        for _ in range(3):
            listeners.emit(EVENT)
    assert heard == [EVENT] * 3
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING] * 2 + [logging.DEBUG] * 4
    assert "boom" in caplog.text


def test_ctrl_c_in_a_listener_is_not_swallowed() -> None:
    """Only ordinary errors are kept from the request."""

    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Listeners([interrupted]).emit(EVENT)


def test_listeners_come_and_go_while_events_are_emitted() -> None:
    """One may remove itself when called; what is not there cannot be removed."""
    heard: list[Event] = []
    listeners = Listeners()

    def once(event: Event) -> None:
        heard.append(event)
        listeners.remove(once)

    listeners.add(once)
    listeners.add(heard.append)
    listeners.emit(EVENT)
    listeners.emit(EVENT)
    assert len(heard) == 3
    with pytest.raises(ValueError, match="is not listening"):
        listeners.remove(once)


def test_adding_from_many_threads_loses_none() -> None:
    """There is no lock to be held, and nothing is lost for it."""
    listeners = Listeners()

    def add() -> None:
        for _ in range(200):
            listeners.add(lambda event: None)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listeners) == 800


@pytest.mark.parametrize("kind", typing.get_args(Event))
def test_every_kind_is_a_frozen_value_about_an_origin(kind: type) -> None:
    """Events can be compared and kept, but not changed, and say first whom they are about."""
    fields = dataclasses.fields(kind)
    assert fields[0].name == "origin"
    values = {field.name: "x" for field in fields}
    one, other = kind(**values), kind(**values)
    assert one == other
    assert hash(one) == hash(other)
    assert not hasattr(one, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.origin = "y"
    assert kind.__name__ in events.__all__
