"""Makes the errors of an exchange, each with the facts that a caller may want to read.

Below the adapter all failures are urllib3's classes or our subclasses of them (see `exceptions`),
so that urllib3's `Retry` and code written against urllib3 recognise them. Their messages are
written here: what failed, for which origin, and what the numbers were. The functions take the facts
from an `ExchangeProgress`, and return the error.
"""

from __future__ import annotations

import re
import ssl
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING, TypeVar

from urllib3.exceptions import IncompleteRead, TimeoutError

from pooledhttp.exceptions import (
    BadResponse,
    BodyTruncated,
    ConflictingLength,
    ConnectionBroken,
    DialTimeout,
    Facts,
    Fault,
    ProxyFault,
    RecvTimeout,
    RequestRefused,
    SendTimeout,
    TlsError,
)

if TYPE_CHECKING:
    from pooledhttp.http1.progress import ExchangeProgress
    from pooledhttp.timing import TimeoutPlan

__all__ = [
    "TOO_LONG",
    "bad_response",
    "body_source_broken",
    "body_broken",
    "body_truncated",
    "conflicting_length",
    "connection_broken",
    "ended_before_response",
    "explain_timeout",
    "head_refused",
    "read_after_release",
    "recv_timeout",
    "request_refused",
    "send_timeout",
]

E = TypeVar("E", bound=BaseException)

#: What h11 says of a head or line that is above its limit.
TOO_LONG = "Receive buffer too long"

#: What a parser says, in the words of someone who looks at the server.
_FOR_READERS = {
    TOO_LONG: "a line of it, or its whole head, is too long",
    "Only Transfer-Encoding: chunked is supported": (
        "its Transfer-Encoding has more than `chunked`, which HTTP/1.1 clients must refuse"
    ),
}


def _facts(progress: ExchangeProgress, phase: str) -> Facts:
    return {
        "origin": progress.origin,
        "phase": phase,
        "reused": progress.reused,
        "bytes_sent": progress.bytes_sent,
    }


def request_refused(progress: ExchangeProgress, error: Exception) -> RequestRefused:
    """Return the error for a request that cannot be written as HTTP/1.1."""
    text = f"The request to {progress.origin} cannot be sent as HTTP/1.1: {error}."
    return RequestRefused(text, **_facts(progress, "send"))


def bad_response(progress: ExchangeProgress, text: str, phase: str = "head") -> BadResponse:
    """Return the error for a response that is not valid HTTP/1.1, or exceeds the limits."""
    text = _FOR_READERS.get(text, text)
    text = re.sub(r"bytearray\((b.*)\)", r"\1", text)  # as h11 shows a line
    return BadResponse(
        f"{progress.origin} did not respond with valid HTTP/1.1: {text}.", **_facts(progress, phase)
    )


def head_refused(progress: ExchangeProgress, text: str) -> BadResponse | ConflictingLength:
    """Return the error for a head that a parser or a rule of framing refuses, by its text."""
    if "Content-Length" in text:
        return conflicting_length(progress, text, "head")
    return bad_response(progress, text)


def conflicting_length(progress: ExchangeProgress, text: str, phase: str) -> ConflictingLength:
    """Return the error for a head that does not give one length (RFC 9112, section 6.3)."""
    text = (
        f"{progress.origin} sent a Content-Length that cannot be trusted: {text}. Where its body "
        "ends is not known, so nothing of it is used. The server has to be mended."
    )
    return ConflictingLength(text, **_facts(progress, phase))


def connection_broken(
    progress: ExchangeProgress, error: OSError, phase: str
) -> ConnectionBroken | TlsError:
    """Return the error for a socket that failed while a request was written or a head read."""
    # The TLS of a reused connection has worked before. So a TLS error on it before the first
    # byte of a response, even an alert, only means that the server has closed the connection;
    # it says nothing about keys or certificates.
    is_close = progress.reused and not progress.got_bytes
    if _is_failure_of_tls(error) and not is_close:
        text = f"TLS with {progress.origin} failed: {error}.{_about_client_certificate(error)}"
        return TlsError(text, error, **_facts(progress, phase))
    when = "while the request was sent" if phase == "send" else "before the response came"
    text = f"The connection to {progress.origin} broke {when}"
    return ConnectionBroken(text, error, **_facts(progress, phase))


