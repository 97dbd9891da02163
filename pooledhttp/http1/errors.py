"""The errors of one exchange, each with the facts a caller may want to read.

Below the adapter all failures are urllib3's classes or our subclasses of them (see `exceptions`),
so that urllib3's `Retry` and code written against urllib3 recognise them. Their messages are
written here: what failed, for which origin, and what the numbers were.
"""

from __future__ import annotations

import ssl
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING, TypeVar

from urllib3.exceptions import IncompleteRead, TimeoutError

from pooledhttp.exceptions import (
    BadResponse,
    BodyTruncated,
    ConflictingLength,
    ConnectionBroken,
    Facts,
    Fault,
    RecvTimeout,
    RequestRefused,
    SendTimeout,
    TlsError,
)

if TYPE_CHECKING:
    from pooledhttp.timing import TimeoutPlan

__all__ = ["ExchangeErrors", "explain_total"]

E = TypeVar("E", bound=BaseException)


class ExchangeErrors:
    """The facts of the exchange in progress on one connection, and the errors made from them.

    Args:
        origin: The peer of the connection, without credentials.
    """

    __slots__ = (
        "body_left", "body_seen", "bytes_sent", "got_bytes", "origin", "reused", "url"
    )  # fmt: skip

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.begin("", reused=False)

    def begin(self, url: str, *, reused: bool) -> None:
        """Start the next exchange: forget the facts of the last one."""
        self.url = url
        self.reused = reused
        #: Bytes of the request that were handed to the socket.
        self.bytes_sent = 0
        #: Whether any byte of the response has arrived.
        self.got_bytes = False
        #: Bytes of the response body read so far, and bytes still missing; `None` if not known.
        self.body_seen = 0
        self.body_left: int | None = None

    def _facts(self, phase: str) -> Facts:
        return {
            "origin": self.origin,
            "phase": phase,
            "reused": self.reused,
            "bytes_sent": self.bytes_sent,
        }

    def refused(self, error: Exception) -> RequestRefused:
        """Return the error for a request that cannot be written as HTTP/1.1."""
        text = f"The request to {self.origin} cannot be sent as HTTP/1.1: {error}."
        return RequestRefused(text, **self._facts("send"))

    def bad_response(self, text: str, phase: str = "head") -> BadResponse:
        """Return the error for a response that is not valid HTTP/1.1, or exceeds the limits."""
        return BadResponse(
            f"{self.origin} did not respond with valid HTTP/1.1: {text}.", **self._facts(phase)
        )

    def refused_head(self, text: str) -> BadResponse | ConflictingLength:
        """Return the error for a head that a parser or a rule of framing refuses, by its text."""
        if "Content-Length" in text:
            return self.conflicting_length(text, "head")
        return self.bad_response(text)

    def conflicting_length(self, text: str, phase: str) -> ConflictingLength:
        """Return the error for a head that does not give one length (RFC 9112, section 6.3)."""
        text = f"{self.origin} sent a Content-Length that cannot be trusted: {text}."
        return ConflictingLength(text, **self._facts(phase))

    def broken(self, error: OSError, phase: str) -> ConnectionBroken | TlsError:
        """Return the error for a socket that failed while a request was written or a head read."""
        is_tls = isinstance(error, ssl.SSLError)
        # The TLS of a reused connection has worked before. So a TLS error on it before the first
        # byte of a response, even an alert, only means that the server has closed the connection;
        # it says nothing about keys or certificates.
        is_close = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or (
            self.reused and not self.got_bytes
        )
        if is_tls and not is_close:
            return TlsError(f"TLS with {self.origin} failed: {error}.", error, **self._facts(phase))
        when = "while the request was sent" if phase == "send" else "before the response came"
        text = f"The connection to {self.origin} broke {when}"
        return ConnectionBroken(text, error, **self._facts(phase))

    def ended_before_response(self) -> ConnectionBroken:
        """Return the error for a peer that closed before a response head was complete."""
        how = "within its response head" if self.got_bytes else "without response"
        cause = RemoteDisconnected(f"Remote end closed connection {how}")
        return ConnectionBroken(f"{self.origin} did not respond", cause, **self._facts("head"))

    def truncated(self, error: BaseException) -> BodyTruncated:
        """Return the error for a connection that ended inside a body."""
        seen, missing = self.body_seen, self.body_left
        cause = IncompleteRead(seen, missing) if missing else error
        text = f"The body from {self.origin} ended early, after {seen} bytes."
        return BodyTruncated(text, cause, **self._facts("body"))

    def released(self) -> BodyTruncated:
        """Return the error for a read of a body whose connection the caller has given up."""
        text = (
            f"release_conn() closed the connection to {self.origin} before the body was read. "
            "Read the body first, or call close() if it is not needed."
        )
        return BodyTruncated(text, **self._facts("body"))

    def send_timeout(self, plan: TimeoutPlan) -> SendTimeout:
        """Return the error for a peer that read nothing in time, or a total timeout that ended."""
        if plan.total.expired:
            limit, where = "total timeout", f"{self.bytes_sent} bytes had gone to {self.origin}"
        else:
            limit = f"write timeout={plan.write}"
            where = f"{self.origin} stopped reading after {self.bytes_sent} bytes"
            where = f"{where}. Raise the write timeout if the server is only slow"
        text = f"Write timed out. ({limit}) {where}."
        return SendTimeout(text, **self._facts("send"))

    def recv_timeout(self, plan: TimeoutPlan, phase: str) -> RecvTimeout:
        """Return the error for a peer that sent no bytes in time."""
        is_total = plan.total.expired
        limit = "total timeout" if is_total else f"read timeout={plan.read}"
        seen = f", after {self.body_seen} bytes" if phase == "body" else ""
        hint = "" if is_total else " Raise the read timeout if the server is only slow."
        text = f"({limit}) while waiting for the response {phase} from {self.origin}{seen}.{hint}"
        return RecvTimeout(text, self.origin, self.url, **self._facts(phase))


def explain_total(error: E, plan: TimeoutPlan) -> E:
    """Add to an error caused by the total timeout how long each phase took; return the error.

    Other errors are returned as they are.
    """
    spent = plan.spent
    if spent is not None and plan.total.expired and isinstance(error, Fault):
        cause = getattr(error, "original_error", error)
        if not error.spent_seconds and isinstance(cause, TimeoutError):
            error.tell_spent(spent.by_phase(), str(spent))
    return error
