"""An exception raised at the nth point of an action, as a signal handler raises one.

Python runs signal handlers, and raises the exceptions of `PyThreadState_SetAsyncExc`, only at some
instructions (`CHECK_EVAL_BREAKER` in its `ceval.c`): at the beginning of a function, at a jump
backwards, and after a call of a C function. A C function that waits, such as `recv`, runs them too
and then raises instead of returning, which has the same effect as an interrupt before the call.

The unit `signal` counts these points alone. The units `opcode` and `line` count every instruction
and every line, which is more than can happen. For example, the loop in `PoolCore.try_step` takes
the lock and stores the result in two instructions (`FOR_ITER`, `STORE_FAST`). Neither runs a signal
handler, but a trace function can raise behind them, and then the lock stays taken.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Literal

import pytest

__all__ = ["Interrupt", "interrupt_at", "last_point", "need_every_instruction"]

_where: list[str] = [""]


class Interrupt(BaseException):
    """Raised where KeyboardInterrupt would be; no other code raises or catches it."""


def last_point() -> str:
    """File, line, function and offset of the point at which the last interrupt was raised."""
    return _where[0]


def interrupt_at(
    number: int,
    action: Callable[[], object],
    files: tuple[str, ...] | Callable[[CodeType], bool],
    unit: Literal["opcode", "line", "signal"] = "opcode",
) -> bool:
    """Run an action, with an `Interrupt` raised at one point of this thread.

    Args:
        number: Which point, from 1.
        action: What to run; the interrupt that leaves it is caught.
        files: Ends of the names of the source files whose points count, or a function that says
            whether the points of a code object count.
        unit: Which points there are; see above.

    Returns:
        False when the action has fewer points, and so was not interrupted.
    """
    count = 0
    is_done = False
    wanted = "line" if unit == "line" else "opcode"

    def enter(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        if is_done or not (files(code) if callable(files) else code.co_filename.endswith(files)):
            return None
        frame.f_trace_opcodes = wanted == "opcode"
        frame.f_trace_lines = wanted == "line"
        points = _signal_points(code) if unit == "signal" else None

        def pass_by(frame: FrameType, event: str, _: object) -> Any:
            nonlocal count, is_done
            if event == wanted and (points is None or frame.f_lasti in points):
                count += 1
                if count == number and not is_done:
                    is_done = True
                    line = f"{code.co_filename}:{frame.f_lineno}"
                    _where[0] = f"{line} {code.co_qualname} {frame.f_lasti}"
                    raise Interrupt
            return pass_by

        return pass_by

    before = sys.gettrace()
    # Python 3.12 reports opcodes only if a frame asked for them before tracing began.
    sys._getframe().f_trace_opcodes = wanted == "opcode"
    sys.settrace(enter)
    try:
        action()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return is_done


def need_every_instruction() -> None:
    """Skip the test where Python does not report every instruction to a trace function."""
    if not _reports_every_instruction():
        pytest.skip("this Python does not report every instruction to a trace function")


@functools.cache
def _reports_every_instruction() -> bool:
    """Whether the first instruction of a function is reported in its first call.

    Python 3.13.0 reports those of a function only after a call of it that was not interrupted.
    """

    def inner() -> None: ...

    def outer() -> None:
        inner()

    interrupt_at(1, outer, lambda code: code in (outer.__code__, inner.__code__))
    return "outer" in last_point()


#: Names of C functions that can wait, and so run signal handlers before they return.
_WAITING = frozenset({
    "accept", "acquire", "connect", "connect_ex", "do_handshake", "getaddrinfo", "join", "poll",
    "read", "recv", "recv_into", "select", "send", "sendall", "shutdown", "sleep", "stat", "wait",
    "write",
})  # fmt: skip


@functools.cache
def _signal_points(code: CodeType) -> frozenset[int]:
    """Return the offsets of the instructions before which a signal handler can run."""
    points = set()
    is_behind = False
    called = ""
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        is_call = name.startswith("CALL") and "INTRINSIC" not in name
        if is_behind or name == "BEFORE_WITH" or (is_call and called in _WAITING):
            points.add(instruction.offset)
        if "JUMP_BACKWARD" in name and "NO_INTERRUPT" not in name:
            points.add(instruction.argval)
        if name in ("LOAD_METHOD", "LOAD_ATTR", "LOAD_GLOBAL", "LOAD_NAME"):
            called = instruction.argval
        is_behind = is_call or name == "RESUME"
    return frozenset(points)
