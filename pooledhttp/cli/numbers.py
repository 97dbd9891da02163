"""Numbers as arguments, checked by the parser so that the message names the argument."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

__all__ = ["count", "count_or_zero", "positive", "positive_or_zero"]


def count(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a whole number above 0 is wanted, not {text!r}")
    return int(text)


def count_or_zero(text: str) -> int:
    """Read a whole number, zero included."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"a whole number is wanted, not {text!r}")
    return int(text)


def positive(text: str) -> float:
    """Read a number above zero."""
    value = _float(text)
    if not 0.0 < value < math.inf:
        raise ArgumentTypeError(f"a number above 0 is wanted, not {text!r}")
    return value


def positive_or_zero(text: str) -> float:
    """Read a number, zero included."""
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
