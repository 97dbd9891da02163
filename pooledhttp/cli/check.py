"""`pooledhttp check PATH`: where a code base still imports or catches requests.

A module that imports requests itself beside `import pooledhttp as requests` works, but its requests
do not use the pool, and its `except` clauses do not catch our errors. The command reads the source
of every Python file; it imports and runs none of it.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import tokenize
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["Place", "add_parser", "main", "places"]

_CLEAN, _FOUND, _USAGE = 0, 1, 2

#: Folders that hold no source of the project itself; so do those with a `pyvenv.cfg`.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


class Place(NamedTuple):
    """A line that uses requests itself, and what to do about it."""

    line: int
    text: str


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "check",
        help="list where a code base still uses requests",
        description=(
            "List the places that import or catch requests itself, whose requests do not use the "
            "pool. Nothing is imported or run."
        ),
        epilog=(
            "Exit status: 0 there are none, 1 there are some, 2 used wrongly. "
            "Example: pooledhttp check src tests"
        ),
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a folder or a Python file")
    return parser


def main(args: argparse.Namespace) -> int:
    """Print the places, one a line, and return the exit status."""
    missing = [path for path in args.paths if not os.path.exists(path)]
    if missing:
        print(f"pooledhttp check: there is no file or directory {missing[0]!r}", file=sys.stderr)
        return _USAGE
    number = files = 0
    for path in (file for given in args.paths for file in _python_files(given)):
        files += 1
        try:
            with tokenize.open(path) as stream:
                found = list(places(stream.read()))
        except (SyntaxError, ValueError, OSError) as error:
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            continue
        number += len(found)
        for place in found:
            print(f"{path}:{place.line}: {place.text}")
    if not number:
        print(f"{_counted(files, 'file')}: none of them uses requests itself.")
        return _CLEAN
    print(
        f"{_counted(number, 'place')} in {_counted(files, 'file')}. Change them, or call"
        " pooledhttp.dropin.install() before the first import of requests: then all of them mean"
        " pooledhttp."
    )
    return _FOUND


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def places(source: str) -> Iterator[Place]:
    """Yield the places of one module that use requests itself.

    Raises:
        SyntaxError: It is not Python.
    """
    tree = ast.parse(source)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_requests(alias.name):
                    names.add(alias.asname or "requests")
                    new = alias.name.replace("requests", "pooledhttp", 1)
                    bound = alias.asname or ("requests" if alias.name == "requests" else None)
                    cure = f"import {new}" + (f" as {bound}" if bound else "")
                    yield Place(node.lineno, f"imports {alias.name}: write `{cure}`")
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_requests(node.module):
            module = str(node.module)
            what = ", ".join(alias.name for alias in node.names)
            names.update(alias.asname or alias.name for alias in node.names)
            new = module.replace("requests", "pooledhttp", 1)
            yield Place(
                node.lineno, f"imports {what} of {module}: write `from {new} import {what}`"
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            for one in caught:
                if _root(one) in names:
                    yield Place(
                        one.lineno,
                        f"catches {ast.unparse(one)} of requests: errors of pooledhttp pass by",
                    )


def _is_requests(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == "requests"


def _root(node: ast.expr) -> str | None:
    """Return the first name of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _python_files(path: str) -> Iterator[str]:
    """Yield a file, or the Python files below a folder, in order."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, inner, files in os.walk(path):
        inner[:] = sorted(
            name
            for name in inner
            if name not in _SKIPPED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".py"))
