"""Shows which steps of this package ran: functions by module and name, with the number of calls."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["steps_of"]


def steps_of(call: Callable[[], object]) -> Counter[str]:
    """Run `call` in this thread and count the functions of the package that it enters."""
    steps: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            module = frame.f_globals.get("__name__", "")
            if module.startswith("pooledhttp."):
                steps[f"{module.removeprefix('pooledhttp.')}:{frame.f_code.co_qualname}"] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return steps
