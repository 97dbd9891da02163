"""Numbers as arguments, checked by the parser so that the message names the argument."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

__all__ = ["bytes_count", "count", "count_or_zero", "positive", "positive_or_zero"]


def count(text: str) -> int:
    """Read a whole number above zero.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a whole number above 0 is wanted, not {text!r}")
    return int(text)


def bytes_count(text: str) -> int:
    """Read a number of bytes: `500`, `500k`, `2M` or `1.5G`, by steps of 1024 as in curl.

    Raises:
        ArgumentTypeError: It is none.
    """
    unit = "kmg".find(text[-1:].lower()) + 1 if text else 0
    value = _float(text[:-1] if unit else text) * 1024**unit
    if not 1.0 <= value < math.inf:
        raise ArgumentTypeError(f"a number of bytes such as 500k or 2M is wanted, not {text!r}")
    return int(value)


def count_or_zero(text: str) -> int:
    """Read a whole number, zero included.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"a whole number is wanted, not {text!r}")
    return int(text)


def positive(text: str) -> float:
    """Read a number above zero.

    Raises:
        ArgumentTypeError: It is none.
    """
    value = _float(text)
    if not 0.0 < value < math.inf:
        raise ArgumentTypeError(f"a number above 0 is wanted, not {text!r}")
    return value


def positive_or_zero(text: str) -> float:
    """Read a number, zero included.

    Raises:
        ArgumentTypeError: It is none.
    """
    value = _float(text)
    if not 0.0 <= value < math.inf:
        raise ArgumentTypeError(f"a number is wanted, not {text!r}")
    return value


def _float(text: str) -> float:
    """Read a number; other text gives NaN, which is within no bound."""
    try:
        return float(text)
    except ValueError:
        return math.nan
