"""An exception raised at the nth point of an action, as a signal handler raises one.

Python runs signal handlers, and raises the exceptions of `PyThreadState_SetAsyncExc`, only at some
instructions (`CHECK_EVAL_BREAKER` in its `ceval.c`): at the beginning of a function, at a jump
backwards, and after a call of a C function. A C function that waits, such as `recv`, runs them too
and then raises instead of returning, which has the same effect as an interrupt before the call.

The unit `signal` counts these points alone. The units `opcode` and `line` count every instruction
and every line, which is more than can happen. For example, the loop in `PoolCore.try_step` takes
the lock and stores the result in two instructions (`FOR_ITER`, `STORE_FAST`). Neither runs a signal
handler, but a trace function can raise behind them, and then the lock stays taken.

A call of a function in Python looks for no signals when it ends, which its caller cannot show.
With CPython 3.14 this matters where a block begins, as `with` calls `__enter__` by an instruction
of its own. No point is counted between the two: the context managers that matter have theirs in
Python, those locks of `runtime.locks` too.

A trace function of Python 3.13.0 is not told of the instructions of a function's first call. There
`sys.monitoring` reports them. In Python 3.12.1 it reports also the ends of generators.
"""

from __future__ import annotations

import dis
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Literal

from tests.support.garbage import no_collection

__all__ = ["Interrupt", "interrupt_at", "last_point"]

Unit = Literal["opcode", "line", "signal"]
Files = tuple[str, ...] | Callable[[CodeType], bool]

_where: list[str] = [""]


class Interrupt(BaseException):
    """Raised where KeyboardInterrupt would be; no other code raises or catches it."""


def last_point() -> str:
    """File, line, function and offset of the point at which the last interrupt was raised."""
    return _where[0]


def interrupt_at(
    number: int, action: Callable[[], object], files: Files, unit: Unit = "opcode"
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
    points = _Points(number, files, unit)
    watching = _traced(points) if sys.version_info < (3, 13) else _monitored(points)
    # A finalizer that the collector runs meanwhile would swallow the interrupt.
    with no_collection():
        try:
            with watching:
                action()
        except Interrupt:
            pass
    return points.is_done


class _Points:
    """Counts the points of an action, and raises at the one that is wanted."""

    def __init__(self, number: int, files: Files, unit: Unit) -> None:
        self._left = number
        self._files = files
        self.unit = unit
        self.is_done = False

    def are_in(self, code: CodeType) -> bool:
        """Whether the points of a code object count."""
        files = self._files
        return files(code) if callable(files) else code.co_filename.endswith(files)

    def have(self, code: CodeType, offset: int) -> bool:
        """Whether the instruction at an offset of a code object that counts is a point."""
        return self.unit != "signal" or offset in _signal_points(code)

    def reach(self, code: CodeType, line: int, offset: int) -> None:
        """Count a point, and raise if it is the wanted one."""
        self._left -= 1
        if not self._left:
            self.is_done = True
            _where[0] = f"{code.co_filename}:{line} {code.co_qualname} {offset}"
            raise Interrupt


@contextmanager
def _traced(points: _Points) -> Iterator[None]:
    """Have the points of this thread reported by a trace function."""
    wanted = "line" if points.unit == "line" else "opcode"

    def enter(frame: FrameType, event: str, _: object) -> Any:
        if points.is_done or not points.are_in(frame.f_code):
            return None
        frame.f_trace_opcodes = wanted == "opcode"
        frame.f_trace_lines = wanted == "line"
        return pass_by

    def pass_by(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        if event == wanted and not points.is_done and points.have(code, frame.f_lasti):
            points.reach(code, frame.f_lineno, frame.f_lasti)
        return pass_by

    before = sys.gettrace()
    # Python 3.12 reports opcodes only if a frame asked for them before tracing began.
    sys._getframe().f_trace_opcodes = wanted == "opcode"
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


if sys.version_info >= (3, 13):

    @contextmanager
    def _monitored(points: _Points) -> Iterator[None]:
        """Have the points of this thread reported by `sys.monitoring`."""
        monitoring = sys.monitoring
        tool = monitoring.DEBUGGER_ID
        event = monitoring.events.LINE if points.unit == "line" else monitoring.events.INSTRUCTION
        thread = threading.get_ident()

        def pass_by(code: CodeType, place: int) -> Any:
            """`place` is a line, or the offset of an instruction."""
            if not points.are_in(code) or not points.have(code, place):
                return monitoring.DISABLE  # report it no more
            if not points.is_done and threading.get_ident() == thread:
                line = place if points.unit == "line" else sys._getframe(1).f_lineno
                points.reach(code, line, place)
            return None

        monitoring.use_tool_id(tool, "interrupts")
        monitoring.restart_events()  # what an earlier trial has disabled
        monitoring.register_callback(tool, event, pass_by)
        monitoring.set_events(tool, event)
        try:
            yield
        finally:
            monitoring.set_events(tool, monitoring.events.NO_EVENTS)
            monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)

else:

    def _monitored(points: _Points) -> Any:
        """Raise: this Python does not need it."""
        raise NotImplementedError


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
    called = before = ""
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        is_call = name.startswith("CALL") and "INTRINSIC" not in name
        if is_behind or name == "BEFORE_WITH" or (is_call and called in _WAITING):
            points.add(instruction.offset)
        if "JUMP_BACKWARD" in name and "NO_INTERRUPT" not in name:
            points.add(instruction.argval)
        if name in ("LOAD_METHOD", "LOAD_ATTR", "LOAD_GLOBAL", "LOAD_NAME"):
            called = instruction.argval
        enters = before == "LOAD_SPECIAL" and instruction.opname == "CALL"
        is_behind = (is_call and not enters) or name == "RESUME"
        before = name
    return frozenset(points)
