"""The lazy attributes of a response: made when they are read, and there for all who look."""

from __future__ import annotations

import copy
import gzip
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict, Retry
from urllib3.response import HTTPResponse

from pooledhttp.exceptions import ContentDecodingError, StreamConsumedError
from pooledhttp.message import Arrival, PreparedRequest, RawResponse, Response
from pooledhttp.message.lazy import attributes_of
from pooledhttp.structures import CaseInsensitiveDict

LAZY = ("raw", "headers", "encoding", "cookies", "elapsed")


class Body:
    """A body that counts how often it was read."""

    is_finished = False
    fp = None

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def closed(self) -> bool:
        return self.is_finished

    def read(self, amt: int | None = None, /) -> bytes:
        amt = len(self.content) if amt is None else amt
        piece, self.content = self.content[:amt], self.content[amt:]
        self.is_finished = not self.content
        return piece

    def close(self) -> None:
        self.is_finished = True


FIELDS = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", "4"),
    ("Vary", "a"),
    ("vary", "b"),
]


class Head:
    """The head of a response."""

    status, reason, version, is_chunked = 200, "OK", 11, False

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self.headers = headers
        self.fields = [(name.encode(), value.encode()) for name, value in headers]
        self.by_name = {name.lower(): value for name, value in self.fields}


def arrived(*more: tuple[str, str], body: bytes = b"body") -> Response:
    """Return a response as our transport makes it, of which nothing was read yet."""
    request = PreparedRequest()
    request.prepare("GET", "http://host.test/")
    arrival = Arrival(Body(body), Head([*FIELDS, *more]), "GET", "/", Retry(0), 3.5)  # type: ignore[arg-type]
    return Response.arrived(arrival, request, None, 1.0)


def stored(response: Response) -> set[str]:
    """Name the lazy attributes that were made."""
    return attributes_of(response).keys() & set(LAZY)


def test_nothing_is_made_for_a_program_that_reads_status_and_content() -> None:
    """The body is read without `raw`, and no table of fields is made."""
    response = arrived()
    assert (response.status_code, response.content, response.ok) == (200, b"body", True)
    assert not stored(response)


@pytest.mark.parametrize("name", LAZY)
def test_each_is_made_alone_and_once(name: str) -> None:
    """Reading one makes that one, and later reads give the same object."""
    response = arrived()
    first = getattr(response, name)
    assert getattr(response, name) is first
    assert name in stored(response)


def test_values_are_those_of_a_response_made_at_once() -> None:
    """The table has repeated fields joined in the first spelling."""
    response = arrived()
    assert response.headers == CaseInsensitiveDict(HTTPHeaderDict(FIELDS))
    assert list(response.headers) == ["Content-Type", "Content-Length", "Vary"]
    assert response.encoding == "utf-8"
    assert response.elapsed == timedelta(seconds=2.5)
    assert isinstance(response.raw, RawResponse)
    assert not response.cookies


def test_a_changed_table_changes_no_encoding() -> None:
    """The encoding is that which the server named, also where a hook has altered the table."""
    response = arrived()
    response.headers["Content-Type"] = "text/plain; charset=latin-1"
    assert response.encoding == "utf-8"


@pytest.mark.parametrize("name", LAZY)
def test_each_can_be_set_and_deleted(name: str) -> None:
    """Tools that record traffic set all attributes by hand."""
    response = arrived()
    setattr(response, name, "mine")
    assert getattr(response, name) == "mine"
    delattr(response, name)
    assert getattr(response, name) != "mine"


def test_vars_shows_all() -> None:
    """Code that copies `__dict__` gets what was not read yet as well."""
    assert set(LAZY) <= vars(arrived()).keys()
    assert set(LAZY) <= vars(Response()).keys()
    assert set(LAZY) <= set(dir(arrived()))


def test_what_is_stored_in_dict_counts() -> None:
    """Code that writes to `__dict__` is believed."""
    response = arrived()
    response.__dict__["encoding"] = "koi8-r"
    assert response.encoding == "koi8-r"


