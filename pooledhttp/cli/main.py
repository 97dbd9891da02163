"""Finds the subcommand, runs it, and returns its exit status.

  0    success                           2    wrong arguments
  1    something failed                  3    files or directories cannot be used
129    ended by SIGHUP                 130    ended by Ctrl-C
143    ended by SIGTERM                141    the output was closed by its reader
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from pooledhttp.__version__ import __version__
from pooledhttp.records import did_you_mean, nearest

__all__ = ["main", "parse", "parser_for"]

_COMMANDS = ("fetch", "status", "demo", "size", "run", "check", "info")

#: The status a shell reports for a process that SIGINT or SIGPIPE ended: 128 and the signal number.
_INTERRUPTED = 130
_OUTPUT_CLOSED = 141

_FILES = 3

#: The cyclic collector runs after so many new objects.
_OBJECTS_PER_COLLECTION = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: The arguments; `None` for those of the process.

    Raises:
        SystemExit: The arguments are wrong (2), or help or the version was printed (0).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_our_process = argv is None and arguments[:1] == ["fetch"]
    if is_our_process:
        # A run makes many objects at once and hardly any cycles: with the interpreter's threshold,
        # 3 % of its CPU goes into looking for them.
        gc.set_threshold(_OBJECTS_PER_COLLECTION)
    try:
        args = parse(arguments)  # with imports, which Ctrl-C may meet as well
        status: int = args.entry(args)
        if is_our_process:
            gc.freeze()  # the exit looks through all other objects again, for 0.1 s
        if sys.stdout is not None:  # closed before we began: nothing was printed
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _OUTPUT_CLOSED
    except OSError as error:  # the disk that the output goes to is full, the terminal has gone
        _silence_stdout()
        with suppress(OSError):
            print(f"pooledhttp: {error}", file=sys.stderr)
        return _FILES
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments.

    Raises:
        SystemExit: They are wrong (2), or help or the version was printed (0).
    """
    parser = parser_for(arguments)
    args, unknown = parser.parse_known_args(arguments)
    if hasattr(args, "own_defaults"):  # before those of `--config`
        from pooledhttp.cli.config_file import put_line_first

        put_line_first(args.parser, args)
        args, unknown = parser.parse_known_args(arguments)
    if unknown:
        advice = next(filter(None, (_advice(each, args) for each in unknown)), "")
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{advice and '.' + advice}")
    return args


def _advice(option: str, args: argparse.Namespace) -> str:
    """Return what to use instead of an argument that is not known; nothing if that is not known."""
    advice: str = args.advise(option) if hasattr(args, "advise") else ""
    if advice or not option.startswith("--"):
        return advice
    # Without the dashes, which would make any two names alike.
    known = [each[2:] for each in args.parser._option_string_actions if each.startswith("--")]
    near = nearest(option[2:].partition("=")[0], known)
    return f" Did you mean '--{near}'?" if near is not None else ""


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; with all subcommands only if none is named, as each takes an import.

    Args:
        arguments: The arguments that it will parse; the first one may name a subcommand.

    Raises:
        SystemExit: The first argument is no subcommand.
    """
    first = arguments[:1]
    parser = argparse.ArgumentParser(
        prog="pooledhttp",
        description="HTTP over a connection pool: fetch in bulk, and more.",
        epilog="Each command has a --help of its own. Begin with: pooledhttp demo",
    )
    parser.add_argument("--version", action="version", version=f"pooledhttp {__version__}")
    if first and not first[0].startswith("-") and first[0] not in _COMMANDS:
        near = did_you_mean(first[0], _COMMANDS) or f" The commands are {', '.join(_COMMANDS)}."
        if "://" in first[0]:
            near = f" Did you mean 'pooledhttp fetch {first[0]}'?"
        parser.error(f"there is no command {first[0]!r}.{near}")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for name in [name for name in _COMMANDS if name in first] or _COMMANDS:
        module = importlib.import_module(f"pooledhttp.cli.{name}")
        command = module.add_parser(subparsers)
        command.set_defaults(entry=module.main, parser=command)
    return parser


def _silence_stdout() -> None:
    """Keep the interpreter from reporting an error when it flushes a closed stdout at its end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # not a real file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
