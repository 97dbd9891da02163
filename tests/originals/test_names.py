"""Names are compared with the values that they had at first, each time."""

from __future__ import annotations

import pytest

from pooledhttp.originals import Originals, settle_attributes


class Base:
    def step(self) -> str:
        return "base"

    def other(self) -> str:
        return "other"


class Plain(Base):
    extra = 1


class Overriding(Base):
    def step(self) -> str:
        return "mine"


STEP = Originals(Base, "step")


def test_a_plain_subclass_has_the_original_values() -> None:
    """Other attributes of a subclass, and other methods, have no say."""
    assert STEP.are_used_by(Base()) and STEP.are_used_by(Plain())


def test_a_subclass_an_instance_and_a_patch_are_seen() -> None:
    """Also a patch that is made later, and its end."""
    assert not STEP.are_used_by(Overriding())
    thing = Base()
    thing.step = lambda: "patched"  # type: ignore[method-assign]
    assert not STEP.are_used_by(thing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Base, "step", lambda self: "patched")
        assert not STEP.are_used_by(Plain())
    assert STEP.are_used_by(Plain())


def test_an_instance_that_was_looked_at_before_is_looked_at_again() -> None:
    """Other attributes that it gets make no difference; one of the names does, until it is gone."""
    thing, other = Base(), Base()
    assert STEP.are_used_by(thing) and STEP.are_used_by(other)
    thing.more = 1  # type: ignore[attr-defined]
    assert STEP.are_used_by(thing) and STEP.are_used_by(other)
    thing.step = lambda: "patched"  # type: ignore[method-assign]
    assert not STEP.are_used_by(thing) and STEP.are_used_by(other)
    assert not STEP.are_used_by(thing)
    del thing.step
    assert STEP.are_used_by(thing)


class Noting(Base):
    """Notes which attributes are set, as proxies and mocks do."""

    def __init__(self) -> None:
        super().__setattr__("noted", [])
        self.one = 1
        settle_attributes(self)
        self.two = 2

    def __setattr__(self, name: str, value: object) -> None:
        self.noted.append(name)  # type: ignore[attr-defined]
        super().__setattr__(name, value)


def test_settled_attributes_are_those_of_before() -> None:
    """They can be set, deleted and listed; a `__setattr__` of the class hears nothing of it."""
    thing = Noting()
    assert vars(thing) == {"noted": ["one", "two"], "one": 1, "two": 2}
    assert STEP.are_used_by(thing)
    del thing.one
    thing.step = lambda: "patched"  # type: ignore[method-assign]
    assert list(vars(thing)) == ["noted", "two", "step"] and not STEP.are_used_by(thing)


def test_a_class_without_the_name_has_not_the_original() -> None:
    """As one that stands in for another: it is no error to ask."""
    assert not STEP.are_in(object)
    assert not STEP.are_used_by(type("StandIn", (), {})())