@pytest.mark.parametrize("twin_of", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_have_all(twin_of: Callable[[Any], Any]) -> None:
    """A copy has every attribute, with the body, and no `raw`."""
    response = arrived()
    response.request = None  # type: ignore[assignment]
    twin = twin_of(response)
    assert twin.headers == response.headers
    assert twin.elapsed == timedelta(seconds=2.5)
    assert (twin.content, twin.encoding, twin.raw) == (b"body", "utf-8", None)


def test_a_subclass_can_have_its_own() -> None:
    """A subclass that defines one of the names is heeded."""

    class Mine(Response):
        headers = CaseInsensitiveDict({"X": "class"})

    assert Mine().headers["x"] == "class"
    assert vars(Mine())["elapsed"] == timedelta(0)


def test_a_response_made_by_hand_has_its_defaults() -> None:
    """As in requests: nothing is missing on an object that was never filled."""
    response = Response()
    assert response.raw is None and response.encoding is None
    assert response.headers == {} and response.elapsed == timedelta(0) and not response.cookies


# ---- raw, made after the body was read


def test_raw_knows_that_the_body_was_read() -> None:
    """`raw` has counted a body that was read past it."""
    response = arrived()
    assert response.content == b"body"
    raw = response.raw
    assert (raw.tell(), raw.length_remaining, raw.read()) == (4, 0, b"")


def test_a_body_is_read_from_raw_once_raw_was_asked_for() -> None:
    """A hook may have put another file into `raw`."""
    response = arrived()
    response.raw.read(1)
    assert response.content == b"ody"


@pytest.mark.parametrize("size", [1, 3, 4, 100, None])
def test_a_stream_is_read_past_raw(size: int | None) -> None:
    """Pieces have the size that was asked for, and `raw` counts them when it is made midway."""
    response = arrived()
    pieces = response.iter_content(size)
    first = next(pieces)
    assert not stored(response)
    assert response.raw.tell() == len(first)
    assert first + b"".join(pieces) == b"body"
    assert response.raw.tell() == 4
    assert len(first) == min(size or 4, 4)


def test_a_stream_that_was_read_is_gone() -> None:
    """As in requests: a stream is read once, and not kept."""
    response = arrived()
    assert list(response.iter_content(2)) == [b"bo", b"dy"]
    with pytest.raises(StreamConsumedError):
        response.iter_content(2)
    with pytest.raises(RuntimeError):
        response.content  # noqa: B018


@pytest.mark.parametrize("owner", [RawResponse, HTTPResponse])
def test_a_patch_of_urllib3s_reading_is_used(owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that replaces `read`, on urllib3's class or on ours, sees every body."""
    original = owner.read
    seen: list[object] = []

    def read(self: Any, *args: Any, **kwargs: Any) -> bytes:
        seen.append(self)
        return original(self, *args, **kwargs)  # type: ignore[no-any-return]

    assert arrived().content == b"body"
    monkeypatch.setattr(owner, "read", read)
    assert arrived().content == b"body" and len(seen) == 1
    monkeypatch.undo()
    assert arrived().content == b"body" and len(seen) == 1


def test_an_encoded_body_is_read_without_raw() -> None:
    """It is decoded as it would be by `raw`, which is made later and is at its end."""
    response = arrived(("Content-Encoding", "gzip"), body=gzip.compress(b"text"))
    assert response.content == b"text"
    assert "raw" not in stored(response)
    assert (response.raw.read(decode_content=True), response.raw.tell() > 0) == (b"", True)


@pytest.mark.parametrize(
    "body", [b"no gzip at all", gzip.compress(b"text")[:-6]], ids=["damaged", "cut short"]
)
def test_a_body_that_cannot_be_decoded_stays_an_error(body: bytes) -> None:
    """Each time it is read, not only the first time."""
    response = arrived(("Content-Encoding", "gzip"), body=body)
    for _ in range(3):
        with pytest.raises(ContentDecodingError):
            response.content  # noqa: B018


def test_a_replaced_step_of_decoding_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may decode in its own way."""
    monkeypatch.setattr(HTTPResponse, "_decode", lambda *_args, **_options: b"decoded")
    response = arrived(("Content-Encoding", "gzip"), body=gzip.compress(b"text"))
    assert response.content == b"decoded"
