"""Doors: modules that hand on names whose homes are elsewhere.

`pooledhttp.utils` and the like exist because users import names from there, and also *patch* them
there:

    monkeypatch.setattr("pooledhttp.utils.proxy_bypass", lambda host: True)

In requests the functions that would call `proxy_bypass` live in the same module, so they see it.
Here they live in rooms and look the name up in a file of the room. A module turned into a `Door`
therefore hands on what is set or deleted in it to each of the files it was told of that knew the
same thing by the same name:

    utils.proxy_bypass = f    ->    network.proxies.proxy_bypass = f

A name is read straight off the door, at no extra cost.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from pooledhttp.message.charset import to_native_string, unicode_is_ascii
from pooledhttp.message.headers import HEADER_VALIDATORS

__all__ = ["HEADER_VALIDATORS", "Door", "become_door", "to_native_string", "unicode_is_ascii"]

builtin_str = str

_HEADER_VALIDATORS_STR = HEADER_VALIDATORS[str]
_HEADER_VALIDATORS_BYTE = HEADER_VALIDATORS[bytes]
_VALID_HEADER_NAME_RE_STR, _VALID_HEADER_VALUE_RE_STR = _HEADER_VALIDATORS_STR
_VALID_HEADER_NAME_RE_BYTE, _VALID_HEADER_VALUE_RE_BYTE = _HEADER_VALIDATORS_BYTE


class Door(ModuleType):
    """A module that hands on what is set or deleted in it; see `become_door`."""

    #: Name to the modules that share it. An attribute of the module, written by `become_door`.
    _homes: dict[str, tuple[ModuleType, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        for home in self._homes.get(name, ()):
            setattr(home, name, value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        for home in self._homes.get(name, ()):
            vars(home).pop(name, None)
        super().__delattr__(name)


def become_door(name: str, *homes: ModuleType) -> None:
    """Turn a module into a door to others.

    To be called at the module's end, when all its names are there. Names that the module and a
    home share by coincidence, such as `annotations` or `Any`, are not handed on, since they are no
    promise of the module's `__all__`; a promised one is, if both have the same object under it.

    Args:
        name: The module's `__name__`.
        *homes: Where its names live, as files, not as rooms: a file's functions look names up in
            the file.
    """
    door = sys.modules[name]
    shared = {
        promised: tuple(
            home for home in homes if vars(home).get(promised, door) is vars(door)[promised]
        )
        for promised in vars(door)["__all__"]
    }
    vars(door)["_homes"] = shared
    door.__class__ = Door
