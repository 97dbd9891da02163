"""`Request` and the encoders, with requests as the oracle."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests

import pooledhttp
from pooledhttp.message import payload

DATA: list[Any] = [
    None,
    "",
    "text",
    "\u2603",
    b"bytes",
    {},
    {"a": 1, "b": None, "c": ["x", "y"]},
    {"\u00e9": "\u00e9", b"k": b"\xff", "empty": "", "none": [None]},
    [("a", "1"), ("a", "2")],
    (("a", "b"), ("c", "d")),
    OrderedDict(z=1, a=2),
    {"nested": {"x": 1}},
    {"flag": True, "float": 1.5},
    bytearray(b"mutable"),
]


@pytest.mark.parametrize("data", DATA, ids=repr)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_bodies_are_encoded_as_by_requests(method: str, data: Any) -> None:
    """Body and headers of every kind of data are those of requests."""
    ours = pooledhttp.Request(method, "http://h/", data=data).prepare()
    theirs = requests.Request(method, "http://h/", data=data).prepare()
    assert (ours.body, list(ours.headers.items())) == (theirs.body, list(theirs.headers.items()))


FILES: list[Any] = [
    {"f": b"content"},
    {"f": "text"},
    {"f": ("name.txt", b"content")},
    {"f": ("name.txt", b"content", "text/x")},
    {"f": ("na\u00efve.txt", b"content", "text/x", {"X-Part": "1"})},
    {"f": (None, "value")},
    {"f": ["name", b"content"]},
    {"gone": None, "kept": 1},
    [("f", b"1"), ("f", b"2")],
    {b"bytes-name": b"x"},
]


@pytest.mark.parametrize("files", FILES, ids=repr)
@pytest.mark.parametrize("data", [None, {"k": [1, None, b"z"], b"b": "\u00e9"}, [("k", "v")]])
def test_multipart_is_encoded_as_by_requests(files: Any, data: Any) -> None:
    """Fields come before files, and the boundary is chosen by urllib3's function of the moment."""
    with mock.patch("urllib3.filepost.choose_boundary", lambda: "frontier"):
        ours = pooledhttp.Request("POST", "http://h/", data=data, files=files).prepare()
        theirs = requests.Request("POST", "http://h/", data=data, files=files).prepare()
    assert ours.body == theirs.body
    assert ours.headers == theirs.headers


def test_a_file_is_uploaded_under_its_own_name(tmp_path: Path) -> None:
    """The last part of an open file's path names it in the form."""
    path = tmp_path / "report.csv"
    path.write_bytes(b"a,b")
    with path.open("rb") as file:
        prepared = pooledhttp.Request("POST", "http://h/", files={"f": file}).prepare()
    assert b'filename="report.csv"' in prepared.body


@pytest.mark.parametrize(
    "part", [("n", b"x", "text/x\r\nEvil: 1"), ("n", b"x", "t/x", {"A": "b\nc"})]
)
def test_a_section_header_cannot_start_a_line_of_its_own(part: Any) -> None:
    """Line breaks in the headers of a multipart section are refused."""
    with pytest.raises(pooledhttp.exceptions.InvalidHeader):
        pooledhttp.Request("POST", "http://h/", files={"f": part}).prepare()


def test_files_need_field_names() -> None:
    """Files together with text, or without names, are a ValueError."""
    for files, data in (({"f": b"x"}, "text"), (["bad"], None)):
        with pytest.raises(ValueError):
            pooledhttp.Request("POST", "http://h/", files=files, data=data).prepare()


def test_json_is_for_requests_without_data() -> None:
    """JSON is UTF-8 bytes in the spacing of json.dumps, and gives way to data."""
    prepared = pooledhttp.Request("POST", "http://h/", json={"a": [1, "\u00e9"]}).prepare()
    theirs = requests.Request("POST", "http://h/", json={"a": [1, "\u00e9"]}).prepare()
    assert (prepared.body, prepared.headers) == (theirs.body, theirs.headers)
    assert pooledhttp.Request("POST", "http://h/", json={}, data={"a": 1}).prepare().body == "a=1"


def test_not_a_number_is_no_json() -> None:
    """NaN raises the error for it, with the request on it."""
    with pytest.raises(pooledhttp.exceptions.InvalidJSONError) as caught:
        pooledhttp.Request("POST", "http://h/", json=float("nan")).prepare()
    assert isinstance(caught.value.request, pooledhttp.PreparedRequest)


def test_unknown_events_are_refused() -> None:
    """Hooks can be added for known events only, and removed again."""
    with pytest.raises(ValueError):
        pooledhttp.Request(hooks={"reply": print})
    request = pooledhttp.Request(hooks={"response": [print, "no function", len]})
    assert request.hooks == {"response": [print, len]}
    assert request.deregister_hook("response", len) and not request.deregister_hook("response", len)


class _Named:
    def __init__(self, name: Any) -> None:
        self.name = name


@pytest.mark.parametrize("name", ["a/b.txt", b"a/b", "<stdin>", 3, "", "x>", None])
def test_file_names_are_guessed_as_by_requests(name: Any) -> None:
    """Only real names of files count."""
    assert payload.guess_filename(_Named(name)) == requests.utils.guess_filename(_Named(name))


@pytest.mark.parametrize(
    "value", ["s", 5, True, 1.5, None, [1, 2], {"a": 1}, {"a": 1}.items(), [("a", 1)]], ids=repr
)
@pytest.mark.parametrize("name", ["to_key_val_list", "from_key_val_list", "dict_to_sequence"])
def test_pairs_are_read_as_by_requests(name: str, value: Any) -> None:
    """Mappings and pairs are converted alike, and single values refused alike."""

    def outcome(function: Any) -> Any:
        try:
            return function(value)
        except (TypeError, ValueError) as exc:
            return type(exc)

    assert outcome(getattr(payload, name)) == outcome(getattr(requests.utils, name))


def test_length_is_measured_from_where_a_stream_stands(tmp_path: Path) -> None:
    """Files, pipes and partly read streams are measured without being consumed."""
    stream = io.BytesIO(b"0123456789")
    stream.seek(4)
    assert payload.super_len(stream) == 6 and stream.tell() == 4
    assert payload.super_len("\u2603") == 3
    assert payload.super_len(memoryview(b"abcd").cast("H")) == 4
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert payload.super_len(file) == 3
    with path.open() as text, pytest.warns(pooledhttp.exceptions.FileModeWarning):
        assert payload.super_len(text) == 3
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        os.close(writing)
        assert payload.super_len(pipe) == 0


class _Fresh:
    def __iter__(self) -> Any:
        return iter((b"a", b"b"))


@pytest.mark.parametrize(
    ("body", "position", "expected"),
    [
        (None, None, True),
        (b"x", None, True),
        ("x", None, True),
        (io.BytesIO(b"x"), 0, True),
        (io.BytesIO(b"x"), object(), False),
        (iter([b"x"]), None, False),
        ((piece for piece in (b"x",)), None, False),
        (_Fresh(), None, True),
    ],
)
def test_what_can_be_sent_again(body: Any, position: Any, expected: bool) -> None:
    """A spent iterator cannot be sent again; bytes, seekable files and fresh iterables can."""
    assert payload.can_rewind(body, position) is expected
