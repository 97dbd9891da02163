"""The `__getattr__` of a module that has given something another name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping

__all__ = ["deprecated_names"]


def deprecated_names(
    namespace: Mapping[str, object], renamed: Mapping[str, str]
) -> Callable[[str], object]:
    """Return a `__getattr__` that finds objects by their earlier names, with a warning.

    Args:
        namespace: `globals()` of the module.
        renamed: The present name for each earlier one.
    """
    module = str(namespace["__name__"])

    def __getattr__(name: str) -> object:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = renamed[name]
        warnings.warn(f"{module}.{name} is now {new}", DeprecationWarning, stacklevel=2)
        # Not `namespace[new]`: the module may load what has that name at its first use.
        return getattr(sys.modules[module], new)

    return __getattr__
