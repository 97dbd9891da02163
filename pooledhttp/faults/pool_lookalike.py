"""Objects that programs take for a pool of urllib3.

urllib3's errors name a pool, and adapters return one. Programs ask whether it is urllib3's, and
read its address: for a message, or to find out which of several servers failed.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pooledhttp.syntax import DEFAULT_PORTS

__all__ = ["NamedPool", "PoolLookalike"]


class PoolLookalike:
    """Passes `isinstance` for the class of urllib3's pools of its scheme, without being one.

    Attributes:
        scheme: `http`, `https` or `http+unix`.
        host: Name or address, or the path of the Unix socket.
        port: TCP port; 0 for a Unix socket.
    """

    scheme: str
    host: str
    port: int

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class of urllib3's that this is taken for."""
        return HTTPSConnectionPool if self.scheme == "https" else HTTPConnectionPool

    def __repr__(self) -> str:
        # The text of MaxRetryError begins with this, and programs match that text.
        return f"{self.__class__.__name__}(host={self.host!r}, port={self.port!r})"


class NamedPool(PoolLookalike):
    """The pool that an error names where only the server is known.

    Args:
        origin: The server as `scheme://host:port`.
    """

    proxy = None

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self.scheme = parts.scheme
        if parts.scheme in DEFAULT_PORTS:
            self.host = parts.hostname or ""
            self.port = parts.port or DEFAULT_PORTS[parts.scheme]
        else:
            self.host, self.port = unquote(parts.netloc), 0
