"""Reading variables of the environment, at little cost where they are not set.

They are read again for each request, because programs and tests set and unset them in between.
`os.environ.get` raises and catches an exception for a name that is not set, which most are.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["Variable", "raw_variables"]

#: The class of `os.environ`, with the private attributes that are read here.
_ENVIRON = type(os.environ) if hasattr(os.environ, "_data") else None


def raw_variables() -> dict[Any, Any] | None:
    """Return the variables as `os.environ` stores them; `None` if a program has replaced it."""
    environ = os.environ
    return environ._data if type(environ) is _ENVIRON else None  # type: ignore[attr-defined]


class Variable:
    """A variable that has one name or several.

    Args:
        *names: The first of them that is set, and not empty, counts.
    """

    __slots__ = ("_keys", "_names")

    def __init__(self, *names: str) -> None:
        self._names = names
        encode = getattr(os.environ, "encodekey", None)
        #: The names in the form in which `os.environ` stores them.
        self._keys: Any = names if encode is None else tuple(map(encode, names))

    def value(self) -> str | None:
        """Return the value; `None` if none is set, or only empty ones."""
        environ = os.environ
        if type(environ) is not _ENVIRON:
            return next(filter(None, map(environ.get, self._names)), None)
        variables = environ._data  # type: ignore[attr-defined]
        for key in self._keys:
            if found := variables.get(key):
                return environ.decodevalue(found)
        return None
