"""Reading variables of the environment, at little cost where they are not set.

They are read again for each request, because programs and tests set and unset them in between.
`os.environ.get` raises and catches an exception for a name that is not set, which most are.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["get_variable", "raw_variables"]

#: The class of `os.environ`, with the private attributes that are read here.
_ENVIRON = type(os.environ) if hasattr(os.environ, "_data") else None

#: Names in the form in which `os.environ` stores them.
_keys: dict[str, Any] = {}


def raw_variables() -> dict[Any, Any] | None:
    """Return the variables as `os.environ` stores them; `None` if a program has replaced it."""
    environ = os.environ
    return environ._data if type(environ) is _ENVIRON else None  # type: ignore[attr-defined]


def get_variable(name: str) -> str | None:
    """Return the value of a variable; `None` if it is not set."""
    environ = os.environ
    if type(environ) is not _ENVIRON:
        return environ.get(name)
    key = _keys.get(name)
    if key is None:
        key = _keys[name] = environ.encodekey(name)
    value = environ._data.get(key)  # type: ignore[attr-defined]
    return None if value is None else environ.decodevalue(value)
