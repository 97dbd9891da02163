"""The libraries that requests once contained copies of, under the names of these copies.

`from pooledhttp.packages.urllib3.poolmanager import PoolManager` gives the class of the installed
urllib3, and every module below these names is the module of the library itself:

    pooledhttp.packages.urllib3    urllib3
    pooledhttp.packages.idna       idna
    pooledhttp.packages.chardet    charset_normalizer

A second import of a module under another name would make second classes, which `except` and
`isinstance` do not recognise. So `AliasFinder` gives an import below these names the module of the
library, and imports it if necessary. It does not take part in any other import.
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

__path__: list[str] = []  # makes the import system look for modules below this one


class AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives imports below one name the modules of other names.

    Args:
        prefix: The module below which names are aliases, without a dot at the end.
        real_name: Returns the module for a dotted name below it; `None` if there is none.
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
        except ModuleNotFoundError as error:
            if error.name == real:
                return None
            raise
        # The import system gives a module the spec by which it was found. This module has a spec
        # already and keeps it, so the new one holds it.
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=real, loader_state=(module, module.__spec__)
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the real module."""
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing, and restore the module's own spec."""
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state[1]


def library_behind(alias: str) -> str | None:
    """Return the module for a dotted name below this one, or `None` if there is none."""
    head, dot, rest = alias.partition(".")
    library = ALIASES.get(head)
    return None if library is None else library + dot + rest


def alias_loaded(prefix: str, aliases: Mapping[str, str]) -> None:
    """Add the modules that are imported already to `sys.modules` under their aliases.

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
