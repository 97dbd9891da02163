"""An exception raised at the nth point of an action, as a signal handler raises one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal


class Interrupt(BaseException):
    """Raised where KeyboardInterrupt would be; no other code raises or catches it."""


def interrupt_at(
    number: int,
    action: Callable[[], object],
    files: tuple[str, ...],
    unit: Literal["opcode", "line"] = "opcode",
) -> bool:
    """Run an action, with an `Interrupt` raised at one point of this thread.

    Args:
        number: Which point, from 1.
        action: What to run; the interrupt that leaves it is caught.
        files: Ends of the names of the source files whose points count.
        unit: Whether each opcode is a point, or each line.

    Returns:
        False when the action has fewer points, and so was not interrupted.
    """
    count = 0
    is_done = False

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count, is_done
        if is_done or not frame.f_code.co_filename.endswith(files):
            return None
        frame.f_trace_opcodes = unit == "opcode"
        if event == unit:
            count += 1
            if count == number:
                is_done = True
                raise Interrupt
        return trace

    before = sys.gettrace()
    # Python 3.12 reports opcodes only if a frame asked for them before tracing began.
    sys._getframe().f_trace_opcodes = unit == "opcode"
    sys.settrace(trace)
    try:
        action()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return is_done
