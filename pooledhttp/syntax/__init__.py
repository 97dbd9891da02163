"""Facts of HTTP that parts need which do not know each other."""

from __future__ import annotations

from pooledhttp.syntax.http import DEFAULT_PORTS, TOKEN

__all__ = ["DEFAULT_PORTS", "TOKEN"]
