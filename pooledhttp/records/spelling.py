"""The error for a keyword argument that does not exist, with the name that was perhaps meant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar

__all__ = ["explain_misspelt", "explain_misspelt_fields"]

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., None])


def _unknown_argument(
    owner: str, name: str, known: Collection[str], attributes: Collection[str]
) -> TypeError:
    """Return the error for an argument that `owner` does not have."""
    text = f"{owner}() got an unexpected keyword argument {name!r}"
    if name in attributes:
        return TypeError(f"{text}. Set the attribute {name!r} of the new object instead.")
    import difflib  # which few programs need

    near = difflib.get_close_matches(name, known, n=1)
    return TypeError(f"{text}. Did you mean {near[0]!r}?" if near else text)


def explain_misspelt(attributes: Collection[str] = ()) -> Callable[[F], F]:
    """Have an `__init__` name the keyword argument that was meant. Its signature stays what it is.

    Args:
        attributes: What is not an argument, but can be set on the object afterwards.
    """

    def explaining(init: F) -> F:
        code = init.__code__
        known = frozenset(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
        owner = init.__qualname__.partition(".")[0]

        @wraps(init)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            if not known.issuperset(kwargs):
                name = next(name for name in kwargs if name not in known)
                raise _unknown_argument(owner, name, known, attributes)
            init(self, *args, **kwargs)

        return __init__  # type: ignore[return-value]

    return explaining


def explain_misspelt_fields(cls: C) -> C:
    """Have a record name the field that was meant, as `explain_misspelt` does."""
    cls.__init__ = explain_misspelt()(cls.__init__)  # type: ignore[misc]
    return cls
