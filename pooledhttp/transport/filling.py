"""Makes `bytes` of a known size without a copy.

Bytes cannot be written to, and joining pieces copies them all: for ten mebibytes that costs more
than receiving them, because each fresh page of memory costs a page fault. `BytesIO` is the way
around it in pure Python: it hands out its buffer (`getvalue`) without a copy, and lets it be
written in place before that (`getbuffer`).
"""

from __future__ import annotations

import io
from collections.abc import Callable

__all__ = ["filled_bytes"]

#: A buffer of more bytes grows as they arrive: a server that announces a terabyte and sends ten
#: bytes must not cost a terabyte.
FIRST_BYTES = 2 * 1024 * 1024


class _Buffer(io.BytesIO):
    """Can be finalized while a view of it exists.

    The collector, or the end of the interpreter, may find both in a frame of a thread or of a
    traceback. Python 3.13 reports that such a buffer could not be closed, which is of no use.
    """

    def close(self) -> None:
        try:
            super().close()
        except BufferError:
            return


def filled_bytes(
    size: int, fill: Callable[[memoryview], int], *, is_partial_good: bool = False
) -> bytes:
    """Return `size` bytes, fewer if there are no more.

    Args:
        size: How many bytes are announced.
        fill: Writes into a view and returns how many bytes it wrote, 0 when there are no more.
        is_partial_good: Return what came before an error of `fill`, which would raise it again.
    """
    out = _Buffer()
    done = room = 0
    while done < size:
        if done == room:
            room = min(size, max(FIRST_BYTES, 2 * done))
            out.seek(room - 1)
            out.write(b"\0")
        # Views are released even if the traceback of an error keeps them. Python 3.12.1 crashes
        # when the cyclic collector finds a `BytesIO` together with a view that is not released.
        with out.getbuffer() as view:
            try:
                with view[done:] if done else view as part:
                    count = fill(part)
            except Exception:
                if not (is_partial_good and done):
                    raise
                break
        if not count:
            break
        done += count
    # A part is copied: the traceback of an error may still hold a view, and so the buffer.
    return out.getvalue() if done == size else bytes(out.getbuffer()[:done])
