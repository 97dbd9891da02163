"""Names of a module that are looked up when they are first used."""

from __future__ import annotations

from pooledhttp.loading.imported import find_imported
from pooledhttp.loading.missing import explain_missing
from pooledhttp.loading.names import load_when_used

__all__ = ["explain_missing", "find_imported", "load_when_used"]
