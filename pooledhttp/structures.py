"""Two small containers: header fields, and names for numbers.

`CaseInsensitiveDict` holds header fields. It finds names in any case, and gives each in the
spelling in which it was last stored, in the order in which names were first stored. `LookupDict`
holds names that are read as attributes or as items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pooledhttp.loading import find_imported as _find_imported

__all__ = ["CaseInsensitiveDict", "LookupDict", "wrong_name"]

V = TypeVar("V")
D = TypeVar("D")


class CaseInsensitiveDict(MutableMapping[str, V], Generic[V]):
    """A mapping whose keys match in any case and keep the spelling in which they were last set.

    Args:
        data: The first entries: a mapping, or pairs of name and value. `None` for none.
        **kwargs: Further names and values, stored after `data`.
    """

    _store: dict[str, tuple[str, V]]

    def __init__(
        self, data: Mapping[str, V] | Iterable[tuple[str, V]] | None = None, **kwargs: V
    ) -> None:
        self._store = {}
        if data is not None or kwargs:
            self.update(() if data is None else data, **kwargs)

    def __setitem__(self, key: str, value: V) -> None:
        try:
            self._store[key.lower()] = (key, value)
        except AttributeError:
            raise wrong_name(key) from None

    def __getitem__(self, key: str) -> V:
        return self._store[key.lower()][1]

    def __delitem__(self, key: str) -> None:
        del self._store[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return (spelling for spelling, _ in self._store.values())

    def __len__(self) -> int:
        return len(self._store)

    @overload
    def get(self, key: str, default: None = None) -> V | None: ...
    @overload
    def get(self, key: str, default: V | D) -> V | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        if type(self) is not CaseInsensitiveDict:
            return super().get(key, default)  # a subclass may find values by its own way
        try:
            found = self._store.get(key.lower())
        except AttributeError:
            return super().get(key, default)  # not a name
        return default if found is None else found[1]

    def __contains__(self, key: object) -> bool:
        if type(self) is CaseInsensitiveDict and isinstance(key, str):
            return key.lower() in self._store
        return super().__contains__(key)

    def lower_items(self) -> Iterator[tuple[str, V]]:
        """Iterate over pairs of lower-case name and value."""
        return ((folded, value) for folded, (_, value) in self._store.items())

    def has_any(self, names: frozenset[str]) -> bool:
        """Return whether one of some names, given in lower case, is there."""
        return not names.isdisjoint(self._store)

    def snapshot(self) -> tuple[tuple[str, V], ...]:
        """Return names and values as they are now, in their order."""
        return tuple(self._store.values())

    def snapshot_without(self, names: frozenset[str]) -> tuple[tuple[str, V | None], ...]:
        """Do what `snapshot` does, with `None` for the values of `names`, given in lower case."""
        return tuple(
            [(pair[0], None) if folded in names else pair for folded, pair in self._store.items()]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        theirs: CaseInsensitiveDict[Any] = CaseInsensitiveDict(other)
        return dict(self.lower_items()) == dict(theirs.lower_items())

    def copy(self) -> CaseInsensitiveDict[V]:
        """Return a new mapping with the same names, spellings and values."""
        twin: CaseInsensitiveDict[V] = CaseInsensitiveDict.__new__(CaseInsensitiveDict)
        twin._store = self._store.copy()
        return twin

    def copy_without_none(self) -> CaseInsensitiveDict[V]:
        """Return what `copy` returns, without the names whose value is `None`."""
        twin: CaseInsensitiveDict[V] = CaseInsensitiveDict.__new__(CaseInsensitiveDict)
        store = twin._store = self._store.copy()
        for pair in self._store.values():
            if pair[1] is None:
                del store[pair[0].lower()]
        return twin

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def wrong_name(name: object) -> AttributeError:
    """Return the error for the name of a header field that is no text."""
    return AttributeError(f"the name of a header must be a str, such as 'Accept', not {name!r}")


class LookupDict(dict[str, V]):
    """Names to be read as attributes or as items; an unknown item is `None`.

    The names live in the object's `__dict__`, so the dictionary itself stays empty. A missing
    attribute raises `AttributeError`, a missing item gives `None`.

    Args:
        name: The name of the table in its `repr`.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name

    def __repr__(self) -> str:
        return f"<lookup '{self.name}'>"

    def __getattr__(self, key: str) -> V:
        # Called for missing names only. It is here so that a type checker accepts `codes.ok`.
        raise AttributeError(f"{self!r} has no name {key!r}")

    def __getitem__(self, key: str) -> V | None:  # type: ignore[override]
        return self.__dict__.get(key)

    @overload
    def get(self, key: str, default: None = None) -> V | None: ...
    @overload
    def get(self, key: str, default: D) -> V | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value under `key`, or `default`."""
        return self.__dict__.get(key, default)


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
