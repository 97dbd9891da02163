"""Calls request hooks around each exchange of one call; see `events.request_hooks`.

Hooks change a copy of the header fields, for one attempt only. So a field that a hook adds for one
origin is not sent to another one after a redirect, and each retry has fields of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from pooledhttp.events import (
    OutgoingRequest,
    RequestHook,
    RequestOutcome,
    shared_request_hooks,
)
from pooledhttp.exceptions import InvalidHeader
from pooledhttp.http1 import CheckedFields, WireRequest
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.timing import monotonic
from pooledhttp.transport.http_client_hook import http_client_hook, is_http_client_patched

if TYPE_CHECKING:
    from pooledhttp.http1 import Head
    from pooledhttp.network import Route
    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.transport import Replay, WireResponse

    class Exchange(Protocol):
        """The signature of `Transport.exchange`."""

        def __call__(
            self, route: Route, request: WireRequest, plan: TimeoutPlan, replay: Replay
        ) -> WireResponse: ...


__all__ = ["HookedCall", "hooks_in_force"]

logger = logging.getLogger(__name__)

After = Callable[[RequestOutcome], object]

#: Fields that the client decides. Others would disagree with the body that is sent.
_KEPT = frozenset({"host", "content-length", "transfer-encoding"})


def hooks_in_force(own: tuple[RequestHook, ...]) -> tuple[RequestHook, ...]:
    """Return the hooks for a request: those of the process first, then the adapter's own."""
    hooks = shared_request_hooks() + own
    return (http_client_hook, *hooks) if is_http_client_patched() else hooks


class HookedCall:
    """The hooks of one call.

    Args:
        hooks: Called for each exchange.
        sends: How often the request was sent before this call.

    Attributes:
        sends: How often it has been sent by now.
    """

    __slots__ = ("_hooks", "sends")

    def __init__(self, hooks: Sequence[RequestHook], sends: int) -> None:
        self._hooks = hooks
        self.sends = sends

    def exchange(
        self,
        exchange: Exchange,
        origin: str,
        base_url: str,
        route: Route,
        request: WireRequest,
        plan: TimeoutPlan,
        replay: Replay,
    ) -> WireResponse:
        """Call `exchange` with the hooks around it.

        Args:
            exchange: `Transport.exchange`.
            origin: The server that the request is for.
            base_url: What comes before the target in the URL; empty if the target is a URL.
            route: As for `exchange`; so are the other arguments.
            request: Its fields are those of the hooks while it is sent.
            plan: The timeouts.
            replay: Which requests are sent again when a reused connection is dead.
        """
        fields, checked, request.was_replayed = request.headers, request.checked, False
        outgoing = OutgoingRequest(
            request.method.decode("latin-1"),
            base_url + request.url,
            origin,
            CaseInsensitiveDict(_as_text(fields)),
            self.sends,
        )
        started = monotonic()
        afters = self._call_before(outgoing)
        self.sends += 1
        try:
            changed = _merged(fields, outgoing)
            if changed != fields:
                request.headers, request.checked = changed, CheckedFields()
            response = exchange(route, request, plan, replay)
        except BaseException as error:
            _call_after(afters, _outcome(request, started, error=error))
            raise
        finally:
            request.headers, request.checked = fields, checked
        try:
            _call_after(afters, _outcome(request, started, response.head))
        except BaseException:
            response.close()
            raise
        return response

    def _call_before(self, outgoing: OutgoingRequest) -> list[After]:
        """Call the hooks; return what they returned, the last one first."""
        afters: list[After] = []
        for hook in self._hooks:
            try:
                after = hook(outgoing)
            except Exception as error:  # the request goes on
                logger.warning("Request hook %r failed", hook, exc_info=error)
            else:
                if after is not None:
                    afters.insert(0, after)
        return afters


def _outcome(
    request: WireRequest,
    started: float,
    head: Head | None = None,
    error: BaseException | None = None,
) -> RequestOutcome:
    """Return what hooks are told after an exchange: of its response, or of its error."""
    seconds = monotonic() - started
    if head is None:
        return RequestOutcome(None, "", "", {}, error, seconds, request.was_replayed)
    version = f"{head.version // 10}.{head.version % 10}"
    fields = CaseInsensitiveDict(head.headers)
    return RequestOutcome(
        head.status, head.reason, version, fields, None, seconds, request.was_replayed
    )


def _call_after(afters: list[After], outcome: RequestOutcome) -> None:
    for after in afters:
        try:
            after(outcome)
        except Exception as error:  # the response, or the error of the request, goes on
            logger.warning("Request hook %r failed", after, exc_info=error)


def _as_text(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}


def _merged(
    fields: list[tuple[bytes, bytes]], outgoing: OutgoingRequest
) -> list[tuple[bytes, bytes]]:
    """Return the fields as the hooks left them, but for those that they cannot change.

    Raises:
        InvalidHeader: A hook set a value that cannot be encoded.
    """
    wanted = CaseInsensitiveDict(outgoing.headers)
    merged = []
    for raw_name, value in fields:
        name = raw_name.decode("latin-1")
        if name.lower() in _KEPT:
            merged.append((raw_name, value))
        elif name in wanted:
            merged.append((raw_name, _encode(name, wanted.pop(name))))
    added = [item for item in wanted.items() if item[0].lower() not in _KEPT]
    return merged + [(name.encode("latin-1"), _encode(name, value)) for name, value in added]


def _encode(name: str, value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except (UnicodeEncodeError, AttributeError) as error:
        raise InvalidHeader(
            f"A request hook set the header {name!r} to {value!r}, which is not latin-1 text."
        ) from error
