"""What is tried again, how often, and how long after."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import DecodeError, ProtocolError

from pooledhttp import exceptions
from pooledhttp.bulk.retrying import Again, Tries
from pooledhttp.message import IncompleteCoding
from pooledhttp.network import TlsFileError
from pooledhttp.timing import Timeout
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


def longest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def response(status: int, **headers: str) -> Any:
    return SimpleNamespace(status_code=status, raw=SimpleNamespace(headers=headers))


AGAIN = Again(4, uniform=longest)


def test_the_wait_doubles_up_to_a_minute() -> None:
    """The longest of each random time."""
    error = exceptions.ConnectionError()
    waits = [Again(99, uniform=longest).after_error(error, "GET", n) for n in range(1, 11)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_pass(status: int) -> None:
    """As often as allowed, for methods that may be sent twice."""
    assert AGAIN.after_response(response(status), "GET", 4) == 4.0
    assert AGAIN.after_response(response(status), "GET", 5) is None
    assert AGAIN.after_response(response(status), "POST", 1) is None
    assert Again(0).after_response(response(status), "GET", 1) is None


@pytest.mark.parametrize("status", [200, 304, 400, 401, 403, 404, 410, 501])
def test_statuses_that_do_not_pass(status: int) -> None:
    """They will be the same in a moment."""
    assert AGAIN.after_response(response(status), "GET", 1) is None


def test_a_server_may_say_when() -> None:
    """Up to two minutes; nonsense counts as not said."""

    def wait(value: str) -> float | None:
        said = response(503)
        with ScriptedServer(
            answering(respond(status=503, headers=[("Retry-After", value)]))
        ) as server:
            import pooledhttp

            said.raw = pooledhttp.get(server.url()).raw
        return AGAIN.after_response(said, "GET", 1)

    assert wait("7") == 7.0
    assert wait("100000") == 120.0
    assert wait("soon") == 0.5


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (exceptions.ConnectionError(), True),
        (exceptions.ConnectTimeout(), True),
        (exceptions.ReadTimeout(), True),
        (exceptions.ChunkedEncodingError(), True),
        (exceptions.ProxyError(), True),
        (ProtocolError("cut"), True),
        (caused(exceptions.SSLError(), ConnectionResetError()), True),
        (caused(exceptions.SSLError(), ssl.SSLCertVerificationError()), False),
        (caused(exceptions.SSLError(), TlsFileError("no certificates")), False),
        (caused(exceptions.ConnectionError(), socket.gaierror(socket.EAI_NONAME, "no")), False),
        (caused(exceptions.ConnectionError(), socket.gaierror(socket.EAI_AGAIN, "later")), True),
        (exceptions.ContentDecodingError(), False),
        (exceptions.ContentDecodingError(DecodeError("no gzip")), False),
        (exceptions.ContentDecodingError(IncompleteCoding("cut")), True),
        (exceptions.InvalidURL(), False),
        (exceptions.MissingSchema(), False),
        (exceptions.TooManyRedirects(), False),
        (exceptions.PoolClosed(), False),
        (OSError("disk"), False),
        (OSError(errno.EMFILE, "no descriptor"), True),
        (ValueError(), False),
    ],
)
def test_errors_that_pass(error: Exception, passes: bool) -> None:
    """What the network did, and may not do again."""
    assert (AGAIN.after_error(error, "GET", 1) is not None) == passes


def test_a_policy_of_the_sessions_own_leaves_the_bodies() -> None:
    """It has decided about connections and statuses already."""
    again = Again(4, only_bodies=True, uniform=longest)
    assert again.after_error(exceptions.ConnectionError(), "GET", 1) is None
    assert again.after_response(response(503), "GET", 1) is None
    assert again.after_error(exceptions.ChunkedEncodingError(), "GET", 1) == 0.5
    cut = exceptions.ContentDecodingError(IncompleteCoding("cut"))
    assert again.after_error(cut, "GET", 1) == 0.5
    assert again.after_error(exceptions.BodyTimeout(), "GET", 1) == 0.5
    assert again.after_error(ProtocolError("cut"), "GET", 1) == 0.5


class Clock:
    """A runtime that only knows the time, and sleeps by moving it."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_total_is_for_all_attempts_and_not_for_waits_for_places() -> None:
    """Each attempt gets what is left; no wait is begun that would not end in time."""
    clock: Any = Clock()
    tries = Tries(AGAIN, "GET", Timeout(total=10, read=3), clock, can_resend=True)
    assert tries.timeout() == Timeout(total=10, read=3)
    clock.time = 26.0
    tries.end(1, 20.0)
    assert tries.goes_on_after_error(exceptions.ConnectionError())  # after half a second
    assert tries.timeout() == Timeout(total=3.5, read=3)
    clock.time += 3.0
    tries.end(2, 0.0)
    assert not tries.goes_on_after_error(exceptions.ConnectionError())
    assert (tries.sent, tries.ended) == (3, 2)


def test_a_body_that_cannot_be_sent_twice_is_not() -> None:
    """It was read while it was sent."""
    tries = Tries(AGAIN, "PUT", None, Clock(), can_resend=False)  # type: ignore[arg-type]
    tries.end(1, 0.0)
    assert not tries.goes_on_after_error(exceptions.ConnectionError())


def test_fetch_tries_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into memory and into a sink, for heads and for bodies, as often as it is told."""
    from pooledhttp import bulk

    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)
    stored: list[bytes] = []

    class Sink:
        def claim(self, job: Any, index: int) -> Any:
            def store(response: Any) -> Any:
                stored.append(response.content)
                return bulk.Saved("there", len(stored[-1]))

            return store

    for sink in (None, Sink()):
        turns = iter([respond(b"x", length=5), respond(status=503), respond(b"whole")])

        def cut_first(peer: Any, turns: Any = turns) -> None:
            while True:
                peer.read_request()
                answer = next(turns)
                peer.send(answer)
                if answer.endswith(b"\r\n\r\nx"):
                    peer.close()
                    return

        with ScriptedServer(cut_first) as server:
            (result,) = bulk.fetch([server.url()], sink=sink)
            assert result.ok and result.attempts == 3, result.problem
    assert stored == [b"whole"]

    def busy(seen: SeenRequest) -> bytes:
        return respond(status=503)

    with ScriptedServer(answering(busy)) as server:
        (result,) = bulk.fetch([server.url()], retries=1)
        assert result.attempts == 2 and not result.ok


def test_a_sink_is_a_path_or_a_sink(tmp_path: Any) -> None:
    """Anything else is refused where it is given."""
    from pooledhttp import bulk

    with ScriptedServer(answering(respond(b"body"))) as server:
        (result,) = bulk.fetch([server.url("/x")], sink=str(tmp_path / "out"))
    assert result.path == tmp_path / "out" / "x" and result.path.read_bytes() == b"body"
    with pytest.raises(TypeError, match="sink takes a directory"):
        bulk.fetch([], sink=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="retries"):
        bulk.fetch([], retries=True)
