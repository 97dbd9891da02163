"""The shortest way of a plain GET: known bytes over a connection that is idle, a small response.

Many GETs to one host differ in their target, and their responses in a few values. `PlainGets`
has the rest of the request ready, and finds the head of the response by its shape. It makes no
objects for a request, a head or a body.

    PlainGets.get   a `WholeResponse`: the body, and what it is of. Its connection is kept for the
                    next request until `release`. `arrival` makes a response of it
                    a `BegunExchange`: anything else. `retrying.send` goes on with it, by all its
                    rules
                    None: nothing was done

What it leaves to the general way: connections that are new or watched, errors, other statuses,
bodies that are large, chunked or broken off, and all requests while exchanges are logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from urllib3.connection import HTTPConnection

from pooledhttp.exceptions import PoolClosed, PoolTimeout
from pooledhttp.http1 import HeadShapes, encode_plain
from pooledhttp.message import Arrival
from pooledhttp.timing import monotonic
from pooledhttp.transport import reasons
from pooledhttp.transport.body import BodyReader
from pooledhttp.transport.exchange_log import is_logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import Retry

    from pooledhttp.http1 import Connection, Head, HeadShape, WireRequest
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.transport import Replay, Transport, WireResponse

__all__ = ["BegunExchange", "PlainGets", "WholeResponse"]

_GET = b"GET "


class WholeResponse(NamedTuple):
    """A response with status 200 that was received as a whole.

    Attributes:
        body: Its body, as it was sent.
        etag: Its ETag; `None` if it has none.
        modified: Its Last-Modified; `None` if it has none.
        head: The bytes of its head.
        shape: The shape of its head.
        started_at: When it was asked for, by `timing.monotonic`.
        arrived_at: When its head was there.
    """

    body: bytes
    etag: str | None
    modified: str | None
    head: bytes
    shape: HeadShape
    started_at: float
    arrived_at: float


class WholeArrival(Arrival):
    """A response whose body was received with its head, of which nothing has been read yet.

    Args:
        whole: The response.
        plan: The timeouts of its request.
        target: The target of its request.
        retries: The policy, which had nothing to do.
    """

    __slots__ = ("_bytes", "_head", "_plan", "_reader", "_shape")

    def __init__(
        self, whole: WholeResponse, plan: TimeoutPlan, target: str, retries: Retry
    ) -> None:
        self._bytes = whole.head
        self._shape = whole.shape
        self._plan = plan
        self._head: Head | None = None
        self._reader: BodyReader | None = None
        self.status = 200
        self.reason = whole.shape.reason
        self.request_method = "GET"
        self.request_url = target
        self.retries = retries
        self.arrived_at = whole.arrived_at
        self._fields = None
        self._raw = None
        self._body_bytes = len(whole.body)
        self.sets_cookies = False

    @property
    def head(self) -> Head:  # type: ignore[override]
        """The head, made of its bytes when it is asked for."""
        if self._head is None:
            self._head = self._shape.head_of(self._bytes)
        return self._head

    @property
    def reader(self) -> BodyReader:  # type: ignore[override]
        """The body, which was read to its end."""
        if self._reader is None:
            self._reader = BodyReader.at_end(self.head, self._plan)
        return self._reader

    def close(self) -> None:
        """Do nothing: the connection is at rest."""


class BegunExchange:
    """An exchange that the short way has begun, and the general way ends.

    Args:
        gets: What has begun it.
        lease: Its lease.
        started_at: When it was begun, by `timing.monotonic`.
        is_sent: Whether sending was begun.
        error: What ended it; `None` if it can go on.
    """

    __slots__ = ("_error", "_gets", "_is_sent", "_lease", "sends", "started_at")

    def __init__(
        self,
        gets: PlainGets,
        lease: Lease[Route, Connection],
        started_at: float,
        is_sent: bool,
        error: Exception | None = None,
    ) -> None:
        self.started_at = started_at
        self._gets = gets
        self._lease: Lease[Route, Connection] | None = lease
        self._is_sent = is_sent
        self._error = error
        #: As `HookedCall` counts them, whose place this takes for a call.
        self.sends = 0

    def exchange(
        self,
        exchange: Callable[[Route, WireRequest, TimeoutPlan, Replay], WireResponse],
        origin: str,
        base_url: str,
        route: Route,
        request: WireRequest,
        plan: TimeoutPlan,
        replay: Replay,
    ) -> WireResponse:
        """End the exchange, with the arguments of `HookedCall.exchange`; later ones are new."""
        self.sends += 1
        lease, self._lease = self._lease, None
        if lease is None:
            return exchange(route, request, plan, replay)
        connection = lease.resource
        begun = self if self._is_sent else None
        transport, shapes = self._gets.transport, self._gets.shapes
        response = transport.exchange_over(lease, route, request, plan, replay, None, begun)
        if connection is not None:
            connection.learn_shape(response.head, shapes)
        return response

    def go_on(self) -> None:
        """Raise what has ended the exchange; return if the head of its response is to be read."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def drop(self) -> None:
        """End an exchange that nothing goes on with."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.discard(reasons.INTERRUPTED)


class PlainGets:
    """Plain GETs to one host that differ in their targets only.

    Args:
        transport: Sends what is left to the general way.
        route: The key of the connections.
        request: One of the requests, whose fields are checked and written.
        plan: The timeouts, without a total.
        shapes: The shapes of the host's heads.
    """

    __slots__ = ("_kept", "_plan", "_rest", "_route", "shapes", "transport")

    def __init__(
        self,
        transport: Transport,
        route: Route,
        request: WireRequest,
        plan: TimeoutPlan,
        shapes: HeadShapes,
    ) -> None:
        self.transport = transport
        self.shapes = shapes
        self._route = route
        self._plan = plan
        self._rest = b" HTTP/1.1\r\n" + request.checked.block
        #: Leases of callers that mostly use them again at once: `renew` costs less than two steps.
        #: And for how long the server has said that it keeps an idle connection.
        self._kept: list[tuple[Lease[Route, Connection], float | None]] = []

    @staticmethod
    def fits(request: WireRequest, plan: TimeoutPlan) -> bool:
        """Whether requests like this one can go this way; its fields have been checked."""
        checked = request.checked
        return (
            checked.is_for(request)
            and not (checked.says_close or checked.length)
            and request.body is None
            and plan.spent is None
            and plan.urllib3_total is None
        )

    def get(self, target: str) -> WholeResponse | BegunExchange | None:
        """Send a GET.

        Args:
            target: The target, in canonical form.

        Returns:
            The response, what has to be gone on with, or `None` if nothing was done.
        """
        plain = encode_plain(target)
        if plain is None or is_logged() or HTTPConnection.debuglevel > 0:
            return None
        if self.transport.listeners or not self.shapes.may_fit:
            return None
        started_at = monotonic()
        try:
            lease = self._lease()
        except (PoolClosed, PoolTimeout):
            return None  # the general way says so
        connection, slot = lease.resource, lease.slot
        if connection is None or slot is None or slot.watch is not None or not self.shapes:
            return BegunExchange(self, lease, started_at, is_sent=False)
        try:
            data = b"".join((_GET, plain, self._rest))
            whole = connection.exchange_whole(data, target, self.shapes, self._plan)
        except Exception as error:  # the general way raises it
            return BegunExchange(self, lease, started_at, is_sent=True, error=error)
        except BaseException as error:
            lease.discard(type(error).__name__)
            raise
        if whole is None:
            return BegunExchange(self, lease, started_at, is_sent=True)
        body, found, shape, arrived_at = whole
        self._kept.append((lease, shape.keep_seconds))
        head, etag, modified = found.group(0, "etag", "modified")
        return WholeResponse(
            body,
            None if etag is None else etag.decode("ascii"),
            None if modified is None else modified.decode("ascii"),
            head,
            shape,
            started_at,
            arrived_at,
        )

    def arrival(self, whole: WholeResponse, target: str, retries: Retry) -> Arrival:
        """Return a response of `get` as the general way returns it.

        Args:
            whole: The response.
            target: The target of its request.
            retries: The policy of the request.
        """
        return WholeArrival(whole, self._plan, target, retries)

    def _lease(self) -> Lease[Route, Connection]:
        """Return a lease, the one that was kept if there is one."""
        try:
            while self._kept:
                lease, _ = self._kept.pop()
                if lease.renew():
                    return lease
        except IndexError:
            pass  # another thread has taken it
        plan = self._plan
        return self.transport.pool.acquire(self._route, plan.total.sooner(plan.pool))

    def release(self) -> None:
        """Release what is kept. To be called when the next request is for another host, or none."""
        try:
            while self._kept:
                lease, keep_seconds = self._kept.pop()
                lease.release(keep_seconds)
        except IndexError:
            pass  # another thread has taken it
