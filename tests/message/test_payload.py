"""What a caller gives as parameters and JSON, where most of it needs no encoding."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import pytest

from pooledhttp.message import payload


class Word(enum.StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"page": "3", "per_page": "~100.0-a"}, "page=3&per_page=~100.0-a"),
        ({"a": "", "": "b"}, "a=&=b"),
        ({}, ""),
        ({"a": "&=", "b=": "1 %"}, "a=%26%3D&b%3D=1+%25"),
        ({"é": "ß\n"}, "%C3%A9=%C3%9F%0A"),
        ({"a": Word.ONE, Word.ONE: "b"}, "a=one&one=b"),
        ({"a": None, "b": "1"}, "b=1"),
        ({"a": ["1", "2"], "b": 3, "c": b"4"}, "a=1&a=2&b=3&c=4"),
        ({b"a": "1", 2: "3"}, "a=1&2=3"),
    ],
)
def test_parameters_are_quoted_where_they_have_to_be(data: Any, expected: str) -> None:
    """Plain text in a dictionary is joined, and anything else takes the whole way."""
    assert payload.encode_params(data) == expected


def test_a_replaced_function_of_json_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs replace `json.dumps`, and how the encoder treats what JSON does not know."""
    monkeypatch.setattr(json.JSONEncoder, "default", lambda self, value: "other")
    assert payload.encode_json({"a": object()}) == b'{"a": "other"}'
    monkeypatch.setattr(json, "dumps", lambda value, **how: "replaced")
    assert payload.encode_json({"a": 1}) == b"replaced"


class _Descriptor:
    """A file-like object that has a descriptor and says nothing of its mode."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


def test_a_descriptor_without_a_mode_has_a_length(tmp_path: Path) -> None:
    """So that the body is not sent in chunks, which some servers refuse."""
    path = tmp_path / "body"
    path.write_bytes(b"x" * 10)
    body = _Descriptor(path)
    try:
        assert payload.super_len(body) == 10
    finally:
        body.close()
