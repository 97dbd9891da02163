"""Taking the tracebacks off errors that are kept.

An error that was raised refers to the frames it passed through, and each frame to its variables.
An error that is kept, by a connection, a history or a list of failures, so keeps a whole request
alive, often in a circle that only the cyclic collector breaks. Two ways out:

    remove_tracebacks         the error is kept and not raised again
    copy_without_tracebacks   the error is kept here, and raised again elsewhere
"""

from __future__ import annotations

from typing import TypeVar

__all__ = ["copy_without_tracebacks", "remove_tracebacks"]

E = TypeVar("E", bound=BaseException)


def remove_tracebacks(error: E) -> E:
    """Take the tracebacks off an error and off all errors it refers to; returns the error.

    Args:
        error: Changed in place, with its cause and the errors among its arguments. An implicit
            context stays as it is: it may be an error that the caller handles while it makes the
            request.
    """
    found: list[object] = [error]
    seen: set[int] = set()
    while found:
        one = found.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            found += [one.__cause__, *one.args]
            if one.__suppress_context__:
                found.append(one.__context__)
    return error


def copy_without_tracebacks(error: E) -> E:
    """Copy an error, its cause and the errors among its arguments, without any traceback.

    For an error that is kept to be raised later, perhaps more than once: raising adds a traceback
    to the copy alone.
    """
    args = (
        copy_without_tracebacks(one) if isinstance(one, BaseException) else one
        for one in error.args
    )
    copy = type(error).__new__(type(error), *args)
    copy.__dict__.update(error.__dict__)
    if error.__cause__ is not None:
        copy.__cause__ = copy_without_tracebacks(error.__cause__)
    return copy
