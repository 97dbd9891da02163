"""Both trees of errors: the classes of requests, and the faults of the wire."""

from __future__ import annotations

import copy
import copyreg
import inspect
import json
import pickle
import socket
import ssl
import warnings
from http.client import RemoteDisconnected
from typing import Any

import pytest
import requests
import requests.exceptions as theirs
import urllib3
from urllib3 import exceptions as lower

from pooledhttp import exceptions as ours
from pooledhttp.network.happy_eyeballs import AllFailed

FACTS: dict[str, Any] = {
    "origin": "https://api.example.com:443",
    "phase": "send",
    "reused": True,
    "bytes_sent": 17,
}

NAMES = [
    name
    for name, kind in vars(theirs).items()
    if inspect.isclass(kind) and kind.__module__ == theirs.__name__
]


def bases(kind: type) -> list[str]:
    """The names of a class and its bases, in order of resolution."""
    return [base.__name__ for base in kind.__mro__]


# -- what callers catch


@pytest.mark.parametrize("name", NAMES)
def test_class_has_the_bases_it_has_in_requests(name: str) -> None:
    """Every `except` clause that works there works here."""
    assert bases(getattr(ours, name)) == bases(getattr(theirs, name))
    assert name in ours.__all__


def test_every_class_has_a_sentence() -> None:
    """The documentation of an error says when it happens."""
    for name in ours.__all__:
        assert getattr(ours, name).__doc__


def test_ours_are_caught_by_the_names_people_use() -> None:
    """A wait for the pool is a failure to connect and a timeout; so is a stalled body."""
    assert issubclass(ours.PoolTimeout, (ours.ConnectionError, ours.Timeout))
    assert issubclass(ours.BodyTimeout, ours.ReadTimeout)
    for kind in (ours.PoolTimeout, ours.WriteTimeout, ours.BodyTimeout):
        assert issubclass(kind, ours.ConnectionError)
        assert issubclass(kind, ours.Timeout)
    assert issubclass(ours.PoolClosed, ours.ConnectionError)
    assert not issubclass(ours.PoolClosed, ours.Timeout)
    assert not issubclass(ours.ConnectionError, ConnectionError)


def failed_response() -> requests.Response:
    """A response that knows its request."""
    response = requests.Response()
    response.status_code = 404
    response.request = requests.Request("GET", "http://example.org/").prepare()
    return response


@pytest.mark.parametrize("kind", [ours.HTTPError, theirs.HTTPError])
def test_request_comes_from_the_response_when_not_given(kind: Any) -> None:
    """Both attributes are always there."""
    response = failed_response()
    assert (kind().request, kind().response) == (None, None)
    assert kind("m", response=response).request is response.request
    assert kind("m", response=response, request="mine").request == "mine"
    assert kind("m", response=object()).request is None
    assert kind("m", request=5).response is None
    assert str(kind("m")) == "m"
    assert kind("m", "n").args == ("m", "n")
    with pytest.raises(TypeError):
        kind("m", unknown=1)


@pytest.mark.parametrize("kind", [ours.HTTPError, theirs.HTTPError])
def test_errors_pickle_with_request_and_response(kind: Any) -> None:
    """They cross into another process whole."""
    response = failed_response()
    response._content = b"body"
    thawed = pickle.loads(pickle.dumps(kind("m", response=response)))
    assert thawed.args == ("m",)
    assert thawed.response.content == b"body"
    assert thawed.request.url == "http://example.org/"


@pytest.mark.parametrize("module", [ours, theirs])
def test_json_error_carries_the_parsers_facts(module: Any) -> None:
    """It is both kinds of error, and survives pickling and copying."""
    error = module.JSONDecodeError("Extra data", '{"a": 1}\n{"b": 2}', 9)
    assert isinstance(error, json.JSONDecodeError)
    assert isinstance(error, module.RequestException)
    for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (each.msg, each.pos, each.lineno, each.colno) == ("Extra data", 9, 2, 1)
        assert each.doc == '{"a": 1}\n{"b": 2}'
        assert str(each) == "Extra data: line 2 column 1 (char 9)"
        assert each.args == (str(each),)
        assert (each.request, each.response) == (None, None)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "JSONDecodeError"])
