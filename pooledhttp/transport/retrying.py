"""The only loop that sends a request more than once.

    Call + Destination -> WireRequest
    while True:
        transport.exchange     one exchange on one leased connection
        -> Arrival             unless the policy refuses its status
        LazyAttempts           decides about errors and statuses, and waits; `Call` is a subclass

A response is returned with its body unread. There is one exception: if the caller does not stream
and the policy retries reads, the body is read here, so that a truncated body is tried again too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from urllib3 import Retry
from urllib3.exceptions import HTTPError

from pooledhttp.http1 import RequestMemo, WireRequest, explain_timeout
from pooledhttp.message import Arrival, without_credentials
from pooledhttp.retry import Attempts, LazyAttempts
from pooledhttp.timing import monotonic

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.hooked import HookedCall
    from pooledhttp.transport.manager import TransportManager
    from pooledhttp.transport.plain_gets import BegunExchange
    from pooledhttp.transport.transport import Replay, WireResponse

__all__ = ["Call", "Destination", "send"]

_new, _init_arrival = object.__new__, Arrival.__init__

#: Statuses whose body is not read here: the session reads or discards it when it redirects.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Call(LazyAttempts):
    """One request as a caller wants it sent, and its attempts.

    Args:
        method: The method.
        target: A path, or a whole URL over a forward proxy.
        headers: Header fields.
        body: `None`, str, bytes, a file or an iterable.
        policy: Which failures are retried, how often, and after which pauses.
        plan: The timeouts.
        chunked: Send the body in chunks.
        is_streamed: The caller reads the body as it comes.
        hooks: Called around each exchange, or what has begun the first one; `None` if there are
            none.
    """

    __slots__ = (
        *("body", "chunked", "headers", "hooks", "is_streamed", "plan", "target"),
        *("_destination", "_manager", "_pool_label", "_request"),
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[Any, Any],
        body: Any,
        policy: Retry,
        plan: TimeoutPlan,
        chunked: bool,
        is_streamed: bool,
        hooks: HookedCall | BegunExchange | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.policy = policy
        self.plan = plan
        self.chunked = chunked
        self.is_streamed = is_streamed
        self.hooks = hooks

    def begin(
        self,
        destination: Destination,
        manager: TransportManager,
        request: WireRequest,
        pool_label: object,
    ) -> None:
        """Note what the attempts need; see `send`."""
        self._destination = destination
        self._manager = manager
        self._request = request
        self._pool_label = pool_label
        self._current = None
        if type(self.policy) is not Retry:  # the lines of `begin_attempts`, without its call
            self._begin()

    def make_attempts(self) -> Attempts:
        """Return the attempts after the first one, and the limits for them."""
        destination, manager, request = self._destination, self._manager, self._request
        return Attempts(
            self.policy,
            method=self.method,
            url=request.url,
            origin=destination.origin,
            runtime=manager.runtime,
            deadline=self.plan.total,
            pool_label=self._pool_label,
            budget=manager.budget,
            pauses=manager.pauses,
            can_resend=lambda: request.can_be_sent,
            rewind=request.rewind_body,
            on_retry=manager.on_retry(destination.origin),
        )

    def has_read_ahead(self, response: WireResponse) -> bool:
        """Read a body, but for that of a redirect; `False` if it broke off and is tried again."""
        if response.head.status in _REDIRECTS:
            return True
        try:
            response.read_ahead()
        except (HTTPError, OSError) as exc:
            error = explain_timeout(exc, self.plan)
            try:
                self.failed(error)
            except (HTTPError, OSError) as refused:
                if refused is not error:
                    raise
                # The policy has nothing to do with it: the response raises it to its reader, as it
                # would have without a policy.
                return True
            return False
        return True


class Destination:
    """Where a call goes. It has slots, and is no tuple: Python reads those faster.

    Args:
        route: The key of its connections.
        origin: The server it is for, whatever proxy it goes through.
        host: The value of the `Host` field if the caller's headers have none.
        is_forwarded: Whether the target is a whole URL, for a forward proxy.
        requests: Makes the requests for the wire, and keeps what they have in common.
    """

    __slots__ = ("host", "is_forwarded", "origin", "requests", "route")

    def __init__(
        self, route: Route, origin: str, host: str, is_forwarded: bool, requests: RequestMemo
    ) -> None:
        self.route = route
        self.origin = origin
        self.host = host
        self.is_forwarded = is_forwarded
        self.requests = requests

    @property
    def base_url(self) -> str:
        """What comes before a request target in the URL: nothing if the target is a whole URL."""
        return "" if self.is_forwarded else f"{self.route.scheme}://{self.host}"


def send(
    call: Call,
    destination: Destination,
    manager: TransportManager,
    replay: Replay,
    pool_label: object = None,
) -> Arrival:
    """Send the call until there is a response to return, or the policy gives up.

    Args:
        call: What to send.
        destination: Where to.
        manager: The pool, and the retry budget and pauses of its origins.
        replay: Which requests are sent again when a reused connection is dead.
        pool_label: The pool that urllib3's error messages name first.

    Raises:
        urllib3.exceptions.HTTPError: It failed; `MaxRetryError` if the policy gave up.
        PoolTimeout: No connection became free in time.
        PoolClosed: The pool was shut down.
    """
    plan, policy = call.plan, call.policy
    request = destination.requests.build(
        call.method,
        call.target,
        destination.host,
        call.headers,
        call.body,
        call.chunked,
        # without credentials, for messages
        without_credentials(call.target) if destination.is_forwarded else call.target,
    )
    # Read the body here if a failed read can be retried. In urllib3's `Retry` a count of `None`
    # sets no limit of its own, and `False` equals 0.
    reads_body_here = not call.is_streamed and policy.total != 0 and policy.read != 0
    transport: Any = manager.transport
    hooked: Any = None
    if call.hooks is not None:
        origin, base_url = destination.origin, destination.base_url
        hooked = partial(call.hooks.exchange, transport.exchange, origin, base_url)
    call.begin(destination, manager, request, pool_label)
    while True:
        try:
            if hooked is None:
                response = transport.exchange(destination.route, request, plan, replay)
            else:
                response = hooked(destination.route, request, plan, replay)
        except (HTTPError, OSError) as error:
            call.failed(explain_timeout(error, plan))
        else:
            # As `Arrival(...)`: Python calls a class in a slower way than a function.
            arrival = _new(Arrival)
            _init_arrival(
                arrival, response, response.head, call.method, call.target, call.policy, monotonic()
            )
            has_field = b"retry-after" in response.head.by_name
            has_retry_after = has_field and arrival.has_value("retry-after")
            # Ask the policy before reading: the body of a refused response may be endless.
            if not call.refused_status(arrival.status, has_retry_after, arrival.raw):
                if not reads_body_here or call.has_read_ahead(response):
                    return arrival
        if plan.spent is not None:
            plan.spent.begin("pausing before a retry")
        call.wait()
