"""Which runtime the calling code runs on, if it runs on one of an event loop.

A hook that is called in a greenlet may make a session of its own, or call `pooledhttp.get`. That
session has to wait in the same way as its caller, or it would block the loop. So a session that is
given no runtime takes the one of the code that makes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.runtime.base import Runtime

__all__ = ["current_runtime"]


def current_runtime() -> Runtime | None:
    """Return the runtime in whose greenlet the caller runs; None on an ordinary thread."""
    # Code that runs inside a greenlet has imported the library: no need to import it here.
    library = sys.modules.get("greenlet")
    if library is None:
        return None
    return getattr(library.getcurrent(), "pooledhttp_runtime", None)
