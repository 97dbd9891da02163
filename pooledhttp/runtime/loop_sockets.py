"""The sockets that an event loop watches for a runtime, and calls into the thread of that loop.

Sockets are watched by descriptor. A registered socket is therefore closed in the thread of the loop
and after it was removed: otherwise the loop would take a new socket with the same descriptor for
the old one. That is why `close_socket` is a method of the runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from threading import get_ident

from pooledhttp.runtime.driven import WAITS_OUTSIDE
from pooledhttp.runtime.driver import Driver
from pooledhttp.runtime.readers import readers_for
from pooledhttp.runtime.watch import Readers, Watch

__all__ = ["LoopSockets"]


class LoopSockets:
    """The part of `EventedRuntime` that knows the loop, its thread and its sockets."""

    #: Knows the loop and its thread.
    _driver: Driver
    #: By descriptor.
    _watches: dict[int, Watch]
    _readers: Readers | None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that this runtime belongs to.

        Raises:
            RuntimeError: No loop has used it yet.
        """
        loop = self._driver.loop
        if loop is None:
            raise RuntimeError(WAITS_OUTSIDE)
        return loop

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the thread of the loop."""
        return self._driver.thread_id == get_ident()

    def end_waits_of_closed_loop(self) -> None:
        """End the requests that wait on a loop that was closed; `EventedRuntime` does it."""
        raise NotImplementedError

    def forget(self, sock: socket.socket) -> None:
        """Have the loop forget a socket whose descriptor another object is to take over."""
        watch = self._watches.get(sock.fileno())
        if watch is not None and watch.socket() is sock:
            self._forget_watch(watch)

    def close_socket(self, sock: socket.socket) -> None:
        """Close a socket; in the thread of the loop, if the loop knows it."""
        watch = self._watches.get(sock.fileno())
        if watch is None or watch.socket() is not sock:
            sock.close()
            return

        def close() -> None:
            if self._watches.get(watch.fd) is watch:
                del self._watches[watch.fd]
            watch.remove()
            with contextlib.suppress(OSError):
                sock.close()

        if self._is_own_thread():
            close()
        else:
            self.call_from_anywhere(close, in_task=close)

    def _is_own_thread(self) -> bool:
        """Whether no callback of the loop can run meanwhile."""
        loop = self._driver.loop
        return loop is None or get_ident() == self._driver.thread_id or loop.is_closed()

    def _watch_of(self, fd: int, sock: socket.socket) -> Watch:
        watch = self._watches.get(fd)
        if watch is not None:
            if watch.socket() is sock:
                return watch
            del self._watches[fd]  # closed behind our back
            watch.remove()
        readers = self._readers
        if readers is None:
            readers = self._readers = readers_for(
                self.loop, self._watches, self.end_waits_of_closed_loop
            )
        watch = self._watches[fd] = Watch(self.loop, readers, fd, sock, self._forget_watch)
        return watch

    def _forget_watch(self, watch: Watch) -> None:
        if not self._is_own_thread():
            self.call_from_anywhere(
                lambda: self._forget_watch(watch), in_task=lambda: self._forget_watch(watch)
            )
        elif self._watches.get(watch.fd) is watch:
            del self._watches[watch.fd]
            watch.remove()

    def call_from_anywhere(
        self, fn: Callable[[], object], *, in_task: Callable[[], object]
    ) -> None:
        """Call `fn` in a callback of the loop, or `in_task` at once where a task is running.

        Only a running task is certain not to be a signal handler in the middle of the loop's wait,
        and a wait notices nothing but what comes from another thread.
        """
        loop = self._driver.loop
        if loop is None:
            return
        if get_ident() == self._driver.thread_id and asyncio.current_task(loop) is not None:
            in_task()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(fn)
