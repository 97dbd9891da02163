"""A record is a frozen dataclass with slots to its users, and costs little to define."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from pooledhttp.records import field, record, replace


@record
class Point:
    """Two numbers, a label that does not count, and tags."""

    x: int
    y: int = 2
    label: str = field(default="", compare=False, repr=False)
    tags: list[str] = field(default_factory=list, hash=False)
    total: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


@dataclasses.dataclass(frozen=True, slots=True)
class Twin:
    """The same as a dataclass."""

    x: int
    y: int = 2
    label: str = dataclasses.field(default="", compare=False, repr=False)
    tags: list[str] = dataclasses.field(default_factory=list, hash=False)
    total: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


@record(frozen=False)
class Counter:
    """A record whose fields change."""

    count: int = 0


@record(eq=False)
class Token:
    """A record that equals only itself."""

    name: str


@pytest.mark.parametrize(
    "look",
    [
        lambda kind: repr(kind(1)).partition("(")[2],
        lambda kind: (kind(1).y, kind(1, 3).y, kind(1, y=4).total, kind(1).tags),
        lambda kind: kind(1) == kind(1, label="x"),
        lambda kind: (kind(1) == kind(2), kind(1) != kind(2), kind(1) == (1, 2)),
        lambda kind: hash(kind(1)) == hash(kind(1, tags=["a"])),
        lambda kind: kind(1).tags is kind(1).tags,
        lambda kind: kind.__match_args__,
        lambda kind: kind.__slots__,
        lambda kind: hasattr(kind(1), "__dict__"),
        lambda kind: dataclasses.is_dataclass(kind),
        lambda kind: [
            (f.name, f.type, f.init, f.repr, f.compare, f.hash in (None, f.compare))
            for f in dataclasses.fields(kind)
        ],
        lambda kind: dataclasses.asdict(kind(1, tags=["a"])),
        lambda kind: dataclasses.replace(kind(1), x=5).total,
        lambda kind: list(inspect.signature(kind).parameters),
        lambda kind: inspect.get_annotations(kind),
    ],
)
def test_a_record_behaves_as_a_dataclass(look: Any) -> None:
    """Construction, comparison, text and what `dataclasses` reads are the same."""
    assert look(Point) == look(Twin)


@pytest.mark.parametrize("arguments", [(), (1, 2, "", [], 5), (1, 2, 3, 4, 5, 6)])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    """Missing and surplus arguments are a TypeError, as those of any function."""
    with pytest.raises(TypeError, match=r"Point\.__init__\(\)"):
        Point(*arguments)


def test_a_frozen_record_cannot_be_changed() -> None:
    """Fields can be neither set nor deleted, and no other attribute can be added."""
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError, match="'z'"):
        point.z = 2  # type: ignore[attr-defined]


def test_a_subclass_can_have_attributes_of_its_own() -> None:
    """A plain subclass of a frozen record sets what is no field."""

    class Named(Point):
        pass

    named = Named(1)
    named.name = "n"  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        named.x = 2  # type: ignore[misc]
    assert (named.name, named != Point(1)) == ("n", True)  # type: ignore[attr-defined]


def test_a_dataclass_can_inherit_from_a_record() -> None:
    """`dataclasses.dataclass` reads the fields of a base that is a record."""

    @dataclasses.dataclass(frozen=True)
    class Solid(Token):
        z: int = 3

    assert (Solid("n").z, Solid("n").name, Solid("n", 4).z) == (3, "n", 4)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_are_equal(again: Any) -> None:
    """A record is copied and pickled with all its fields."""
    point = Point(1, label="l", tags=["a"])
    other = again(point)
    assert (other, other.label, other.total) == (point, "l", 3)


def test_replace_changes_some_fields() -> None:
    """What is not named stays; what `__init__` does not take is refused."""
    point = Point(1, label="l")
    assert (replace(point, y=5).total, replace(point, y=5).label) == (6, "l")
    with pytest.raises(TypeError):
        replace(point, total=1)
    with pytest.raises(TypeError):
        replace(point, z=1)


def test_a_record_that_is_not_frozen_has_no_hash() -> None:
    """It can be changed, so it is equal by value and not hashable."""
    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)


def test_a_record_without_comparison_is_compared_by_identity() -> None:
    """With `eq=False` it is hashable, and equal to itself alone."""
    token = Token("a")
    assert {token: 1}[token] == 1
    assert token != Token("a")
