"""The cache that saves each request the way through urllib3's manager to its `PoolFacade`.

Adapters keep one. A facade is found by origin and settings, and is used only while the files that
its settings name have not changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pooledhttp.network import file_state

if TYPE_CHECKING:
    from pooledhttp.transport.urllib3_face import PoolFacade

__all__ = ["FacadeCache", "file_states"]

#: The most facades that one adapter keeps.
MAX_KEPT = 10_000

_PATH = (str, bytes, os.PathLike)

_NOT_FOUND: tuple[None, tuple[object, ...]] = (None, ())


class FacadeCache:
    """The `PoolFacade`s of one adapter, by origin and settings. A facade has no connections."""

    __slots__ = ("_facades", "_made_by", "_made_with")

    def __init__(self) -> None:
        self._facades: dict[Any, tuple[PoolFacade, tuple[object, ...]]] = {}
        self._made_by: Any = None
        self._made_with: dict[str, Any] = {}

    def find(self, manager: Any, key: Any) -> tuple[PoolFacade | None, tuple[object, ...]]:
        """Return the facade under `key` and the states of the files it was made with.

        Args:
            manager: The adapter's urllib3 manager. The cache is emptied if another manager has made
                its facades, or this one with other settings.
            key: Origin and settings.

        Returns:
            `None` for the facade if there is none.
        """
        settings = getattr(manager, "connection_pool_kw", None)
        if manager is not self._made_by or settings != self._made_with:
            self._facades.clear()
            self._made_by = manager
            self._made_with = dict(settings or {})
        return self._facades.get(key, _NOT_FOUND)

    def keep(self, key: Any, facade: PoolFacade, files: tuple[object, ...]) -> None:
        """Keep a facade, and the states of the files that its settings name."""
        if len(self._facades) >= MAX_KEPT:
            self._facades.clear()
        self._facades[key] = facade, files

    def clear(self) -> None:
        """Forget all."""
        self._facades.clear()


def file_states(verify: Any, cert: Any) -> tuple[object, ...]:
    """Return values that differ once the files named by `verify` and `cert` have changed.

    Called for every request: a changed file must have an effect even if a connection is open.

    Returns:
        A state for each file, `None` for one that does not exist.
    """
    if cert is None:
        if verify is True or verify is False or verify is None:
            return ()
        return (file_state(verify),) if isinstance(verify, _PATH) else ()
    named = [verify, *(cert[:2] if isinstance(cert, tuple) else (cert,))]
    return tuple([file_state(one) for one in named if isinstance(one, _PATH)])
