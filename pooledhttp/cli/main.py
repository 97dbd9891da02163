"""The command line's front: finds the subcommand, runs it, and turns how it ended into an exit
status.

    0    all went well                     2    the command was used wrongly
    1    something failed                  3    files or directories cannot be used
  129    ended by SIGHUP                 130    ended by Ctrl-C
  143    ended by SIGTERM                141    the reader of the output has gone
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from pooledhttp.__version__ import __version__

__all__ = ["main"]

_COMMANDS = ("fetch", "status", "demo", "size", "run", "info")

#: What a shell reports for a process that SIGINT or SIGPIPE has ended: 128 + the signal's number.
_INTERRUPTED = 130
_NOBODY_READS = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: The arguments; `None` means those of the process.

    Raises:
        SystemExit: The arguments are wrong (2), or only help or the version was asked for (0).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments[:1]).parse_args(arguments)
    try:
        status: int = args.entry(args)
        if sys.stdout is not None:  # closed before we began: nothing was printed
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _NOBODY_READS
    return status


def _parser(first: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser, with all subcommands only when none is named: each costs an import."""
    parser = argparse.ArgumentParser(
        prog="pooledhttp", description="HTTP over a connection pool: fetch in bulk, and more."
    )
    parser.add_argument("--version", action="version", version=f"pooledhttp {__version__}")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for name in [name for name in _COMMANDS if name in first] or _COMMANDS:
        module = importlib.import_module(f"pooledhttp.cli.{name}")
        module.add_parser(subparsers).set_defaults(entry=module.main)
    return parser


def _silence_stdout() -> None:
    """Keep the interpreter from complaining when it flushes a closed stdout at its end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # not a real file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
