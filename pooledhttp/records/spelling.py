"""Errors for arguments: a name that does not exist, with the one that was meant; a wrong value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar

__all__ = [
    "argument_names",
    "check_whole_number",
    "did_you_mean",
    "explain_misspelt",
    "explain_misspelt_call",
    "explain_misspelt_fields",
    "explain_unexpected",
    "described",
    "nearest",
    "unknown_argument",
]

_NO_ADVICE: Mapping[str, str] = {}

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., None])
G = TypeVar("G", bound=Callable[..., object])


def argument_names(init: Callable[..., None]) -> tuple[str, ...]:
    """Return the names of the arguments of an `__init__`, without `self`."""
    code = getattr(init, "__wrapped__", init).__code__
    return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name that is near; else nothing."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near is not None else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a misspelled one; `None` if none is near."""
    import difflib  # which few programs need

    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None


def unknown_argument(
    owner: str,
    name: str,
    known: Collection[str],
    attributes: Collection[str] = (),
    advice: Mapping[str, str] = _NO_ADVICE,
) -> TypeError:
    """Return the error for a keyword argument that does not exist.

    Args:
        owner: What was called, for the text.
        name: The argument.
        known: The arguments that exist, in the order in which they are listed.
        attributes: What is not an argument, but can be set on the new object.
        advice: What to say of names that other libraries use: one of `known`, or a sentence.
    """
    text = f"{owner}() got an unexpected keyword argument {name!r}"
    if name in attributes:
        return TypeError(f"{text}. Set the attribute {name!r} of the new object instead.")
    if name in advice:
        meant = advice[name]
        return TypeError(f"{text}. {f'Did you mean {meant!r}?' if meant in known else meant}")
    near = did_you_mean(name, known)
    attribute = "" if near else did_you_mean(name, attributes)
    if attribute:
        return TypeError(f"{text}.{attribute} Set that attribute of the new object instead.")
    return TypeError(f"{text}.{near or _list_of(known)}")


def explain_unexpected(
    error: TypeError,
    given: Collection[str],
    known: Collection[str],
    advice: Mapping[str, str],
) -> None:
    """Add the argument that was meant to the error of a call with one that does not exist.

    For functions that are called too often for `explain_misspelt`: this costs nothing before an
    error. Python itself names the argument since version 3.13.

    Args:
        error: Of the call. Any other error is left as it is.
        given: The names of the arguments that the caller has given.
        known: The arguments that exist, in the order in which they are listed.
        advice: As for `unknown_argument`.
    """
    text = str(error)
    name = text.removesuffix("'").rpartition("'")[2]
    owner, found, _ = text.rpartition(f"() got an unexpected keyword argument {name!r}")
    if found and text == f"{owner}{found}" and name in given and name not in known:
        error.args = unknown_argument(owner, name, known, (), advice).args


def check_whole_number(name: str, value: object, least: int = 1) -> None:
    """Check an argument that must be a whole number.

    Args:
        name: The name of the argument, for the text.
        value: What was given.
        least: The smallest number that is allowed.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def described(value: object) -> str:
    """Return what a value is, for the text of an error: `a str`, `an int` or `None`."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _list_of(known: Collection[str]) -> str:
    return f" It takes {', '.join(known)}."


def explain_misspelt(
    attributes: Collection[str] = (),
    *,
    by_name: bool = False,
    advice: Mapping[str, str] = _NO_ADVICE,
) -> Callable[[F], F]:
    """Have an `__init__` name the keyword argument that was meant. Its signature stays what it is.

    Args:
        attributes: What is not an argument, but can be set on the object afterwards.
        by_name: Refuse arguments without a name. Their order means nothing to a reader.
        advice: As for `unknown_argument`.
    """

    def explaining(init: F) -> F:
        names = argument_names(init)
        known = frozenset(names)
        owner = init.__qualname__.partition(".")[0]

        @wraps(init)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            if not known.issuperset(kwargs):
                name = next(name for name in kwargs if name not in known)
                raise unknown_argument(owner, name, names, attributes, advice)
            if args and by_name:
                raise TypeError(f"{owner}() takes arguments by name only: {', '.join(names)}")
            init(self, *args, **kwargs)

        return __init__  # type: ignore[return-value]

    return explaining


def explain_misspelt_fields(
    *, by_name: bool = True, advice: Mapping[str, str] = _NO_ADVICE
) -> Callable[[C], C]:
    """Have a record name the field that was meant.

    Args:
        by_name: Take the fields by name only, as suits settings.
        advice: As for `unknown_argument`.
    """

    def explaining(cls: C) -> C:
        wrap = explain_misspelt(by_name=by_name, advice=advice)
        cls.__init__ = wrap(cls.__init__)  # type: ignore[misc]
        return cls

    return explaining


def explain_misspelt_call(*, advice: Mapping[str, str] = _NO_ADVICE) -> Callable[[G], G]:
    """Have a function that is called rarely name the keyword argument that was meant.

    Args:
        advice: As for `unknown_argument`.
    """

    def explaining(function: G) -> G:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        known = [name for name in names if name not in ("self", "cls")]

        @wraps(function)
        def explained(*args: Any, **kwargs: Any) -> object:
            for name in kwargs:
                if name not in names:
                    raise unknown_argument(function.__qualname__, name, known, (), advice)
            return function(*args, **kwargs)

        return explained  # type: ignore[return-value]

    return explaining
