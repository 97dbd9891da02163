"""`@record`: a class of named fields, defined cheaply.

`@dataclass(frozen=True, slots=True)` compiles each of its methods from text and rebuilds the class:
3.7 million instructions for four fields, and `import dataclasses` brings `inspect`, `ast`, `dis`.
Forty of them were a third of `import pooledhttp`. `@record` compiles `__init__` alone. The other
methods are shared by all records and read the field names from the class: 0.7 million.

A record is a dataclass to other code: `dataclasses.fields`, `replace`, `asdict` and `is_dataclass`
work, and a changed field raises `dataclasses.FrozenInstanceError`. `dataclasses` is imported when
one of these is first used. What no record here needs is missing: inheritance of fields, `order`,
`kw_only`, `InitVar` and `ClassVar`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, TypeVar, dataclass_transform, overload

__all__ = ["field", "record", "replace"]

C = TypeVar("C", bound=type)
R = TypeVar("R")


class _Missing:
    """Stands for a default that is not given."""

    def __repr__(self) -> str:
        return "<default>"


_MISSING: Final = _Missing()


class _Field:
    """How one field differs from a plain one; see `field`."""

    __slots__ = ("compare", "default", "default_factory", "hash", "init", "name", "repr")

    def __init__(
        self,
        default: Any,
        default_factory: Any,
        init: bool,
        repr: bool,
        compare: bool,
        hash: bool | None,
    ) -> None:
        self.name = ""
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare
        self.hash = compare if hash is None else hash

    def given(self) -> dict[str, Any]:
        """Return the arguments of `dataclasses.field` that describe the same."""
        names = ("default", "default_factory", "init", "repr", "compare", "hash")
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not _MISSING}


@overload
def field(
    *, default: R, init: bool = True, repr: bool = True, compare: bool = True, hash: bool = ...
) -> R: ...
@overload
def field(
    *,
    default_factory: Callable[[], R],
    init: bool = True,
    repr: bool = True,
    compare: bool = True,
    hash: bool = ...,
) -> R: ...
@overload
def field(
    *, init: bool = True, repr: bool = True, compare: bool = True, hash: bool = ...
) -> Any: ...
def field(
    *,
    default: Any = _MISSING,
    default_factory: Any = _MISSING,
    init: bool = True,
    repr: bool = True,
    compare: bool = True,
    hash: bool | None = None,
) -> Any:
    """Describe a field that is not plain, as `dataclasses.field` does.

    Args:
        default: The value where the caller gives none.
        default_factory: Called for the value where the caller gives none.
        init: Whether `__init__` takes it. Without that and without a default, it stays unset.
        repr: Whether it is shown.
        compare: Whether it counts in `==`.
        hash: Whether it counts in the hash. `None` means: if it counts in `==`.
    """
    return _Field(default, default_factory, init, repr, compare, hash)


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: C, /) -> C: ...
@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(*, frozen: bool = True, eq: bool = True) -> Callable[[C], C]: ...
def record(cls: Any = None, /, *, frozen: bool = True, eq: bool = True) -> Any:
    """Make a class of named fields, with slots, out of a class with annotations.

    Args:
        cls: The class. Its annotations are the fields, their values the defaults.
        frozen: Whether fields cannot be changed.
        eq: Whether records with equal fields are equal. A frozen record then has a hash.
    """
    if cls is None:
        return lambda cls: _define(cls, frozen, eq)
    return _define(cls, frozen, eq)


def replace(this: R, /, **changes: Any) -> R:
    """Return a record like this one, with other values for some fields.

    Raises:
        TypeError: There is no such field, or `__init__` does not take it.
    """
    for each in _fields(this):
        if each.init and each.name not in changes:
            changes[each.name] = getattr(this, each.name)
    return type(this)(**changes)


def _define(cls: type, frozen: bool, eq: bool) -> type:
    """Build the class again, with slots and the methods of a record."""
    namespace = dict(cls.__dict__)
    fields = []
    for name in cls.__annotations__:
        given = namespace.pop(name, _MISSING)
        if type(given) is not _Field:
            given = _Field(given, _MISSING, True, True, True, None)
        given.name = name
        fields.append(given)
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    namespace["__slots__"] = tuple(each.name for each in fields)
    namespace["__record_fields__"] = tuple(fields)
    twin = _Twin(fields, cls.__annotations__, frozen=frozen, eq=eq)
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        namespace[name] = _OfTwin(twin, name)
    namespace["__match_args__"] = tuple(each.name for each in fields if each.init)
    init = _compile_init(fields, frozen, "__post_init__" in namespace)
    init.__annotations__ = {f.name: cls.__annotations__[f.name] for f in fields if f.init}
    init.__annotations__["return"] = None
    init.__module__, init.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    namespace["__init__"] = init
    defaults: dict[str, Any] = {"__repr__": _repr, "__replace__": replace}
    if frozen:
        namespace |= {"__setattr__": _refuse_setattr, "__delattr__": _refuse_delattr}
        defaults |= {"__getstate__": _getstate, "__setstate__": _setstate}
    if eq:
        namespace["__record_compared__"] = _values_of([f.name for f in fields if f.compare])
        namespace["__record_hashed__"] = _values_of([f.name for f in fields if f.hash])
        defaults |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
        if namespace.get("__hash__", _MISSING) is None and "__eq__" in namespace:
            del namespace["__hash__"]  # Python put it there, because of `__eq__`
    return type(cls)(cls.__name__, cls.__bases__, defaults | namespace)


def _compile_init(fields: list[_Field], frozen: bool, has_post_init: bool) -> Any:
    """Compile `__init__`: it is called often, and its parameters are the fields."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": _MISSING}
    parameters, lines = ["self"], []
    for each in fields:
        name, value = each.name, each.name
        if each.default_factory is not _MISSING:
            scope[f"_new_{name}"] = each.default_factory
            value = f"_new_{name}()"
            if each.init:
                value += f" if {name} is _MISSING else {name}"
                parameters.append(f"{name}=_MISSING")
        elif each.default is not _MISSING:
            scope[f"_default_{name}"] = each.default
            if each.init:
                parameters.append(f"{name}=_default_{name}")
            else:
                value = f"_default_{name}"
        elif each.init:
            parameters.append(name)
        else:
            continue
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if has_post_init:
        lines.append("self.__post_init__()")
    body = "\n ".join(lines or ["pass"])
    exec(f"def __init__({', '.join(parameters)}):\n {body}", scope)
    return scope["__init__"]


