"""The error for a keyword argument that does not exist, with the name that was perhaps meant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, TypeVar

__all__ = ["explain_misspelt", "unknown_argument"]

F = TypeVar("F", bound=Callable[..., None])


def unknown_argument(
    owner: str,
    given: Mapping[str, object],
    known: Collection[str],
    attributes: Collection[str] = (),
) -> TypeError:
    """Return the error for the first of some arguments.

    Args:
        owner: The name of what was called.
        given: The arguments that do not exist.
        known: Those that do.
        attributes: What is not an argument, but can be set on the object afterwards.
    """
    name = next(iter(given))
    text = f"{owner}() got an unexpected keyword argument {name!r}"
    if name in attributes:
        return TypeError(f"{text}. Set the attribute {name!r} of the new object instead.")
    import difflib  # which few programs need

    near = difflib.get_close_matches(name, known, n=1)
    return TypeError(f"{text}. Did you mean {near[0]!r}?" if near else text)


def explain_misspelt(attributes: Collection[str]) -> Callable[[F], F]:
    """Have an `__init__` name the keyword argument that was meant. Its signature stays what it is.

    Args:
        attributes: As `unknown_argument` takes them.
    """

    def explaining(init: F) -> F:
        known = frozenset(getattr(init, "__kwdefaults__", ()))
        owner = init.__qualname__.partition(".")[0]

        @wraps(init)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            if not known.issuperset(kwargs):
                unknown = {name: kwargs[name] for name in kwargs if name not in known}
                raise unknown_argument(owner, unknown, known, attributes)
            init(self, *args, **kwargs)

        return __init__  # type: ignore[return-value]

    return explaining
