"""Earlier names that modules keep for a while."""

from __future__ import annotations

from pooledhttp.renaming.names import deprecated_names

__all__ = ["deprecated_names"]
