"""The libraries underneath, under the names requests once carried copies of them by.

`from pooledhttp.packages.urllib3.poolmanager import PoolManager` gives the very class of the
installed urllib3, and every module below it is the very module:

    pooledhttp.packages.urllib3    urllib3
    pooledhttp.packages.idna       idna
    pooledhttp.packages.chardet    charset_normalizer

Importing a module anew under a second name would make second classes, which `except` and
`isinstance` do not recognise. So an import below this name is answered by the module of the other
name, imported if need be; `AliasFinder` sees to that, and says nothing to any other import.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import urllib3

__all__ = ["AliasFinder", "chardet", "idna", "urllib3"]

idna: ModuleType
chardet: ModuleType

#: Name below this module to the library behind it.
ALIASES = {
    "urllib3": "urllib3",
    "idna": "idna",
    "chardet": "charset_normalizer",
    "charset_normalizer": "charset_normalizer",
}

__path__: list[str] = []  # what makes the import system look for modules below this one


class AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports below one name with modules of other names.

    Args:
        prefix: The module below which names are aliases, without a dot at the end.
        real_name: What stands behind a dotted name below it; `None` for nothing.
    """

    def __init__(self, prefix: str, real_name: Callable[[str], str | None]) -> None:
        self._prefix = prefix + "."
        self._real_name = real_name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module below the prefix, if the real one is there."""
        if not fullname.startswith(self._prefix):
            return None
        real = self._real_name(fullname[len(self._prefix) :])
        if real is None:
            return None
        try:
            module = importlib.import_module(real)
        except ModuleNotFoundError as exc:
            if exc.name == real:
                return None
            raise
        # The import system marks a module it has made with the spec it was made by. This one was
        # made before and keeps its own, so the new spec carries it along.
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=real, loader_state=(module, module.__spec__)
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Give the real module."""
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing; give the module back the spec it had."""
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state[1]


def library_behind(alias: str) -> str | None:
    """Return the module that a dotted name below this one stands for, or `None` if it is none."""
    head, dot, rest = alias.partition(".")
    library = ALIASES.get(head)
    return None if library is None else library + dot + rest


def alias_loaded(prefix: str, aliases: Mapping[str, str]) -> None:
    """Enter the modules that are loaded already into `sys.modules` under their aliases, too.

    Args:
        prefix: As for `AliasFinder`.
        aliases: First name below it to the real top-level module.
    """
    for name, module in list(sys.modules.items()):
        head, dot, rest = name.partition(".")
        for alias, library in aliases.items():
            if head == library:
                sys.modules.setdefault(f"{prefix}.{alias}{dot}{rest}", module)


def __getattr__(name: str) -> ModuleType:
    if name in ALIASES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.meta_path.insert(0, AliasFinder(__name__, library_behind))
alias_loaded(__name__, ALIASES)
