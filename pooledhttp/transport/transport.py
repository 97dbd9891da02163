"""One exchange on one leased connection.

    lease = pool.acquire(route)             the only place that waits for a free connection
    the lease has a connection -> use it    the pool has probed it
    the lease has an empty slot -> dial, and fill the slot
    send, read the head                     then the reader of the body owns the lease

A replay: a connection that the server closed while it was idle looks alive until the close arrives.
So a reused connection may die before the first byte of a response. If the request may be sent
again, it is sent once more, on a new connection. That cannot loop, because a new connection is not
replayed. It is not counted as a retry, because no server has responded.

Some servers send `408 Request Timeout` when they close an idle connection. If it arrives as the
response on a reused connection, it is that close, not a response to the request. So the request is
replayed as well (RFC 9110, section 15.5.9, allows that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from pooledhttp.events import HeadRepaired, Listeners, Replayed
from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.http1 import Connection, Head, HeadMemos, ResponseLimits, WireRequest
from pooledhttp.message import Reader
from pooledhttp.records import replace
from pooledhttp.timing import monotonic
from pooledhttp.transport.body import BodyReader
from pooledhttp.transport.exchange_log import (
    is_logged,
    log_failed,
    log_opened,
    log_replay,
    log_response,
)
from pooledhttp.transport.upgrade import SwitchedReader

if TYPE_CHECKING:
    from pooledhttp.network import Connector, OnStep, Route
    from pooledhttp.pool import Lease, Pool
    from pooledhttp.timing import Deadline, TimeoutPlan

__all__ = ["Replay", "Transport", "WireResponse", "open_connection"]

#: Which requests are sent again on a new connection after a reused one died without a response.
#: "safe": those that are idempotent, or of which no byte was written; "always": all; "off": none.
Replay = Literal["safe", "always", "off"]

REQUEST_TIMEOUT = 408

_new, _init_reader = object.__new__, BodyReader.__init__


class WireResponse(Reader, Protocol):
    """The body of a response, which owns the connection, and its head."""

    head: Head


class SentRequest(Protocol):
    """A request of which sending was begun; see `plain_gets`."""

    def go_on(self) -> None:
        """Raise what has ended it; return if the head of the response is to be read."""


class Transport:
    """Sends requests over the connections of one pool.

    Args:
        pool: Where connections are kept.
        connector: Makes new ones.
        limits: Bounds on what a server may send; the defaults of `ResponseLimits` when `None`.
        listeners: Told of replays; `None` for no listeners.
    """

    def __init__(
        self,
        pool: Pool[Route, Connection],
        connector: Connector,
        *,
        limits: ResponseLimits | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        self.pool = pool
        self.connector = connector
        self.limits = limits or ResponseLimits()
        self.memos = HeadMemos()
        self.listeners = Listeners() if listeners is None else listeners

    def exchange(
        self, route: Route, request: WireRequest, plan: TimeoutPlan, replay: Replay = "safe"
    ) -> WireResponse:
        """Send a request and read the head of its response, which then owns the connection.

        Args:
            route: Where to.
            request: What to send.
            plan: The timeouts.
            replay: Which requests are sent again when a reused connection is dead.

        Raises:
            PoolTimeout: No connection became free in time.
            PoolClosed: The pool was shut down.
            urllib3.exceptions.HTTPError: The exchange failed; see `exceptions`.
        """
        if plan.spent is not None:
            plan.spent.begin("waiting for a connection")
        careful = replay != "always" and not request.is_idempotent()
        started = monotonic() if is_logged() else None
        # `plan.total.sooner(plan.pool)`, without the call where that is `plan.total`.
        deadline = plan.total if plan.pool is None else plan.total.sooner(plan.pool)
        lease = self.pool.acquire(route, deadline, careful)
        return self.exchange_over(lease, route, request, plan, replay, started)

    def exchange_over(
        self,
        lease: Lease[Route, Connection],
        route: Route,
        request: WireRequest,
        plan: TimeoutPlan,
        replay: Replay,
        started: float | None = None,
        begun: SentRequest | None = None,
    ) -> WireResponse:
        """Do what `exchange` does, with a connection that is leased already.

        Args:
            lease: Its lease.
            route: Where to.
            request: What to send.
            plan: The timeouts.
            replay: Which requests are sent again when a reused connection is dead.
            started: When the exchange was begun; `None` to log nothing.
            begun: What was sent already; `None` for nothing.
        """
        try:
            # As `in_use`, without its call.
            if lease.slot is None or (watch := lease.slot.watch) is None:
                response = self._exchange_on(lease, route, request, plan, replay, begun)
            else:
                with watch:
                    response = self._exchange_on(lease, route, request, plan, replay, begun)
        except BaseException as error:
            if started is not None:
                log_failed(route, request, error, monotonic() - started)
            lease.discard(type(error).__name__)
            raise
        if started is not None:
            seconds = monotonic() - started
            log_response(route, request, response.head, seconds, is_reused=lease.reused)
        return response

    def _exchange_on(
        self,
        lease: Lease[Route, Connection],
        route: Route,
        request: WireRequest,
        plan: TimeoutPlan,
        replay: Replay,
        begun: SentRequest | None = None,
    ) -> WireResponse:
        """Send the request on a lease, and once more if its reused connection was dead."""
        connection = lease.resource or self.dial(lease, route, plan)
        may_be_stale = lease.reused and replay != "off"
        try:
            head, plan_of_body = self._send(connection, request, plan, begun)
            if head.status != REQUEST_TIMEOUT or not (
                may_be_stale and _says_close(head) and _may_replay(connection, request, replay)
            ):
                if head.is_switch:
                    return SwitchedReader(connection, lease, plan_of_body, head)
                reader = _new(BodyReader)  # as in `retrying`
                _init_reader(reader, connection, lease, plan_of_body, head)
                return reader
        except ConnectionBroken:
            is_stale = may_be_stale and not connection.got_bytes
            if not (is_stale and _may_replay(connection, request, replay)):
                raise
        lease.found_stale()
        request.was_replayed = True
        self.pool.count_replay(route)
        if is_logged():
            log_replay(route, request)
        self.listeners.emit(Replayed(route.origin, request.method.decode("latin-1")))
        connection = self.dial(lease, route, plan)
        head, plan = self._send(connection, request, plan)
        return (SwitchedReader if head.is_switch else BodyReader)(connection, lease, plan, head)

    def dial(self, lease: Lease[Route, Connection], route: Route, plan: TimeoutPlan) -> Connection:
        """Connect, and put the connection into the empty slot of the lease."""
        if route.tls is not None:
            self.connector.prepare(route)
        deadline = plan.total.sooner(plan.connect)
        on_step = None if plan.spent is None else plan.spent.begin
        connection = open_connection(
            self.connector, self.limits, self.memos, route, deadline, on_step
        )
        lease.fill(connection)
        return connection

    def _send(
        self,
        connection: Connection,
        request: WireRequest,
        plan: TimeoutPlan,
        begun: SentRequest | None = None,
    ) -> tuple[Head, TimeoutPlan]:
        """Send the request, unless that was begun, and read the head of the response.

        Returns:
            The head, and the timeouts that apply to its body.
        """
        spent = plan.spent
        if spent is not None:
            spent.begin("sending")
        if begun is None:
            connection.send(request, plan)
        else:
            begun.go_on()
        if spent is not None:
            spent.begin("waiting for the response")
        if plan.urllib3_total is not None:
            plan = replace(plan, read=plan.read_limit(), urllib3_total=None)
        head = connection.read_head(plan)
        if connection.exchanges == 1:
            connection.stream.remember_session()
        if head.repairs:
            self.listeners.emit(HeadRepaired(connection.origin, head.repairs))
        if spent is not None:
            spent.begin(None)
        return head, plan


def open_connection(
    connector: Connector,
    limits: ResponseLimits,
    memos: HeadMemos,
    route: Route,
    deadline: Deadline,
    on_step: OnStep | None = None,
) -> Connection:
    """Make a new connection that no lease holds yet.

    Args:
        connector: Makes the stream.
        limits: Bounds on what the server may send, unless the route has its own.
        memos: The response heads that its other connections have read.
        route: Where to.
        deadline: When to give up.
        on_step: Called with the name of each step when the step begins. `None` calls nothing.

    Raises:
        urllib3.exceptions.HTTPError: No connection could be made; see `exceptions`.
    """
    if isinstance(own := route.response_limits, ResponseLimits):
        limits = own.over(limits)
    started = monotonic()
    stream = connector.connect(route, deadline, on_step)
    connection = Connection(stream, route.origin, limits, memos)
    if is_logged():
        log_opened(connection, monotonic() - started)
    return connection


def _says_close(head: Head) -> bool:
    """Whether a head with status 408 says that the server closes the connection."""
    return head.version == 10 or any(
        name.lower() == b"connection" and b"close" in value.lower() for name, value in head.fields
    )


def _may_replay(connection: Connection, request: WireRequest, replay: Replay) -> bool:
    """Whether a request may be sent again after its connection died without a response to it.

    If so, this has rewound its body. If rewinding fails, for example because the file was closed,
    the request is not sent again, and the caller gets the error of the connection.
    """
    if not request.can_be_sent:
        return False
    if not (replay == "always" or request.is_idempotent() or not connection.bytes_sent):
        return False
    try:
        request.rewind_body()
    except (OSError, ValueError):
        return False
    return True
