"""One exchange on one leased connection.

    lease = pool.acquire(route)           the only wait for capacity
    lease holds a connection -> use it    it was probed by the pool
    lease is an empty place  -> dial and fill it
    send, read the head                   from here on the body's reader owns the lease

A connection that the server closed while it was idle looks healthy until the close arrives, so a
reused one may still die before the first byte of an answer. If the request may be sent again, it
is, once, on a newly dialled connection: that cannot loop, and it is no retry, since nothing was
answered that could be counted. Some servers say `408 Request Timeout` when they close an idle
connection. One that crosses a request is no answer to it but such a close (RFC 9110, section
15.5.9, lets it be repeated), and is met likewise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from pooledhttp.events import Listeners, Replayed
from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.transport.body import BodyReader
from pooledhttp.transport.connection import Connection
from pooledhttp.transport.states import State
from pooledhttp.transport.upgrade import SwitchedReader
from pooledhttp.transport.wire import Limits, WireRequest, WireResponse

if TYPE_CHECKING:
    from pooledhttp.network import Begin, Connector, Route
    from pooledhttp.pool import Lease, Pool
    from pooledhttp.timing import Deadline, TimeoutPlan
    from pooledhttp.transport.heads import Head

__all__ = ["Replay", "Transport", "open_connection"]

#: What may be sent again on a fresh connection after a reused one died unanswered: requests that
#: are idempotent or were never written, all requests, or none.
Replay = Literal["safe", "always", "off"]

REQUEST_TIMEOUT = 408


class Transport:
    """Sends requests over the connections of one pool.

    Args:
        pool: Where connections are kept.
        connector: What makes new ones.
        limits: Bounds on what a server may send.
        listeners: Told of replays.
    """

    def __init__(
        self,
        pool: Pool[Route, Connection],
        connector: Connector,
        *,
        limits: Limits | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        self.pool = pool
        self.connector = connector
        self.limits = limits or Limits()
        self.listeners = listeners or Listeners(())

    def exchange(
        self, route: Route, request: WireRequest, plan: TimeoutPlan, replay: Replay = "safe"
    ) -> WireResponse:
        """Send a request and read the head of its answer, whose reader then owns the connection.

        Raises:
            PoolTimeout: No place became free in time.
            PoolClosed: The pool was shut down.
            urllib3.exceptions.HTTPError: What went wrong on the wire; see `exceptions`.
        """
        if plan.spent is not None:
            plan.spent.begin("waiting for a connection")
        careful = replay != "always" and not request.is_idempotent
        lease = self.pool.acquire(route, plan.total.sooner(plan.pool), careful=careful)
        lease.busy = True  # whoever waits for an answer has not forgotten it
        try:
            connection = lease.resource or self.dial(lease, route, plan)
            may_be_stale = lease.reused and replay != "off"
            try:
                answer = self._ask(connection, request, plan)
                is_stale = may_be_stale and answer.is_farewell
                if not (is_stale and _may_replay(connection, request, replay)):
                    return answer.read_by(connection, lease)
            except ConnectionBroken:
                is_unanswered = may_be_stale and not connection.got_bytes
                if not (is_unanswered and _may_replay(connection, request, replay)):
                    raise
            lease.found_stale()
            self.pool.count_replay(route)
            self.listeners.emit(Replayed(route.origin, request.method.decode("latin-1")))
            connection = self.dial(lease, route, plan)
            return self._ask(connection, request, plan).read_by(connection, lease)
        except BaseException as error:
            lease.discard(type(error).__name__)
            raise

    def dial(self, lease: Lease[Route, Connection], route: Route, plan: TimeoutPlan) -> Connection:
        """Connect, and put the connection into the lease's empty place."""
        deadline = plan.total.sooner(plan.connect)
        account = () if plan.spent is None else (plan.spent.begin,)
        connection = open_connection(self.connector, self.limits, route, deadline, *account)
        lease.fill(connection)
        return connection

    def _ask(self, connection: Connection, request: WireRequest, plan: TimeoutPlan) -> _Answer:
        """Send the request and read the head of what comes back."""
        spent = plan.spent
        if spent is not None:
            spent.begin("sending")
        connection.send(request, plan)
        if spent is not None:
            spent.begin("waiting for the answer")
        if plan.leftover is not None:
            plan = replace(plan, read=plan.read_limit(), leftover=None)
        head = connection.read_head(plan)
        connection.stream.remember_session()
        if spent is not None:
            spent.begin(None)
        return _Answer(head, plan)


class _Answer(NamedTuple):
    """A head that was read, and the timeouts that hold for its body."""

    head: Head
    plan: TimeoutPlan

    @property
    def is_farewell(self) -> bool:
        """Whether it is what a server says to a connection that was idle for too long."""
        head = self.head
        return head.status == REQUEST_TIMEOUT and (
            head.version == 10
            or any(
                name.lower() == "connection" and "close" in value.lower()
                for name, value in head.headers
            )
        )

    def read_by(self, connection: Connection, lease: Lease[Route, Connection]) -> WireResponse:
        """The answer with a reader of its body, who owns the lease from here on."""
        head, plan = self
        reader: BodyReader | SwitchedReader
        if connection.state is State.SWITCHED:
            reader = SwitchedReader(connection, lease, plan)
        else:
            reader = BodyReader(connection, lease, plan, head)
        lease.busy = False
        return WireResponse(
            head.status, head.reason, head.version, head.headers, head.is_chunked, reader
        )


def open_connection(
    connector: Connector, limits: Limits, route: Route, deadline: Deadline, *account: Begin
) -> Connection:
    """Make a new connection; it is nobody's yet.

    Args:
        connector: Makes the stream.
        limits: Bounds on what the server may send.
        route: Where to.
        deadline: When to give up.
        *account: What is told of each step, if anything.
    """
    return Connection(connector.connect(route, deadline, *account), route.origin, limits)


def _may_replay(connection: Connection, request: WireRequest, replay: Replay) -> bool:
    """Whether a request may be sent again after its connection died without an answer to it.

    If so, its body is back at its start. One that cannot be put there after all, as the file was
    closed meanwhile, leaves the request with the error that it has.
    """
    if not request.can_be_sent:
        return False
    if not (replay == "always" or request.is_idempotent or not connection.bytes_sent):
        return False
    try:
        request.rewind_body()
    except (OSError, ValueError):
        return False
    return True
