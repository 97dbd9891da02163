"""Modules of a subpackage that are imported when one of their names is first used."""

from __future__ import annotations

from pooledhttp.loading.names import load_when_used

__all__ = ["load_when_used"]