def test_arguments_text_and_pickle_are_as_in_requests(name: str) -> None:
    """Whatever is passed in comes out the same from both."""
    for args in ((), ("m",), ("m", 2), (ValueError("q"),)):
        mine, reference = getattr(ours, name)(*args), getattr(theirs, name)(*args)
        assert str(mine) == str(reference)
        assert repr(mine) == repr(reference)
        assert repr(pickle.loads(pickle.dumps(mine))) == repr(reference)


def test_pool_timeout_carries_the_counts() -> None:
    """A program can read what the message tells people."""
    error = ours.PoolTimeout(
        "No connection became free.",
        origin="https://a:443",
        waited_seconds=5.0,
        in_use=10,
        limit=10,
        waiting=3,
        holders=("app.py:12, 3.1 s",),
    )
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "No connection became free."
        assert (each.origin, each.waited_seconds) == ("https://a:443", 5.0)
        assert (each.in_use, each.limit, each.waiting) == (10, 10, 3)
        assert each.holders == ("app.py:12, 3.1 s",)
        assert each.request is None
    closed = pickle.loads(pickle.dumps(ours.PoolClosed("closed", origin="https://a:443")))
    assert (str(closed), closed.origin) == ("closed", "https://a:443")


def test_warnings_can_be_told_apart() -> None:
    """A filter for deprecations or for all of ours catches the right ones."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ours.RequestsWarning)
        warnings.warn("text mode", ours.FileModeWarning, stacklevel=1)
        warnings.warn("old", ours.RequestsDependencyWarning, stacklevel=1)
        warnings.warn("other", DeprecationWarning, stacklevel=1)
    assert [each.category for each in caught] == [
        ours.FileModeWarning,
        ours.RequestsDependencyWarning,
    ]


# -- what fails on the wire


def faults() -> list[ours.Fault]:
    """One of each, with all facts."""
    reset = ConnectionResetError(104, "Connection reset by peer")
    return [
        ours.ResolveError("no such host", **FACTS),
        ours.DialError("refused", **FACTS),
        ours.DialTimeout("too slow", **FACTS),
        ours.TlsError("not trusted", ssl.SSLCertVerificationError(1, "bad"), **FACTS),
        ours.TlsError("not trusted", **FACTS),
        ours.ProxyFault("proxy down", OSError(5, "x"), **FACTS),
        ours.SendTimeout("Write timed out.", **FACTS),
        ours.RecvTimeout("nothing for 5 s", None, "/path", **FACTS),
        ours.ConnectionBroken("", reset, **FACTS),
        ours.BadResponse("not HTTP", ValueError("x"), **FACTS),
        ours.BadResponse("not HTTP", **FACTS),
        ours.ConflictingLength("5 and 6", **FACTS),
        ours.BodyTruncated("3 bytes missing", lower.IncompleteRead(7, 3), **FACTS),
    ]


PARENTS: dict[str, tuple[type, ...]] = {
    "ResolveError": (lower.NameResolutionError, lower.NewConnectionError),
    "DialError": (lower.NewConnectionError,),
    "DialTimeout": (lower.ConnectTimeoutError,),
    "TlsError": (lower.SSLError,),
    "ProxyFault": (lower.ProxyError,),
    "SendTimeout": (lower.TimeoutError, lower.ProtocolError),
    "RecvTimeout": (lower.ReadTimeoutError,),
    "ConnectionBroken": (lower.ProtocolError,),
    "BadResponse": (lower.ProtocolError,),
    "ConflictingLength": (lower.InvalidHeader,),
    "BodyTruncated": (lower.ProtocolError,),
}


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: type(fault).__name__)
def test_fault_is_a_urllib3_error_with_facts(fault: ours.Fault) -> None:
    """urllib3's own tools recognise it, and the facts are attributes."""
    for parent in PARENTS[type(fault).__name__]:
        assert isinstance(fault, parent)
    assert isinstance(fault, lower.HTTPError)
    assert {name: getattr(fault, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: type(fault).__name__)
def test_fault_pickles_and_copies_whole(fault: ours.Fault) -> None:
    """A bulk run in processes can send errors home."""
    for each in (pickle.loads(pickle.dumps(fault)), copy.copy(fault)):
        assert type(each) is type(fault)
        assert str(each) == str(fault)
        assert repr(each) == repr(fault)
        assert {name: getattr(each, name) for name in FACTS} == FACTS


def test_pickling_leaves_live_objects_behind() -> None:
    """A route may hold a TLS context, which cannot be pickled; the rest still can."""
    context = ssl.create_default_context()
    timeout = pickle.loads(pickle.dumps(ours.RecvTimeout("", context, "/path", **FACTS)))
    assert (timeout.pool, timeout.url) == (None, "/path")
    dial = pickle.loads(pickle.dumps(ours.DialError("refused", context, **FACTS)))
    assert dial.conn is None


def test_an_error_made_from_urllib3s_keeps_its_text_and_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """urllib3 writes the text again when it is unpickled, from a pool that has not travelled."""
    for kind in list(copyreg.dispatch_table):
        if isinstance(kind, type) and issubclass(kind, BaseException):
            # distributed has causes pickled apart, where it was imported by another test.
            monkeypatch.delitem(copyreg.dispatch_table, kind)
    pool = urllib3.HTTPConnectionPool("a.example", 80)
    lost = lower.MaxRetryError(pool, "/path", ours.DialError("refused", None, **FACTS))
    error = ours.ConnectionError(lost, request=None)
    error.__cause__ = lost
    text = str(error)
    assert "a.example" in text
    for each in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (str(each), repr(each)) == (text, repr(error))
        assert each.__cause__ is each.args[0]
        assert each.args[0].url == "/path"
        assert each.args[0].reason.origin == FACTS["origin"]


def test_an_error_of_several_addresses_can_be_pickled() -> None:
    """Also where the causes of errors are pickled, as distributed does."""
    failures = [("an address", ConnectionRefusedError(111, "refused"))] * 2
    error = pickle.loads(pickle.dumps(AllFailed(failures)))  # type: ignore[arg-type]
    assert (error.errno, len(error.failures), str(error)) == (111, 2, "[Errno 111] refused")


class _Strict(ours.ConnectionError):
    def __init__(self, *, host: str) -> None:
        super().__init__(f"no way to {host}")
        self.host = host


def test_a_subclass_with_arguments_of_its_own_pickles() -> None:
    """Its constructor is not called again."""
    each = pickle.loads(pickle.dumps(_Strict(host="a")))
    assert (str(each), each.host) == ("no way to a", "a")


def test_facts_have_defaults() -> None:
    """A fault that knows little still has every attribute."""
    fault = ours.DialTimeout("too slow")
    assert (fault.origin, fault.phase) == (None, "connect")
    assert (fault.reused, fault.bytes_sent) == (False, 0)
    assert ours.BodyTruncated().phase == "body"
    with pytest.raises(TypeError, match="unknown fact"):
        ours.DialTimeout("too slow", colour="red")  # type: ignore[call-arg]


def test_texts_begin_with_the_words_programs_look_for() -> None:
    """And go on with what people need."""
    reset = ConnectionResetError(104, "Connection reset by peer")
    recv = ours.RecvTimeout("https://a:443 sent nothing for 5 s", None, "/")
    assert str(recv) == "Read timed out. https://a:443 sent nothing for 5 s"
    assert recv.args[0] == str(recv)
    assert str(ours.RecvTimeout("Read timed out. (read timeout=5)")).count("Read") == 1
    broken = ours.ConnectionBroken("Connection aborted.", reset, origin="https://a:443")
    assert broken.args == ("Connection aborted.", reset)
    assert str(broken).startswith("Connection aborted. https://a:443 ")
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" in str(broken)
    short = ours.BodyTruncated("Connection broken: https://a:443 ended early", OSError("x"))
    assert str(short) == "Connection broken: OSError('x'). https://a:443 ended early"
    count = lower.IncompleteRead(7, 3)
    cut = ours.BodyTruncated("", count)
    assert cut.args == (f"Connection broken: {count!r}", count)


def test_wrapped_in_the_upper_tree_the_text_stays() -> None:
    """What the user catches shows the text of the fault, also through urllib3's MaxRetryError."""
    fault = ours.TlsError("https://a:443 is not trusted", ssl.SSLError(1, "x"))
    assert str(ours.SSLError(fault)) == "https://a:443 is not trusted"
    wrapped = lower.MaxRetryError(None, "/", fault)  # type: ignore[arg-type]
    assert "https://a:443 is not trusted" in str(ours.SSLError(wrapped))
    assert isinstance(fault.args[0], ssl.SSLError)


Outcome = tuple[bool, bool]


@pytest.mark.parametrize(
    ("fault", "get", "post"),
    [
        (ours.ResolveError("x"), "connect", "connect"),
        (ours.DialError("x"), "connect", "connect"),
        (ours.DialTimeout("x"), "connect", "connect"),
        (ours.ProxyFault("x", ours.DialError("y")), "connect", "connect"),
        (ours.RecvTimeout(), "read", None),
        (ours.SendTimeout("x"), "read", None),
        (ours.ConnectionBroken(), "read", None),
        (ours.BadResponse("x"), "read", None),
        (ours.BodyTruncated(), "read", None),
    ],
)
def test_urllib3_retry_counts_it_where_it_belongs(
    fault: ours.Fault, get: str, post: str | None
) -> None:
    """What may have reached the server counts as a read, so a POST is not sent again."""
    for method, spent in (("GET", get), ("POST", post)):
        policy = urllib3.Retry(total=3, connect=2, read=2, other=2)
        if spent is None:
            with pytest.raises(ours.Fault):
                policy.increment(method, "/", error=fault, _pool=None)
            continue
        left = policy.increment(method, "/", error=fault, _pool=None)
        assert getattr(left, spent) == 1
        assert left.history[0].error is fault


def test_a_resolver_error_is_kept_as_cause() -> None:
    """`raise ... from` works as for any error, and the builtin hierarchy is untouched."""
    with pytest.raises(ours.ResolveError) as caught:
        try:
            raise socket.gaierror(-2, "Name or service not known")
        except socket.gaierror as exc:
            raise ours.ResolveError(
                "no address for a.invalid", origin="http://a.invalid:80"
            ) from exc
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("origin", "cause", "facts", "is_hinted"),
    [
        ("http://h:8443", ConnectionResetError(104, "reset"), {}, True),
        ("http://h:8443", RemoteDisconnected("Remote end closed connection without response"), {},
         True),
        ("http://h:8443", ConnectionResetError(104, "reset"), {"phase": "send"}, True),
        ("http://h:8443", ConnectionResetError(104, "reset"), {"reused": True}, False),
        ("http://h:8443", RemoteDisconnected("closed within its response head"), {}, False),
        ("http://h:8443", OSError("other"), {}, False),
        ("http://h:80", ConnectionResetError(104, "reset"), {}, False),
        ("https://h:8443", ConnectionResetError(104, "reset"), {}, False),
        (None, ConnectionResetError(104, "reset"), {}, False),
    ],
)  # fmt: skip
def test_plain_http_to_a_port_of_tls_is_named(
    origin: str | None, cause: Exception, facts: Any, is_hinted: bool
) -> None:
    """A server of TLS closes without a response: the message says what the URL may lack."""
    error = ours.ConnectionBroken("", cause, origin=origin, **facts)
    assert ("the URL begins with https://" in str(error)) is is_hinted
    assert str(error).startswith("Connection aborted.")


def test_the_earlier_name_of_bad_response_still_works() -> None:
    """A DeprecationWarning says which name to use; a misspelling is an AttributeError."""
    with pytest.warns(DeprecationWarning, match="BadResponse"):
        assert ours.BadAnswer is ours.BadResponse
    with pytest.raises(AttributeError, match="BadAnswers"):
        ours.BadAnswers  # noqa: B018
