"""Reads response heads and checks request heads by h11. No other module imports it.

    check_head   checks the head of a request; `WireRequest.checked` keeps the result
    H11Parser    one for each exchange, with an `h11.Connection` of its own

h11 sees only heads. It is given the bytes up to the end of a head where that is easy to find, and
asked no further: the body is taken apart by `response_body`.

If h11 refuses a head, `head_repair` may repair it. Then a new h11 reads the repaired head and what
follows. The connection is doubtful and is not used again.

In a 2xx response to CONNECT, fields that frame a body are ignored (RFC 9110, section 9.3.6). h11
refuses some of them, and then reads the head again without them. That is no repair.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING

import h11

from pooledhttp.http1 import errors
from pooledhttp.http1.framing import FramingError, read_framing
from pooledhttp.http1.head_repair import (
    RepairedHead,
    repair_head,
    says_length_twice,
    without_framing,
)
from pooledhttp.http1.request_encoding import field_block, is_plain_head
from pooledhttp.originals import Originals
from pooledhttp.runtime import remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits, WireRequest
    from pooledhttp.http1.progress import ExchangeProgress

__all__ = ["H11Parser", "check_head", "is_h11_original"]

#: h11 reads some responses only after it has been given a request. Any request does: the framing of
#: the response is read elsewhere. With `Upgrade`, h11 accepts status 101; some servers, such as
#: Docker's, send it to a request without that field, and http.client accepts it, too.
_ANY_REQUEST = h11.Request(
    method=b"GET", target=b"/", headers=[(b"Host", b""), (b"Upgrade", b"unasked")]
)

#: How a final response begins. h11 reads it without a request, because a server may send 408 before
#: it gets one. So most exchanges do not need `_ANY_REQUEST`.
_FINAL = re.compile(rb"HTTP/1\.[01] [2-5]")

_HEAD_END = b"\r\n\r\n"

#: What `H11Parser` uses of h11. A program may have replaced some of it before this import.
_USED = (
    "Connection.__init__", "Connection.send", "Connection.receive_data", "Connection.next_event",
    "Response.__init__", "InformationalResponse.__init__",
)  # fmt: skip
_ORIGINALS = Originals(h11, "Connection", "Response", "InformationalResponse", *_USED)
_WAS_REPLACED = not all(
    getattr(attrgetter(name)(h11), "__globals__", {}).get("__name__", "").startswith("h11.")
    for name in _USED
)


def is_h11_original() -> bool:
    """Whether no program has replaced what is used of h11 to read heads."""
    return _ORIGINALS.are_in(h11) and not _WAS_REPLACED


def check_head(request: WireRequest, progress: ExchangeProgress) -> None:
    """Check the head of a request by h11's rules, and keep what an exchange needs of it.

    Raises:
        RequestRefused: It cannot be written as HTTP/1.1.
    """
    fields = request.headers
    try:
        if not is_plain_head(request):
            h11.Request(method=request.method, target=request.target, headers=[*fields])
        framing = read_framing(fields)
    except (h11.LocalProtocolError, FramingError) as error:
        raise errors.request_refused(progress, error) from error
    request.checked.keep(
        request, field_block(request), framing.request_bytes, says_close=framing.says_close
    )


class H11Parser:
    """Finds the heads of one exchange by h11; see `HeadParser`. It has no slots: see `FastParser`.

    Args:
        progress: The facts of the exchange, for errors.
        limits: Bounds on what the server may send.
    """

    name = "h11"
    repairs: tuple[str, ...] = ()
    status = 0
    reason = b""
    version = b""
    fields: list[tuple[bytes, bytes]]
    by_name: dict[bytes, bytes]
    asks_tunnel = False

    _has_request = _has_input = False
    #: What has arrived behind the end of the present head, and was not given to h11.
    _behind = b""
    #: The repair of the present head, if it was repaired.
    _repaired: RepairedHead | None = None

    def __init__(self, progress: ExchangeProgress, limits: ResponseLimits) -> None:
        self._progress = progress
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes)
        #: What h11 was given since the end of the last head.
        self._arrived: list[bytes] = []
        self._data = b""

    def _send_request(self) -> None:
        self._has_request = True
        self._h11.send(_ANY_REQUEST)

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        head, end, behind = data.partition(_HEAD_END)
        if behind:
            data, self._behind = head + end, behind
        if not self._has_request and _FINAL.match(data) is None:
            self._send_request()
        self._arrived.append(data)
        self._h11.receive_data(data)
        self._has_input = True

    @property
    def rest(self) -> bytes:
        """The bytes that have arrived behind the head that was returned last."""
        # h11 ends a head at "\n\n" as well, so it may not have used all that it was given.
        unused = self._h11.trailing_data[0]
        return unused + self._behind if unused else self._behind

    @property
    def repeats_length(self) -> bool:
        """Whether the head gives its Content-Length more than once; h11 has merged them."""
        return says_length_twice(self._data)

    def next_head(self) -> bool:
        """Go to the next head; `False` if more bytes are needed; see `HeadParser`."""
        if not self._has_input:
            return False
        event: object
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            event = self._read_repaired(error)
        if event is h11.NEED_DATA:
            self._has_input = False
            return False
        # `type` rather than `isinstance`: h11's events are ABCs, for which a miss is slow.
        if type(event) is not h11.Response and type(event) is not h11.InformationalResponse:
            raise errors.ended_before_response(self._progress)
        self._take(event)
        if type(event) is h11.InformationalResponse:
            self._begin_next()
        return True

    def _take(self, event: h11.Response | h11.InformationalResponse) -> None:
        """Note what the head says."""
        arrived = self._arrived
        data = self._data = arrived[0] if len(arrived) == 1 else b"".join(arrived)
        # h11 limits only a head that is not complete, so its pieces would decide.
        most = self._limits.head_bytes
        if len(data) > most and len(data) - len(self._h11.trailing_data[0]) > most:
            raise errors.head_refused(self._progress, errors.TOO_LONG)
        self.status, self.version = event.status_code, event.http_version
        self.fields, self.reason = event.headers.raw_items(), event.reason
        if self._repaired is not None:
            self.fields = self._repaired.with_real_values(self.fields)
            self.reason = self._repaired.reason or self.reason
        self.by_name = {name.lower(): value for name, value in self.fields}

    def _begin_next(self) -> None:
        """After an interim head: turn to what has arrived behind it."""
        self._arrived = [self._h11.trailing_data[0]]
        self._repaired = None
        behind, self._behind = self._behind, b""
        if behind:
            self.feed(behind)

    # ---- heads that h11 refuses

    def _read_repaired(self, error: h11.RemoteProtocolError) -> object:
        """Repair the head that was refused with `error`, and have a new h11 read it."""
        # The traceback would keep h11's frames alive, and those of our callers, which hold the
        # response. One of h11's frames refers to the error itself, so that would be a cycle.
        remove_tracebacks(error)
        rest = self._h11.trailing_data[0]
        arrived = b"".join(self._arrived)
        head = arrived[: len(arrived) - len(rest)]
        limits = self._limits
        if len(head) > limits.head_bytes:
            raise errors.head_refused(self._progress, errors.TOO_LONG) from error
        # `head` is empty if h11 has taken nothing from its buffer: the head is too large. Then
        # there is nothing to repair.
        bare = without_framing(head) if self.asks_tunnel else None
        if bare is not None:
            head = bare
            try:
                return self._read_by_new_h11(head + rest)
            except h11.RemoteProtocolError as other:
                remove_tracebacks(other)
                error = other
        repaired = None if limits.is_strict or not head else repair_head(head, limits.max_fields)
        if repaired is None:
            raise errors.head_refused(self._progress, str(error)) from error
        self._repaired = repaired
        self.repairs = tuple(dict.fromkeys(self.repairs + repaired.deviations))
        try:
            return self._read_by_new_h11(repaired.data + rest)
        except h11.RemoteProtocolError as again:
            remove_tracebacks(again)
            raise errors.head_refused(self._progress, str(again)) from again

    def _read_by_new_h11(self, data: bytes) -> object:
        """Have a new h11 read a head that was changed, and return its event."""
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=self._limits.head_bytes)
        self._send_request()
        self._h11.receive_data(data)
        return self._h11.next_event()
