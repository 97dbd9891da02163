"""Attributes that are made when they are read first.

Few programs read every attribute of a response, and some of them cost more than the request. A lazy
attribute is like any other one otherwise: it can be set and deleted, and it is there for `vars`,
`dir`, `copy` and `pickle`, which first make what was not read yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["LazyAttributes", "attributes_of", "lazy", "set_attributes"]


class _Lazy:
    """Makes the value on first use. Without `__set__`, so that a value that is there is found."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type[LazyAttributes], name: str) -> None:
        self._name = name
        owner._lazy_names = (*owner._lazy_names, name)

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        # Not a plain assignment: two threads that read first get the same object.
        return attributes_of(instance).setdefault(self._name, self._make(instance))


def lazy(make: Callable[[Any], Any]) -> Any:
    """Declare an attribute whose value is what `make` returns for the object."""
    return _Lazy(make)


class _Stored:
    """Has the `__dict__` of every object: only the attributes that are stored in it."""


#: Returns what is stored in an object, without making what is not.
attributes_of: Callable[[Any], dict[str, Any]] = _Stored.__dict__["__dict__"].__get__
#: Sets what is stored in an object.
set_attributes: Callable[[Any, dict[str, Any]], None] = _Stored.__dict__["__dict__"].__set__


class LazyAttributes(_Stored):
    """The base of a class with lazy attributes."""

    _lazy_names: tuple[str, ...] = ()

    def _filled(self) -> dict[str, Any]:
        """Make the lazy attributes, and return all attributes."""
        for name in self._lazy_names:
            getattr(self, name)
        return attributes_of(self)

    __dict__ = property(_filled)
