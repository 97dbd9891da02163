"""Adapters that are not ours, which block their thread: they run on worker threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.timing import Deadline, Timeout, timeout_pair

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Response
    from pooledhttp.runtime import EventedRuntime

__all__ = ["WorkerAdapter", "unwrapped", "wrapped"]


class WorkerAdapter(BaseAdapter):
    """Sends through another adapter, on a worker thread.

    Args:
        adapter: Anything with `send` and `close`.
        runtime: Of the session.
    """

    def __init__(self, adapter: Any, runtime: EventedRuntime) -> None:
        super().__init__()
        self.adapter = adapter
        self._runtime = runtime

    def send(  # type: ignore[override]  # whatever the other adapter takes
        self, request: PreparedRequest, stream: bool = False, **kwargs: Any
    ) -> Response:
        """Send a prepared request, and read the body there too, unless the caller streams it."""
        timeout = kwargs.get("timeout")
        if isinstance(timeout, Timeout) and not isinstance(self.adapter, BaseAdapter):
            kwargs["timeout"] = timeout_pair(timeout)

        def send() -> Any:
            response = self.adapter.send(request, stream=stream, **kwargs)
            # A redirect is not streamed: the session discards its body, which would block the loop.
            if not stream or response.is_redirect:
                response.content  # noqa: B018
            return response

        response: Response = self._runtime.call_blocking(send, Deadline.never(self._runtime.now))
        return response

    def close(self) -> None:
        """Close the other adapter."""
        self.adapter.close()


def wrapped(adapter: Any, runtime: EventedRuntime) -> BaseAdapter:
    """Return an adapter that does not block the loop."""
    if isinstance(adapter, (HTTPAdapter, WorkerAdapter)):
        return adapter
    return WorkerAdapter(adapter, runtime)


def unwrapped(adapter: Any) -> Any:
    """Return the adapter that a caller has mounted."""
    return adapter.adapter if isinstance(adapter, WorkerAdapter) else adapter
