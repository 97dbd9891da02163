"""Responses without a network, for tests of programs that use pooledhttp.

    mock = MockAdapter()
    mock.add("GET", "https://api.example.com/items", json=[1, 2])
    session.mount("https://", mock)

Only the sockets are replaced. The pool, retries, replays, timeouts, decoding and errors are the
real ones, so a test sees what a program does when a server is slow, breaks off or asks it to wait.
Time is not waited for: a stall that a timeout ends, and the pause before a retry, move the clock of
the adapter on instead.
"""

from __future__ import annotations

import json as _json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.mocking import (
    FAULTS,
    Fault,
    JumpingRuntime,
    MemoryConnector,
    Reply,
    Rules,
    SentRequest,
    response_bytes,
)
from pooledhttp.records import described, explain_misspelt_call, replace
from pooledhttp.transport import TransportManager

if TYPE_CHECKING:
    from urllib3 import Retry

    from pooledhttp.message import PreparedRequest, Response
    from pooledhttp.pool import PoolConfig

__all__ = ["Fault", "MockAdapter", "SentRequest"]


class MockAdapter(HTTPAdapter):
    """An adapter whose servers are played by the test.

    Mounted on a session, it also makes the timeouts of that session run on its clock.

    Args:
        max_retries: As for `HTTPAdapter`; `None` for the `retries` of the session that mounts it.
        pool: The limits of its pool; `None` for none.
    """

    def __init__(
        self, *, max_retries: Retry | int | None = None, pool: PoolConfig | None = None
    ) -> None:
        self._clock = JumpingRuntime()
        self._rules = Rules()
        self._takes_retries = max_retries is None
        connector = MemoryConnector(self._clock, self._rules)
        manager = TransportManager(pool, runtime=self._clock, connector=connector)
        super().__init__(max_retries=max_retries or 0, pool=manager)

    def __repr__(self) -> str:
        return f"<MockAdapter {len(self.requests)} sent>"

    def attach(self, session: object) -> None:
        """Take the retries of a session, and give it this adapter's clock."""
        super().attach(session)
        extras: Any = session._extras  # type: ignore[attr-defined]
        if self._takes_retries and extras.retries is not None:
            self.max_retries = HTTPAdapter(max_retries=extras.retries).max_retries
        session._extras = replace(extras, runtime=self._clock)  # type: ignore[attr-defined]

    @property
    def requests(self) -> list[SentRequest]:
        """What was sent, in order: each retry and each hop of a redirect is one."""
        return self._rules.requests

    @explain_misspelt_call()
    def add(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        text: str | None = None,
        content: bytes = b"",
        fault: Fault | None = None,
    ) -> None:
        """Add a reply. Several to one method and URL are sent in the order in which they are added.

        The last one is sent to every further request.

        Args:
            method: The method.
            url: The whole URL. Without a query it stands for all queries.
            status: The status code.
            headers: Header fields; `Content-Length` is added.
            json: The body, written as JSON.
            text: The body, as UTF-8.
            content: The body.
            fault: What goes wrong with this reply; see `Fault`.

        Raises:
            ValueError: There is no such fault, or the URL is not a whole one.
            TypeError: There is no such argument, or it is of another type.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}, not {fault!r}")
        if not isinstance(headers or {}, Mapping):
            raise TypeError(f"headers must be a mapping, not {described(headers)}")
        if not isinstance(method, str):
            raise TypeError(f"method must be a str, such as 'GET', not {method!r}")
        if not isinstance(url, str):
            raise TypeError(f"url must be a str, such as 'https://host/path', not {url!r}")
        if not isinstance(text, str | None):
            raise TypeError(f"text must be a str, not {described(text)}")
        if not isinstance(content, bytes):
            raise TypeError(f"content must be bytes, not {described(content)}; text= takes a str")
        if not isinstance(status, int):
            raise TypeError(f"status must be a whole number, not {status!r}")
        fields = dict(headers or {})
        if json is not None:
            content = _json.dumps(json).encode()
            fields.setdefault("Content-Type", "application/json")
        elif text is not None:
            content = text.encode()
            fields.setdefault("Content-Type", "text/plain; charset=utf-8")
        if fault == "503 with Retry-After":
            status = 503
            fields.setdefault("Retry-After", "1")
        elif fault in ("cut body", "stall in body") and not content:
            content = b"half of this body arrives"
        reply = Reply(response_bytes(method, status, fields, content, fault), fault)
        self._rules.add(method, url, reply)

    def assert_sent(self, method: str, url: str, *, times: int | None = None) -> SentRequest:
        """Check that a request was sent, and return the last one.

        Args:
            method: The method.
            url: The whole URL. Without a query it stands for all queries.
            times: How often; `None` for at least once.

        Raises:
            AssertionError: It was not; the message lists what was sent.
        """
        found = self._rules.sent_to(method, url)
        if not found or (times is not None and len(found) != times):
            expected = "at least once" if times is None else f"{times} times"
            raise AssertionError(
                f"{method} {url} was to be sent {expected} and was sent {len(found)} times. Sent:"
                f" {[f'{sent.method} {sent.url}' for sent in self.requests]}"
            )
        return found[-1]

    def assert_all_used(self) -> None:
        """Check that every reply that was added was sent.

        Raises:
            AssertionError: One was not; the message says which.
        """
        unused = list(self._rules.unused())
        if unused:
            raise AssertionError(f"Replies were added that no request got: {unused}")

    @property
    def slept(self) -> float:
        """Seconds that were skipped: pauses before retries, and stalls that a timeout ended."""
        return self._clock.slept

    def advance(self, seconds: float) -> None:
        """Let time pass, for example to see which idle connections are closed.

        Args:
            seconds: How much.
        """
        self._clock.sleep(seconds)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request, if there is a reply to it.

        Raises:
            AssertionError: There is none; the message lists those that there are.
        """
        self._rules.check(request.method or "", request.url or "")
        return super().send(request, *args, **kwargs)