def _values_of(names: list[str]) -> Callable[[Any], object]:
    """Return what gives the values of these fields, as something to compare and to hash."""
    return attrgetter(*names) if names else type


class _Twin:
    """What `dataclasses` reads of a class, taken from a dataclass with the same fields.

    The twin is made when something is first read, since few programs do so.
    """

    def __init__(self, fields: list[_Field], annotations: dict[str, Any], **params: Any) -> None:
        self._fields = fields
        self._annotations = annotations
        self._params = params
        self._twin: Any = None

    def read(self, name: str) -> Any:
        """Return an attribute of the twin."""
        if self._twin is None:
            import dataclasses

            self._twin = dataclasses.make_dataclass(
                "Twin",
                [
                    (each.name, self._annotations[each.name], dataclasses.field(**each.given()))
                    for each in self._fields
                ],
                **self._params,
            )
        return getattr(self._twin, name)


class _OfTwin:
    """An attribute of a class that its twin has."""

    def __init__(self, twin: _Twin, name: str) -> None:
        self._twin = twin
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        return self._twin.read(self._name)


# ---- the methods of every record


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in _fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    compared = self.__record_compared__
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(self.__record_hashed__(self))


def _getstate(self: Any) -> list[object]:
    return [getattr(self, each.name) for each in _fields(self)]


def _setstate(self: Any, state: list[object]) -> None:
    for each, value in zip(_fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


def _refuse_setattr(self: Any, name: str, value: object) -> None:
    _refuse(self, name, "assign to")
    object.__setattr__(self, name, value)


def _refuse_delattr(self: Any, name: str) -> None:
    _refuse(self, name, "delete")
    object.__delattr__(self, name)


def _refuse(self: Any, name: str, what: str) -> None:
    """Raise `FrozenInstanceError`, unless a subclass has an attribute of its own by this name."""
    if "__record_fields__" in type(self).__dict__ or any(f.name == name for f in _fields(self)):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


def _fields(this: Any) -> tuple[_Field, ...]:
    return this.__record_fields__  # type: ignore[no-any-return]
