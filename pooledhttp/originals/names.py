"""Some names of a class or module, and the values that they had at first."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

__all__ = ["Originals", "settle_attributes"]


def settle_attributes(instance: Any) -> None:
    """Store the attributes of an object in a table of its own. To be called once most are set.

    Python keeps the attributes of an object in a form that is fast to read, until someone asks for
    its `__dict__`, as `Originals.are_used_by` does. CPython 3.11 takes four times as long then, but
    not for a table that the object does not share with others of its class.
    """
    object.__setattr__(instance, "__dict__", dict(instance.__dict__))


class Originals:
    """Remembers the values of names, to see later whether they were overridden or replaced.

    All names are read at once, each time: that costs less than half a microsecond for ten names,
    and sees a patch that is made after the first request, or that ends. Each request asks several
    times, so both questions are written out.

    Args:
        owner: The class or module, as it was defined.
        first: A name in it.
        *more: Further names.
    """

    __slots__ = ("_clean", "_names", "_read", "_values")

    def __init__(self, owner: Any, first: str, *more: str) -> None:
        names = (first, *more)
        self._names = frozenset(names)
        self._read = attrgetter(*names)
        #: One value, or a tuple of several.
        self._values: object = self._read(owner)
        #: The attributes of the last instance that had none of the names. Comparing lists of the
        #: same strings takes a quarter of the time that looking for each name does.
        self._clean: list[str] = []

    @property
    def names(self) -> frozenset[str]:
        """The names of the methods that are compared."""
        return self._names

    def are_in(self, owner: Any) -> bool:
        """Whether the class or module has the original values; the class may be a subclass.

        It has not if a name is missing, as in a class that stands in for another one.
        """
        read = self._read  # into a local: Python would look up a method of that name, at a cost
        try:
            return read(owner) == self._values
        except AttributeError:
            return False

    def are_used_by(self, instance: Any) -> bool:
        """Whether an object has none of the names for itself, and its class the original values."""
        attributes = [*instance.__dict__]
        if attributes != self._clean:
            if not self._names.isdisjoint(attributes):
                return False
            self._clean = attributes
        read = self._read
        try:
            return read(type(instance)) == self._values
        except AttributeError:
            return False
