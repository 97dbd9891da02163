"""`pooledhttp run`: a program written for requests, over pooledhttp.

The program runs in this process as `python script.py` or `python -m module` would run it: as
`__main__`, with its own `sys.argv` and exit status, and its folder first on `sys.path`. Only
`import requests` differs. Processes that it starts do not change.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

from pooledhttp import dropin

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]

#: Frames of these files are between the command and the program; a traceback leaves them out.
_MACHINERY = (__file__, "<frozen runpy>", runpy.__file__)


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments; everything after the script belongs to the script."""
    parser = subparsers.add_parser(
        "run",
        help="run a Python program with requests replaced by pooledhttp",
        description="Run a program written for requests, unchanged, over pooledhttp.",
        epilog="Examples: pooledhttp run script.py --flag; pooledhttp run -m package.module",
    )
    parser.add_argument("-m", dest="as_module", action="store_true", help="run a module by name")
    parser.add_argument("target", metavar="script", help="path of a script, or a module with -m")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments for the program"
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Run the program and return its exit status.

    `sys.argv`, `sys.path[0]` and the alias are not restored: the process ends with the program.
    """
    dropin.install()
    try:
        _run(args.target, args.arguments, as_module=args.as_module)
    except SystemExit as error:
        return _status(error.code)
    except Exception as error:
        shown = error.with_traceback(_without_machinery(error.__traceback__))
        sys.excepthook(type(shown), shown, shown.__traceback__)
        return 1
    return 0


def _run(target: str, arguments: list[str], *, as_module: bool) -> None:
    sys.argv = [target, *arguments]
    if as_module:
        # As `python -m` does: the current folder first, and argv[0] becomes the module's file.
        sys.path.insert(0, os.getcwd())
        if not _is_module(target):
            raise SystemExit(f"pooledhttp run: there is no module {target!r}")
        runpy.run_module(target, run_name="__main__", alter_sys=True)
        return
    if not os.path.exists(target):
        raise SystemExit(f"pooledhttp run: there is no file {target!r}")
    sys.path.insert(0, os.path.dirname(os.path.realpath(target)))
    runpy.run_path(target, run_name="__main__")


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # of its package, or of an empty name
        return False


def _status(code: object) -> int:
    """Return the exit status for the argument of a `SystemExit`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _without_machinery(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the program's first frame on; all of it if there is none."""
    frame = traceback
    while frame is not None and frame.tb_frame.f_code.co_filename in _MACHINERY:
        frame = frame.tb_next
    return frame or traceback
