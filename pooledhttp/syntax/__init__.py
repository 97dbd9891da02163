"""Facts of HTTP that several subpackages need which do not import each other."""

from __future__ import annotations

from pooledhttp.syntax.http import CREDENTIALS, DEFAULT_PORTS, TOKEN

__all__ = ["CREDENTIALS", "DEFAULT_PORTS", "TOKEN"]
