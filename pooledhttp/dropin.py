"""Runs code written for `requests` over pooledhttp, without changing that code.

While the alias is installed, `import requests`, `import requests.adapters`, `from
requests.packages.urllib3 import x` and the rest find pooledhttp. There are three kinds of module
under those names:

    requests                  a stand-in: every name of pooledhttp, with the version of requests
    requests.packages.X...    the modules of X (urllib3, idna, chardet) themselves, as in requests
    requests.Y...             the modules of pooledhttp.Y themselves: patching one patches the other

`install` works for this process alone, through `sys.modules` and one finder at the front of
`sys.meta_path`; no file on disk changes. A module that imported the real requests before `install`
keeps it: install first, at the top of a program, or start the program with `pooledhttp run`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

from pooledhttp.packages import ALIASES, AliasFinder, library_behind

__all__ = ["install", "installed", "is_installed", "uninstall"]

_ALIAS = "requests"
_OURS = "pooledhttp"

#: The version and names of the release that is followed; code reads them to see what it may use.
_FACTS: dict[str, object] = {
    "__title__": "requests",
    "__description__": "Python HTTP for Humans.",
    "__url__": "https://requests.readthedocs.io",
    "__version__": "2.34.2",
    "__build__": 0x023402,
    "__author__": "Kenneth Reitz",
    "__author_email__": "me@kennethreitz.org",
    "__license__": "Apache-2.0",
    "__copyright__": "Copyright Kenneth Reitz",
    "__cake__": "\u2728 \U0001f370 \u2728",
}


class _StandIn(ModuleType):
    """The module `requests`: the names that pooledhttp had at `install`, and those added since.

    It is a module of its own because `__version__` has to differ. A name that is set here, such as
    `requests.get = ...`, is set for all users of `requests`, and not in pooledhttp.
    """

    def __getattr__(self, name: str) -> object:
        """Find a name that was added to pooledhttp since, such as a submodule."""
        try:
            return getattr(importlib.import_module(_OURS), name)
        except AttributeError:
            raise AttributeError(f"module {_ALIAS!r} has no attribute {name!r}") from None

    def __dir__(self) -> list[str]:
        """Return the names that need no import: `inspect.getmembers` reads each."""
        return sorted(self.__dict__)


def _real_name(alias: str) -> str:
    """Return the module for a name below `requests`."""
    head, _, rest = alias.partition(".")
    return (library_behind(rest) if head == "packages" else None) or f"{_OURS}.{alias}"


_finder = AliasFinder(_ALIAS, _real_name)
_replaced: dict[str, ModuleType] = {}
_set_aside: dict[str, str] = {}  # what `_also_served` held


def _stand_in() -> ModuleType:
    ours = importlib.import_module(_OURS)
    module = _StandIn(_ALIAS, ours.__doc__)
    kept = {"__all__", "__file__", "__path__"}
    names = {key for key in vars(ours) if key in kept or not key.startswith("__")}
    module.__dict__.update({key: vars(ours)[key] for key in names}, **_FACTS)
    module.__package__ = _ALIAS
    module.__spec__ = ModuleSpec(_ALIAS, None, is_package=True)
    return module


def _version_module() -> ModuleType:
    module = ModuleType(f"{_ALIAS}.__version__")
    module.__dict__.update(_FACTS)
    module.__package__ = _ALIAS
    return module


def _take_aliases() -> dict[str, ModuleType]:
    """Remove `requests` and every module below it from `sys.modules`, and return them."""
    names = [name for name in sys.modules if name == _ALIAS or name.startswith(f"{_ALIAS}.")]
    return {name: sys.modules.pop(name) for name in names}


def is_installed() -> bool:
    """Return whether `import requests` gives pooledhttp in this process."""
    return _finder in sys.meta_path


def install() -> None:
    """Make `requests` and all its submodules mean pooledhttp in this process, from now on.

    `requests.__version__` is then "2.34.2" and `requests.__build__` 0x023402, while pooledhttp's
    own stay as they are. A second call does nothing.
    """
    if is_installed():
        return
    stand_in = _stand_in()
    _replaced.update(_take_aliases())
    sys.meta_path.insert(0, _finder)
    sys.modules[_ALIAS] = stand_in
    # It has to be there: an import would replace the string `requests.__version__` by the module.
    sys.modules[f"{_ALIAS}.__version__"] = _version_module()
    # `requests.packages` is not a package for the import system, which would not look below it.
    # Below these modules it does.
    for name, library in ALIASES.items():
        sys.modules[f"{_ALIAS}.packages.{name}"] = importlib.import_module(library)
    _set_aside.update(_also_served())
    _also_served().clear()


def _also_served() -> dict[str, str]:
    """Return the prefixes that sessions serve without an adapter; requests serves none."""
    served: dict[str, str] = importlib.import_module(f"{_OURS}.sessions").ALSO_SERVED
    return served


def uninstall() -> None:
    """Undo `install`: later imports find the real requests again, or none."""
    if not is_installed():
        return
    sys.meta_path.remove(_finder)
    _take_aliases()
    sys.modules.update(_replaced)
    _replaced.clear()
    _also_served().update(_set_aside)


@contextmanager
def installed() -> Iterator[None]:
    """Install for the length of a `with` block; one installed before stays installed."""
    was_installed = is_installed()
    install()
    try:
        yield
    finally:
        if not was_installed:
            uninstall()
