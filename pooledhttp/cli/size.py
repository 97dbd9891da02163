"""`pooledhttp size`: how many connections a load needs.

Little's law: the average number in use is the arrival rate times how long each is held. Requests
arrive in bursts, so half as much is added.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pooledhttp.cli.numbers import positive

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "size",
        help="say how many connections a load needs",
        description="Say how many connections to one origin a load needs (Little's law).",
        epilog="Example: pooledhttp size --rps 100 --duration 0.1",
    )
    parser.add_argument(
        "--rps", type=positive, required=True, metavar="N", help="requests per second"
    )
    parser.add_argument(
        "--duration",
        type=positive,
        required=True,
        metavar="SECONDS",
        help="how long a request holds its connection, to the end of its body",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Print the number, alone on its line, so that scripts can use it."""
    from pooledhttp.pool import advised_size

    print(advised_size(args.rps, args.duration))
    return 0
