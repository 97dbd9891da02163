"""The error for a keyword argument that does not exist, with the name that was perhaps meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["unknown_argument"]


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
