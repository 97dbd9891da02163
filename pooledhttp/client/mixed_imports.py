"""Warns of adapters of requests that are mounted on a session of this package."""

from __future__ import annotations

import warnings

from pooledhttp.exceptions import MixedImportWarning

__all__ = ["warn_of_mixed_import"]

#: Classes that were warned of. One warning for each is enough.
_known: set[type] = set()


def warn_of_mixed_import(adapter: object) -> None:
    """Warn, once for a class, if an adapter is one of requests and not of this package.

    Such an adapter works, but not over the session's pool. While `requests` means this package
    (`dropin`), its adapters are ours, and there is nothing to warn of.
    """
    kind = type(adapter)
    if kind in _known or not any(
        base.__module__.partition(".")[0] == "requests" for base in kind.__mro__
    ):
        return
    _known.add(kind)
    warnings.warn(
        f"{kind.__module__}.{kind.__qualname__} is an adapter of requests, mounted on a Session of"
        " pooledhttp: its requests do not use the pool, and raise the exceptions of requests, which"
        " `except pooledhttp.RequestException` does not catch. Import HTTPAdapter from"
        " pooledhttp.adapters, or call pooledhttp.dropin.install() before requests is imported."
        " `pooledhttp check` lists such imports.",
        MixedImportWarning,
        stacklevel=3,
    )
