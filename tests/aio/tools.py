"""Running a coroutine on a loop in debug mode; whatever asyncio has to complain of is an error."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

# Without it, every module that imports this one is skipped, and says why.
pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

from tests.support.garbage import collect

__all__ = ["run"]

T = TypeVar("T")


class _Complaints(logging.Handler):
    """What asyncio logs, such as exceptions that no code has retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "seconds" not in message:  # a slow step is the machine's
            self.messages.append(message)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in asyncio's debug mode; neither warnings nor complaints come."""
    logger, complaints = logging.getLogger("asyncio"), _Complaints()
    logger.addHandler(complaints)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = asyncio.run(main, debug=True)
            collect()
    finally:
        logger.removeHandler(complaints)
    assert complaints.messages == []
    assert [str(warning.message) for warning in warned] == []
    return result
