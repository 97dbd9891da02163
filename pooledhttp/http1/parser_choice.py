"""Which library reads response heads: h11, or httptools where the extra `fast` is installed.

Session(parser=...) or HTTPAdapter(parser=...)     for their connections
POOLEDHTTP_PARSER                                  instead of "auto"
"auto"                                             httptools if it is installed, else h11
"""

from __future__ import annotations

import os
from functools import cache
from typing import Literal, get_args

__all__ = ["ParserChoice", "checked_choice", "chosen_name"]

#: The values of `parser=` and of `POOLEDHTTP_PARSER`.
ParserChoice = Literal["auto", "h11", "httptools"]

ENVIRONMENT_VARIABLE = "POOLEDHTTP_PARSER"


def checked_choice(choice: ParserChoice | None) -> ParserChoice:
    """Return a choice as it was given; `None` is `"auto"`.

    Raises:
        ValueError: It is none of the three, in the argument or the environment, or httptools is
            asked for and not installed.
    """
    given: ParserChoice = "auto" if choice is None else choice
    for source, value in (("parser", given), (ENVIRONMENT_VARIABLE, _from_environment())):
        if value not in get_args(ParserChoice):
            raise ValueError(f'{source} must be "auto", "h11" or "httptools", not {value!r}')
        if value == "httptools" and not _has_httptools():
            raise ValueError(
                f"{source} is {value!r}, which is not installed: pip install httptools"
            )
    return given


def chosen_name(choice: ParserChoice = "auto") -> str:
    """Return the name of the library that a choice stands for, here and now."""
    name = _from_environment() if choice == "auto" else choice
    if name == "auto":
        return "httptools" if _has_httptools() else "h11"
    return name


def _from_environment() -> str:
    return os.environ.get(ENVIRONMENT_VARIABLE) or "auto"


@cache
def _has_httptools() -> bool:
    from importlib.util import find_spec  # not needed by most programs

    return find_spec("httptools") is not None
