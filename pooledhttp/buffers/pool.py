"""Buffers that are filled with a part of a body, used, and filled again.

```
fill     a free buffer -> a view of what a read has written into it    half of it or more
                       -> a copy, and the buffer stays free            less
release  a view        -> its buffer is free
```

The bytes of a large body are needed only until they are in a file. New memory for each
read would cost a page fault every 4 KiB, and the bytes of several TLS records would have to be
joined. The buffer that was released last is filled first: it is still in the cache of the
processor.

A buffer is taken when there is something to read, and not while a read waits. So a thousand bodies
that come slowly need one buffer.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["BufferPool", "Piece"]

#: A part of a body. A view is good until it is released.
Piece = bytes | memoryview


class BufferPool:
    """Buffers of one size, for any thread.

    Args:
        size: The bytes of a buffer.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[bytearray] = []  # `append` and `pop` need no lock

    def fill(self, read_into: Callable[[memoryview], int], max_bytes: int) -> Piece:
        """Read into a buffer.

        Args:
            read_into: Writes what has arrived into a view, and returns how many bytes that was. It
                does not wait.
            max_bytes: The most to read.

        Returns:
            What was read. A view belongs to the caller until it is released; one that never is
            costs a later `fill` a new buffer.

        Raises:
            BaseException: What `read_into` raises.
        """
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(self.size)
        whole = memoryview(buffer)
        is_lent = False
        try:
            # Released even if the traceback of an error keeps it.
            with whole[:max_bytes] as view:
                count = read_into(view)
            is_lent = 2 * count >= self.size
            return whole[:count] if is_lent else bytes(whole[:count])
        finally:
            whole.release()
            if not is_lent:
                self._free.append(buffer)

    def release(self, piece: Piece) -> None:
        """Take back a view that is no longer needed. A piece of bytes is ignored.

        Raises:
            ValueError: It was released before.
        """
        if type(piece) is memoryview:
            buffer = piece.obj
            piece.release()
            if type(buffer) is bytearray and len(buffer) == self.size:
                self._free.append(buffer)
