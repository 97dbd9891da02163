"""When an item of a bulk run is tried again, and how long it waits before.

A retry policy of a session sees one exchange up to the head of its response. A download fails most
often later, in the body, and can then go on where it broke. So a bulk run tries again itself, for
every kind of temporary failure, and counts them together.

The wait is random between 0 and 0.5, 1, 2, 4, ... seconds ("full jitter"), so that items that
failed together do not come back together. `Retry-After` is obeyed up to two minutes. The other
items of that host wait as well, which is the session's doing.
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable, Iterator
from errno import EMFILE, ENFILE
from math import inf
from typing import TYPE_CHECKING, Protocol

from urllib3.exceptions import HTTPError

from pooledhttp.bulk.resting import Deferred, HostGivenUp
from pooledhttp.exceptions import (
    BodyTimeout,
    ChunkedEncodingError,
    ConnectionError,
    ContentDecodingError,
    PoolClosed,
    RequestException,
    RetryError,
)
from pooledhttp.exceptions import Timeout as TimeoutError
from pooledhttp.message import IncompleteCoding
from pooledhttp.network import TlsFileError
from pooledhttp.records import record
from pooledhttp.retry import Retry
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Timeout

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = [
    "DEFAULT_RETRIES",
    "PASSING_STATUSES",
    "Again",
    "Tries",
    "causes",
    "is_idempotent",
    "retry_after",
]

DEFAULT_RETRIES = 4

#: Responses that may be different in a moment.
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

#: RFC 9110, section 9.2.2: methods that may be sent twice.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0

#: Names that do not exist will not exist in a moment either.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


@record
class Again:
    """How often and when a run tries an item again.

    Args:
        retries: Further attempts after the first one.
        only_bodies: Whether the session's own policy retries connections and statuses.
        uniform: Draws a number between two; `random.uniform` by default.
    """

    retries: int = DEFAULT_RETRIES
    only_bodies: bool = False
    uniform: Callable[[float, float], float] = random.uniform

    def after_error(
        self, error: BaseException, method: str, failures: int, *, is_body: bool = False
    ) -> float | None:
        """Return the seconds to wait after an error, or None when it is final.

        Args:
            error: What was raised.
            method: The method of the request.
            failures: Attempts that have failed, this one included.
            is_body: Whether the head of the response had come.
        """
        if failures > self.retries or not is_idempotent(method) or not _is_passing(error):
            return None
        if self.only_bodies and not is_body and not is_broken_body(error):
            return None
        return self._backoff(failures)

    def after_response(self, response: Response, method: str, failures: int) -> float | None:
        """Return the seconds to wait after a response, or None when it is the one to keep."""
        if response.status_code not in PASSING_STATUSES or self.only_bodies:
            return None
        if failures > self.retries or not is_idempotent(method):
            return None
        return retry_after(response) or self._backoff(failures)

    def _backoff(self, failures: int) -> float:
        longest = min(_FIRST_SECONDS * 2.0 ** (min(failures, 32) - 1), _LONGEST_SECONDS)
        return self.uniform(0.0, longest)


def retry_after(response: Response) -> float | None:
    """Return the seconds that a server asks clients to wait, at most 120; None if it does not."""
    try:
        return Retry(0).get_retry_after(response.raw)
    except (HTTPError, ValueError, OverflowError, AttributeError):
        return None  # it cannot be parsed, or there is no `raw`


def is_idempotent(method: str) -> bool:
    """Whether a request of this method may be sent twice (RFC 9110, section 9.2.2)."""
    return method.upper() in _IDEMPOTENT


def is_broken_body(error: BaseException) -> bool:
    """Whether a body broke off or stalled after the head of its response had come."""
    if isinstance(error, (ChunkedEncodingError, BodyTimeout)) or _is_cut_coding(error):
        return True
    # urllib3's own errors come from `raw`, which only a body is read through.
    return isinstance(error, HTTPError) and not isinstance(error, RequestException)


def _is_cut_coding(error: BaseException) -> bool:
    """Whether a body ended in the middle of its coding, which need not be so the next time."""
    is_of_coding = isinstance(error, ContentDecodingError)
    return is_of_coding and any(isinstance(each, IncompleteCoding) for each in error.args)


def _is_passing(error: BaseException) -> bool:
    if _is_cut_coding(error):
        return True
    if isinstance(error, (PoolClosed, ContentDecodingError, HostGivenUp)):
        return False
    if isinstance(error, HTTPError) and not isinstance(error, RequestException):
        return True
    if isinstance(error, OSError) and error.errno in (EMFILE, ENFILE):
        return True  # other downloads give their descriptors back
    if not isinstance(error, (ConnectionError, TimeoutError, ChunkedEncodingError, RetryError)):
        return False
    for cause in causes(error):
        if isinstance(cause, (ssl.SSLCertVerificationError, TlsFileError)):
            return False
        if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME:
            return False
    return True


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made from."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        left += [each.__cause__, each.__context__, getattr(each, "reason", None)]
        left += [value for value in each.args if isinstance(value, BaseException)]
        left = [value for value in left if isinstance(value, BaseException)]


class Hosts(Protocol):
    """What knows which hosts rest."""

    def is_resting(self, line: str) -> bool:
        """Whether the host of a line rests."""


class Tries:
    """The attempts of one item: what time each may take, and whether there is another one.

    Args:
        again: The policy.
        method: The method of the request.
        timeout: What a session takes as timeout. A `Timeout` with a total bounds the whole item:
            later attempts get what is left of it. Waits for a place at a host do not count.
        runtime: How to wait, and the clock.
        can_resend: Whether the request can be sent twice at all.
        hosts: Tells whether the item's host rests, so that it is not to be tried now; None where
            none does.
        line: The line of the item, for `hosts`.
    """

    # Slots: attributes that are set later than in `__init__` would give each object a dict.
    __slots__ = (
        *("_again", "_can_resend", "_failures", "_hosts", "_line", "_method"),
        *("_runtime", "_slept", "_timeout", "_waited", "began", "ended", "sent"),
    )

    def __init__(
        self,
        again: Again,
        method: str,
        timeout: object,
        runtime: Runtime,
        *,
        can_resend: bool,
        hosts: Hosts | None = None,
        line: str = "",
    ) -> None:
        self._hosts = hosts
        self._line = line
        self._again = again
        self._method = method
        self._timeout = timeout
        self._runtime = runtime
        self._can_resend = can_resend
        self.began = runtime.now()
        #: Requests that were sent.
        self.sent = 0
        #: Attempts that have ended, however, and those of them that failed.
        self.ended = self._failures = 0
        self._waited = self._slept = 0.0

    @property
    def waited(self) -> float:
        """Seconds for which ended attempts waited for places, and between them."""
        return self._waited + self._slept

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the item."""
        return self._runtime.now() - self.began

    def timeout(self) -> object:
        """Return the timeout of the next attempt."""
        given = self._timeout
        if not isinstance(given, Timeout) or given.total is None or not self.ended:
            return given
        left = max(self._left(), 0.001)
        return Timeout(left, given.connect, given.read, given.write, given.pool)

    def end(self, sent: int, waited: float) -> None:
        """Note the end of an attempt.

        Args:
            sent: How often its request was sent.
            waited: Seconds for which it waited for places.
        """
        self.sent += sent
        self._waited += waited
        self.ended += 1

    def goes_on_after_error(self, error: BaseException, *, is_body: bool = False) -> bool:
        """Wait and return True when there is another attempt after an error.

        Raises:
            Deferred: There is one, after the rest of the host.
        """
        self._failures += 1
        return self._wait(
            self._again.after_error(error, self._method, self._failures, is_body=is_body)
        )

    def goes_on_after(self, response: Response) -> bool:
        """Wait and return True when there is another attempt after a response."""
        self._failures += 1
        return self._wait(self._again.after_response(response, self._method, self._failures))

    def _wait(self, seconds: float | None) -> bool:
        if seconds is None or not self._can_resend or seconds >= self._left():
            return False
        if self._is_resting():
            raise Deferred
        self._runtime.sleep(seconds)
        self._slept += seconds
        if self._is_resting():
            raise Deferred
        return True

    def _is_resting(self) -> bool:
        return self._hosts is not None and self._hosts.is_resting(self._line)

    def _left(self) -> float:
        """Return the seconds left of the item's total."""
        total = self._timeout.total if isinstance(self._timeout, Timeout) else None
        if total is None:
            return inf
        return total + self._waited - (self._runtime.now() - self.began)
