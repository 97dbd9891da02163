"""The `pooledhttp` command.

Each subcommand is a file with two functions: `add_parser(subparsers)` describes its arguments, and
`main(args)` does the work and returns the exit status. A subcommand is imported when it is asked
for, and imports what it needs when it runs.
"""

from __future__ import annotations

from pooledhttp.cli.main import main

__all__ = ["main"]
