"""Request hooks: called before each request is sent and after it, by the thread that sends it.

A hook is a function that gets the request before it goes out and may change its header fields. What
it returns, if anything, is called after the exchange:

    def hook(request):
        request.headers["X-Request-Id"] = new_id()
        started = time.perf_counter()

        def after(outcome):
            print(request.method, request.url, outcome.status, time.perf_counter() - started)

        return after

Each attempt is one exchange: every retry and every redirect calls the hooks again, and the header
fields that a hook added before are gone. A replay on a new connection belongs to the same exchange.
Several hooks are called in the order in which they were given; what they returned, in reverse
order, as nested `with` blocks end. All of it happens in the thread, the task and the context
(`contextvars`) of the caller. If a hook raises an exception, it is logged, and the request goes on.

A listener gets events instead, which say more and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping

from pooledhttp.events.callables import checked_callables
from pooledhttp.records import record

__all__ = [
    "OutgoingRequest",
    "RequestHook",
    "RequestOutcome",
    "add_request_hook",
    "check_request_hooks",
    "remove_request_hook",
    "shared_request_hooks",
]


@record(frozen=False)
class OutgoingRequest:
    """A request that is about to be sent.

    Attributes:
        method: The method.
        url: The whole URL, without credentials.
        origin: The server, as events and statistics name it.
        headers: The header fields as they will be sent; names in any case. A hook may add, change
            and remove fields, except `Host` and those that frame the body: changes of these have
            no effect.
        resends: How often this request was sent before: retries, redirects and resends of an auth
            handler count.
    """

    method: str
    url: str
    origin: str
    headers: MutableMapping[str, str]
    resends: int = 0


@record
class RequestOutcome:
    """What came of an exchange: the head of a response, or an error.

    Attributes:
        status: The status code; `None` if there was an error.
        reason: The reason phrase.
        version: `1.1` or `1.0`; empty if there was an error.
        headers: The header fields of the response, names in any case.
        error: What ended the exchange; `None` if a response came.
        seconds: From the call of the hooks to the head or the error. A wait for a connection and
            dialling are part of it.
        is_replayed: Whether the request went out a second time, because its kept connection turned
            out to be dead.
    """

    status: int | None
    reason: str
    version: str
    headers: Mapping[str, str]
    error: BaseException | None
    seconds: float
    is_replayed: bool = False


RequestHook = Callable[[OutgoingRequest], Callable[[RequestOutcome], object] | None]

#: The hooks of all sessions. Replaced whole, so that a request in another thread sees one state.
_shared: tuple[RequestHook, ...] = ()


def add_request_hook(hook: RequestHook) -> None:
    """Call a hook for the requests of every session and adapter of this process, from now on.

    For one session alone, pass it as `Session(request_hooks=[hook])`.

    Args:
        hook: Called with each `OutgoingRequest` before it is sent. It returns a function to call
            with the `RequestOutcome`, or None.

    Raises:
        TypeError: It is not callable.
    """
    global _shared
    check_request_hooks((hook,))
    _shared = (*_shared, hook)


def remove_request_hook(hook: RequestHook) -> None:
    """Undo `add_request_hook`.

    Args:
        hook: The hook that was added.

    Raises:
        ValueError: It was not added.
    """
    global _shared
    kept = list(_shared)
    if hook not in kept:
        raise ValueError(f"{hook!r} is not a request hook of this process")
    kept.remove(hook)
    _shared = tuple(kept)


def shared_request_hooks() -> tuple[RequestHook, ...]:
    """Return the hooks that `add_request_hook` has added."""
    return _shared


def check_request_hooks(hooks: Iterable[RequestHook]) -> tuple[RequestHook, ...]:
    """Return the hooks as a tuple.

    Raises:
        TypeError: One of them is not callable, or they are no iterable.
    """
    return checked_callables("request_hooks", hooks, "a request")
