"""Facts of HTTP that parts need which do not know each other."""

from __future__ import annotations

from pooledhttp.syntax.http import CREDENTIALS, DEFAULT_PORTS, TOKEN

__all__ = ["CREDENTIALS", "DEFAULT_PORTS", "TOKEN"]
