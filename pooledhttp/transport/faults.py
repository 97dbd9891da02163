"""The errors of one exchange, each with the facts a caller may want to read.

Below the border all failures are urllib3's classes or our subclasses of them (see `exceptions`), so
that urllib3's `Retry` and code written against urllib3 recognise them. Here they get their words:
what failed, for which origin, and what the numbers were.
"""

from __future__ import annotations

import ssl
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING, TypeVar

from urllib3.exceptions import IncompleteRead, TimeoutError

from pooledhttp.exceptions import (
    BadAnswer,
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

__all__ = ["Faults", "explain_total"]

E = TypeVar("E", bound=BaseException)


class Faults:
    """Makes the errors of the exchange under way on one connection.

    Args:
        origin: Whom the connection talks to, without credentials.
    """

    __slots__ = ("bytes_sent", "got_bytes", "origin", "reused", "url")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.begin("", reused=False)

    def begin(self, url: str, *, reused: bool) -> None:
        """Start the next exchange: forget the last one's facts."""
        self.url = url
        self.reused = reused
        #: Bytes of the request that were handed to the socket.
        self.bytes_sent = 0
        #: Whether any byte of the answer has arrived.
        self.got_bytes = False

    def _facts(self, phase: str) -> Facts:
        return {
            "origin": self.origin,
            "phase": phase,
            "reused": self.reused,
            "bytes_sent": self.bytes_sent,
        }

    def refused(self, error: Exception) -> RequestRefused:
        """The request cannot be written as HTTP/1.1."""
        text = f"The request to {self.origin} cannot be sent as HTTP/1.1: {error}."
        return RequestRefused(text, **self._facts("send"))

    def bad_answer(self, text: str, phase: str = "head") -> BadAnswer:
        """What came is not HTTP/1.1, or more of it than the limits allow."""
        return BadAnswer(
            f"{self.origin} did not answer with valid HTTP/1.1: {text}.", **self._facts(phase)
        )

    def conflicting_length(self, text: str, phase: str) -> ConflictingLength:
        """The head names no single length (RFC 9112, section 6.3)."""
        text = f"{self.origin} sent a Content-Length that cannot be trusted: {text}."
        return ConflictingLength(text, **self._facts(phase))

    def broken(self, error: OSError, phase: str) -> ConnectionBroken | TlsError:
        """The socket failed while a request was written or a head read."""
        is_tls = isinstance(error, ssl.SSLError)
        # A reused connection was good once. Whatever it says before a word of the answer, an alert
        # too, is how its server left, and no judgement on keys or certificates.
        is_farewell = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or (
            self.reused and not self.got_bytes
        )
        if is_tls and not is_farewell:
            return TlsError(f"TLS with {self.origin} failed: {error}.", error, **self._facts(phase))
        return ConnectionBroken(f"from {self.origin}", error, **self._facts(phase))

    def ended_before_answer(self) -> ConnectionBroken:
        """The peer closed before the head of an answer was complete."""
        how = "within its response head" if self.got_bytes else "without response"
        cause = RemoteDisconnected(f"Remote end closed connection {how}")
        return ConnectionBroken(f"{self.origin} did not answer", cause, **self._facts("head"))

    def truncated(self, error: BaseException, seen: int, missing: int | None) -> BodyTruncated:
        """The connection ended inside a body, `missing` bytes before its end when that is known."""
        cause = IncompleteRead(seen, missing) if missing else error
        text = f"The body from {self.origin} ended early, after {seen} bytes."
        return BodyTruncated(text, cause, **self._facts("body"))

    def send_timeout(self, plan: TimeoutPlan) -> SendTimeout:
        """The peer took no bytes in time, or all of the time is over."""
        if plan.total.expired:
            limit, where = "total timeout", f"{self.bytes_sent} bytes had gone to {self.origin}"
        else:
            limit = f"write timeout={plan.write}"
            where = f"{self.origin} stopped reading after {self.bytes_sent} bytes"
        text = f"Write timed out. ({limit}) {where}."
        return SendTimeout(text, **self._facts("send"))

    def recv_timeout(self, plan: TimeoutPlan, phase: str) -> RecvTimeout:
        """The peer sent no bytes in time."""
        limit = "total timeout" if plan.total.expired else f"read timeout={plan.read}"
        text = f"({limit}) while waiting for the {phase} of the answer of {self.origin}"
        return RecvTimeout(text, self.origin, self.url, **self._facts(phase))


def explain_total(error: E, plan: TimeoutPlan) -> E:
    """Have an error that the total brought about say where the time went; returns the error."""
    spent = plan.spent
    if spent is not None and plan.total.expired and isinstance(error, Fault):
        cause = getattr(error, "original_error", error)
        if not error.spent_seconds and isinstance(cause, TimeoutError):
            error.tell_spent(spent.by_phase(), str(spent))
    return error
