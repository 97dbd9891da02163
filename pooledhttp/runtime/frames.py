"""The line of the program that called the package: for warnings, and for reports of leaks.

In a greenlet there is none: its frames begin in the package.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType

__all__ = ["caller_frame", "warn_caller"]

_PACKAGE = __name__.partition(".")[0]


def caller_frame() -> FrameType | None:
    """Return the first frame outside the package; `None` if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != _PACKAGE and not name.startswith(_PACKAGE + "."):
            return frame
        frame = frame.f_back
    return None


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn of what the program does, at its own line.

    A line in the package would say nothing to its reader, and Python shows a `DeprecationWarning`
    only if its line is in the program itself.

    Args:
        message: The text.
        category: The class of the warning.
    """
    caller, frame, level = caller_frame(), sys._getframe(1), 2
    while caller is not None and frame is not caller and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, level)
