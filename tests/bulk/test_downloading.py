"""The object that a download returns, while it is made."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.bulk.downloading import Download

_MAKING = {"Download.__init__", "Results.__init__"}


@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_signal_while_it_is_made_leaves_no_error_to_its_finalizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Wherever it comes: what is raised is the interrupt alone, and the next run has the folder."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    left = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_qualname not in _MAKING:
            return None if event == "call" and frame.f_code.co_name == "__init__" else trace
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    executor = ThreadPoolExecutor(1) if workers else None
    lines = 0
    while True:
        lines += 1
        left = lines
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            made = bulk.download([], tmp_path, executor=executor)
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(before)
        made.close()
        break
    if executor is not None:
        executor.shutdown()
    gc.collect()  # a socket that is left open would warn
    assert isinstance(made, Download)
    assert lines > 20  # some lines were interrupted
    assert unraisable == []