def body_source_broken(progress: ExchangeProgress, error: Exception) -> ConnectionBroken:
    """Return the error for a request body that comes from another connection, which broke."""
    text = f"The body of the request to {progress.origin} could not be read"
    return ConnectionBroken(text, error, **_facts(progress, "send"))


def ended_before_response(progress: ExchangeProgress) -> ConnectionBroken:
    """Return the error for a peer that closed before a response head was complete."""
    how = "within its response head" if progress.got_bytes else "without response"
    cause = RemoteDisconnected(f"Remote end closed connection {how}")
    what = "did not finish its response head" if progress.got_bytes else "did not respond"
    return ConnectionBroken(f"{progress.origin} {what}", cause, **_facts(progress, "head"))


def body_broken(progress: ExchangeProgress, error: OSError) -> BodyTruncated | TlsError:
    """Return the error for a socket that failed inside a body.

    An end of TLS, also without close_notify, is an early end of the body. Another failure of TLS,
    such as an alert or bytes that are no record, has a class of its own, as in requests.
    """
    if _is_failure_of_tls(error):
        seen = f", after {progress.body_seen} bytes of the body"
        text = f"TLS with {progress.origin} failed: {error}{seen}."
        return TlsError(text, error, **_facts(progress, "body"))
    return body_truncated(progress, error)


def _is_failure_of_tls(error: OSError) -> bool:
    is_end = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return isinstance(error, ssl.SSLError) and not is_end


def body_truncated(progress: ExchangeProgress, error: BaseException) -> BodyTruncated:
    """Return the error for a connection that ended inside a body."""
    seen, missing = progress.body_seen, progress.body_left
    cause = IncompleteRead(seen, missing) if missing else error
    text = f"The body from {progress.origin} ended early, after {seen} bytes."
    return BodyTruncated(text, cause, **_facts(progress, "body"))


def read_after_release(progress: ExchangeProgress) -> BodyTruncated:
    """Return the error for a read of a body whose connection the caller has given up."""
    text = (
        f"release_conn() closed the connection to {progress.origin} before the body was read. "
        "Read the body first, or call close() if it is not needed."
    )
    return BodyTruncated(text, **_facts(progress, "body"))


def send_timeout(progress: ExchangeProgress, plan: TimeoutPlan) -> SendTimeout:
    """Return the error for a peer that read nothing in time, or a total timeout that ended."""
    if plan.total.expired:
        limit, where = "total timeout", f"{progress.bytes_sent} bytes had gone to {progress.origin}"
    else:
        limit = f"write timeout={plan.write}"
        where = f"{progress.origin} stopped reading after {progress.bytes_sent} bytes"
        where = f"{where}. Raise the write timeout if the server is only slow"
    text = f"Write timed out. ({limit}) {where}."
    return SendTimeout(text, **_facts(progress, "send"))


def recv_timeout(progress: ExchangeProgress, plan: TimeoutPlan, phase: str) -> RecvTimeout:
    """Return the error for a peer that sent no bytes in time."""
    is_total = plan.total.expired
    limit = "total timeout" if is_total else f"read timeout={plan.read}"
    seen = f", after {progress.body_seen} bytes" if phase == "body" else ""
    hint = "" if is_total else " Raise the read timeout if the server is only slow."
    text = f"({limit}) while waiting for the response {phase} from {progress.origin}{seen}.{hint}"
    return RecvTimeout(text, progress.origin, progress.url, **_facts(progress, phase))


def _about_client_certificate(error: OSError) -> str:
    """Return what to do if a server refuses the client's certificate, which it does after TLS."""
    if "CERTIFICATE_REQUIRED" in str(error):
        return " The server wants a client certificate: give one by cert=('chain.pem', 'key.pem')."
    return ""


def explain_timeout(error: E, plan: TimeoutPlan) -> E:
    """Add to an error which timeout ended, and to one of the total how long each phase took.

    Other errors are returned as they are.
    """
    if isinstance(error, (DialTimeout, ProxyFault)):
        error.tell_connect_limit(None if plan.total.expired else plan.connect)
    spent = plan.spent
    if spent is not None and plan.total.expired and isinstance(error, Fault):
        cause = getattr(error, "original_error", error)
        text = str(spent)  # empty if no phase took as long as is told
        if text and not error.spent_seconds and isinstance(cause, TimeoutError):
            error.tell_spent(spent.by_phase(), text)
    return error
