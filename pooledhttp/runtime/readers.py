"""How an event loop learns which sockets can be read.

A loop of asyncio takes some 120 bytecodes of Python to get from a readable socket to its callback.
So where the system has epoll, the sockets of a runtime are registered with an epoll object of its
own. The loop watches the one descriptor of that object, and one callback serves all sockets that
can be read. Elsewhere each socket is registered with the loop.

The epoll object exists while a socket is registered. So it needs no close of its own, and a loop
that is over leaves no descriptor behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import select
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from pooledhttp.runtime.watch import Readers, Watch

__all__ = ["readers_for"]

#: Sockets that one callback serves. The others are served in the next turn of the loop, after the
#: callbacks of other code.
MOST_EVENTS = 64


class LoopReaders:
    """Registers each socket with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def add(self, watch: Watch) -> None:
        """Have `watch.on_readable` called when its socket can be read."""
        _add_reader(self._loop, watch.fd, watch.on_readable)

    def remove(self, watch: Watch) -> None:
        """Undo `add`."""
        if not self._loop.is_closed():
            self._loop.remove_reader(watch.fd)


class EpollReaders:
    """Registers each socket with an epoll object, and the epoll object with the loop.

    Args:
        loop: Calls back.
        watches: Descriptor to watch, for all sockets that are registered.
        on_loop_closed: A method, held weakly. Called if the loop is closed while sockets are
            registered.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watches: Mapping[int, Watch],
        on_loop_closed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._watches = watches
        self._on_loop_closed = weakref.WeakMethod(on_loop_closed)
        self._count = 0
        self._epoll: Any = None

    def add(self, watch: Watch) -> None:
        """Have the code woken that waits for `watch`, when its socket can be read."""
        epoll = self._epoll or self._open()
        try:
            epoll.register(watch.fd, select.EPOLLIN)
            self._count += 1
        finally:
            self._close_if_unused()

    def remove(self, watch: Watch) -> None:
        """Undo `add`."""
        with contextlib.suppress(OSError):  # it was closed, and the system has removed it
            self._epoll.unregister(watch.fd)
        self._count -= 1
        self._close_if_unused()

    def _open(self) -> Any:
        epoll = self._epoll = select.epoll()
        _add_reader(self._loop, epoll.fileno(), _Callback(self))
        return epoll

    def _close_if_unused(self) -> None:
        if self._count:
            return
        epoll, self._epoll = self._epoll, None
        if not self._loop.is_closed():
            self._loop.remove_reader(epoll.fileno())
        epoll.close()

    def on_ready(self) -> None:
        """Wake the code that waits for the sockets that can be read."""
        watches = self._watches
        for fd, _ in self._epoll.poll(0, MOST_EVENTS):
            watch = watches.get(fd)
            if watch is None:
                continue  # the code that ran for another socket has removed it
            driven = watch.reader
            if driven is None:
                watch.stop_reading()
                continue
            watch.is_readable = True
            wakeup = driven.wakeup
            if wakeup is not None:  # as `driven.wake`, without the call
                driven.wakeup = None
                driven.wakeup_context.run(wakeup, driven)

    def on_dropped_by_loop(self) -> None:
        """Tell the runtime if the loop was closed."""
        on_loop_closed = self._on_loop_closed()
        if self._count and on_loop_closed is not None and self._loop.is_closed():
            on_loop_closed()


class _Callback:
    """What a loop calls. The loop alone refers to it: so its end tells that the loop was closed.

    No loop tells that by a callback. It matters because requests may be open then.
    """

    __slots__ = ("_readers",)

    def __init__(self, readers: EpollReaders) -> None:
        self._readers = readers

    def __call__(self) -> None:
        self._readers.on_ready()

    def __del__(self) -> None:
        self._readers.on_dropped_by_loop()


def _add_reader(loop: asyncio.AbstractEventLoop, fd: int, fn: Callable[[], None]) -> None:
    # In an empty context: the loop would keep that of the caller.
    contextvars.Context().run(loop.add_reader, fd, fn)


def readers_for(
    loop: asyncio.AbstractEventLoop,
    watches: Mapping[int, Watch],
    on_loop_closed: Callable[[], None],
) -> Readers:
    """Return the better way that the system has; see `EpollReaders` for the arguments."""
    if hasattr(select, "epoll"):
        return EpollReaders(loop, watches, on_loop_closed)
    return LoopReaders(loop)
