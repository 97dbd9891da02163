"""Memory for large bodies that is used again."""

from __future__ import annotations

from pooledhttp.buffers.pool import BufferPool, Piece

__all__ = ["BufferPool", "Piece"]
