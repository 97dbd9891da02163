"""Re-export modules: names that are defined elsewhere, in the modules where users look for them.

`pooledhttp.utils` and `pooledhttp.models` exist because users import names from there, and also
*patch* them there:

    monkeypatch.setattr("pooledhttp.utils.proxy_bypass", lambda host: True)

In requests the functions that call `proxy_bypass` are in the same module, so they see the new one.
Here they are in a subpackage and look the name up in a module of it. So a `ReexportModule` sets and
deletes a name also in those modules that have the same object under that name:

    utils.proxy_bypass = f    ->    network.proxies.proxy_bypass = f

Reading a name costs nothing extra.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from pooledhttp.message.charset import to_native_string, unicode_is_ascii
from pooledhttp.message.headers import HEADER_VALIDATORS

__all__ = [
    "HEADER_VALIDATORS",
    "ReexportModule",
    "share_patches",
    "to_native_string",
    "unicode_is_ascii",
]

builtin_str = str

_HEADER_VALIDATORS_STR = HEADER_VALIDATORS[str]
_HEADER_VALIDATORS_BYTE = HEADER_VALIDATORS[bytes]
_VALID_HEADER_NAME_RE_STR, _VALID_HEADER_VALUE_RE_STR = _HEADER_VALIDATORS_STR
_VALID_HEADER_NAME_RE_BYTE, _VALID_HEADER_VALUE_RE_BYTE = _HEADER_VALIDATORS_BYTE


class ReexportModule(ModuleType):
    """A module whose changes take effect in others, too; see `share_patches`."""

    #: Name to the modules that share it. An attribute of the module, set by `share_patches`.
    _owners: dict[str, tuple[ModuleType, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        for owner in self._owners.get(name, ()):
            setattr(owner, name, value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        for owner in self._owners.get(name, ()):
            vars(owner).pop(name, None)
        super().__delattr__(name)


def share_patches(name: str, *owners: ModuleType) -> None:
    """Make changes of a module's names take effect in the modules that define them.

    It is called at the end of the module, when all its names are there. Only names in the module's
    `__all__` are shared, and only with modules that have the same object under the name: two
    modules have names such as `annotations` or `Any` in common without sharing them.

    Args:
        name: The module's `__name__`.
        *owners: The modules that define its names. Not packages: a function looks names up in the
            module that it is defined in.
    """
    module = sys.modules[name]
    shared = {
        exported: tuple(
            owner for owner in owners if vars(owner).get(exported, module) is vars(module)[exported]
        )
        for exported in vars(module)["__all__"]
    }
    vars(module)["_owners"] = shared
    module.__class__ = ReexportModule
