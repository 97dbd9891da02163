"""The `__getattr__` of a subpackage whose modules are imported at first use.

`import pooledhttp` needs few of the names that a subpackage exports; the others are needed when a
session is made. Its `__init__` imports them for type checkers alone, and finds them here.

The first use of one name loads all modules of the table. A request made while the interpreter ends,
when nothing can be imported any more, then finds all that its session has needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from importlib import import_module

__all__ = ["load_when_used"]


def load_when_used(
    namespace: MutableMapping[str, object],
    modules: Mapping[str, tuple[str, ...]],
    otherwise: Callable[[str], object] | None = None,
) -> Callable[[str], object]:
    """Return a `__getattr__` that imports the modules at the first use of a name of theirs.

    Args:
        namespace: `globals()` of the subpackage.
        modules: The names that each module of the subpackage defines.
        otherwise: Asked for other names.
    """
    package = namespace["__name__"]
    places = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> object:
        if name in places:
            for each, module in places.items():
                found = getattr(import_module(f"{package}.{module}"), each)
                namespace.setdefault(each, found)
            return namespace[name]
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
