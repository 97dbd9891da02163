"""Bodies: multipart and forms going up, lines and encodings coming down."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest

from tests.support.scripted import ScriptedServer, SeenRequest, answering, chunked, once, respond


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Responds to everything with 200."""
    with ScriptedServer(answering(respond(b"ok"))) as running:
        yield running


def _parts(seen: SeenRequest) -> list[Message]:
    content_type = seen.header("content-type") or ""
    whole = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + seen.body)
    assert whole.is_multipart(), content_type
    return list(whole.get_payload())  # type: ignore[arg-type]


def test_multipart_has_fields_before_files(http: Any, server: ScriptedServer) -> None:
    """Every tuple form of a file, and repeated fields, in order."""
    http.post(
        server.url("/up"),
        data={"a": ["1", "2"], "b": "ü"},
        files=[
            ("f", ("name.txt", b"text")),
            ("f", ("x.bin", io.BytesIO(b"\0\1"), "application/x-thing")),
            ("g", ("y", "string", "text/plain", {"X-Part": "yes"})),
        ],
        timeout=20,
    )
    seen = server.requests[0]
    assert seen.header("content-length") == str(len(seen.body))
    told = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in _parts(seen)
    ]
    assert told == [
        ("a", None, b"1"),
        ("a", None, b"2"),
        ("b", None, "ü".encode()),
        ("f", "name.txt", b"text"),
        ("f", "x.bin", b"\0\1"),
        ("g", "y", b"string"),
    ]
    assert _parts(seen)[4].get_content_type() == "application/x-thing"
    assert _parts(seen)[5]["X-Part"] == "yes"


def test_an_open_files_name_is_sent(http: Any, server: ScriptedServer, tmp_path: Any) -> None:
    """The last part of the path, no more."""
    path = tmp_path / "report.csv"
    path.write_bytes(b"a,b")
    with path.open("rb") as file:
        http.post(server.url("/"), files={"f": file}, timeout=20)
    assert _parts(server.requests[0])[0].get_filename() == "report.csv"


def test_forms_and_json_are_the_same_bytes(http: Any, server: ScriptedServer) -> None:
    """Caches key on these bytes."""
    with http.Session() as session:
        session.post(server.url("/"), data={"a b": "c&d", "e": ["1", "2"], "n": None}, timeout=20)
        session.post(server.url("/"), json={"a": [1, None], "ü": True}, timeout=20)
        session.post(server.url("/"), data="ü", timeout=20)
        session.post(server.url("/"), timeout=20)
    form, document, text, empty = server.requests
    assert form.body == b"a+b=c%26d&e=1&e=2"
    assert form.header("content-type") == "application/x-www-form-urlencoded"
    assert document.body == json.dumps({"a": [1, None], "ü": True}).encode()
    assert document.header("content-type") == "application/json"
    assert (text.body, text.header("content-length")) == ("ü".encode(), "2")
    assert text.header("content-type") is None
    assert (empty.body, empty.header("content-length")) == (b"", "0")


def test_generators_go_chunked_and_files_by_length(http: Any, server: ScriptedServer) -> None:
    """An iterable without a length is chunked; a file from its present position has a length."""
    file = io.BytesIO(b"0123456789")
    file.read(4)
    with http.Session() as session:
        session.post(server.url("/"), data=(part for part in (b"one", b"", b"two")), timeout=20)
        session.put(server.url("/"), data=file, timeout=20)
    first, second = server.requests
    assert first.body == b"onetwo"
    assert first.header("transfer-encoding") == "chunked"
    assert first.header("content-length") is None
    assert (second.body, second.header("content-length")) == (b"456789", "6")


LINES = b"a\nb\r\nc\rd\n\ne"


@pytest.mark.parametrize("chunk_size", [1, 3, 512])
def test_iter_lines(http: Any, chunk_size: int) -> None:
    """Lines as requests cuts them, its split of CR LF over two pieces included."""
    with ScriptedServer(once(respond(LINES))) as server:
        reply = http.get(server.url("/"), stream=True, timeout=20)
        lines = list(reply.iter_lines(chunk_size=chunk_size))
    expected = {
        1: [b"a", b"b", b"", b"c", b"d", b"", b"e"],
        3: [b"a", b"b", b"c", b"d", b"", b"e"],
        512: [b"a", b"b", b"c", b"d", b"", b"e"],
    }
    assert lines == expected[chunk_size]


def test_iter_lines_with_a_delimiter_and_decoding(http: Any) -> None:
    """A delimiter of one's own, text instead of bytes, over chunk borders inside a character."""
    data = "é;ü;x".encode()
    script = once(
        chunked([data[:1], data[1:5], data[5:]], {"Content-Type": "text/x; charset=utf-8"})
    )
    with ScriptedServer(script) as server:
        reply = http.get(server.url("/"), stream=True, timeout=20)
        assert list(reply.iter_lines(delimiter=";", decode_unicode=True)) == ["é", "ü", "x"]


@pytest.mark.parametrize(
    ("content_type", "data", "encoding", "text"),
    [
        ("text/plain; charset=utf-8", "ü".encode(), "utf-8", "ü"),
        ("text/plain; charset='iso-8859-15'", b"\xa4", "iso-8859-15", "€"),
        ("text/plain", b"\xfc", "ISO-8859-1", "ü"),
        ("application/json", '"ü"'.encode(), "utf-8", '"ü"'),
        ("text/plain; charset=nonsense", b"abc", "nonsense", "abc"),
        ("application/octet-stream", b"", None, ""),
    ],
)
def test_encodings(
    http: Any, content_type: str, data: bytes, encoding: str | None, text: str
) -> None:
    """The charset of the header, else what the media type says, and never an error."""
    with ScriptedServer(once(respond(data, {"Content-Type": content_type}))) as server:
        reply = http.get(server.url("/"), timeout=20)
    assert (reply.encoding, reply.text) == (encoding, text)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_finds_its_encoding(http: Any, codec: str) -> None:
    """Without a charset JSON tells by its zero bytes."""
    with ScriptedServer(once(respond('{"a": "ü"}'.encode(codec)))) as server:
        assert http.get(server.url("/"), timeout=20).json() == {"a": "ü"}


def test_json_that_is_none_raises_our_error(http: Any) -> None:
    """The error is a RequestException and a ValueError with a position."""
    with ScriptedServer(once(respond(b"{no"))) as server:
        reply = http.get(server.url("/"), timeout=20)
    with pytest.raises(http.exceptions.JSONDecodeError) as caught:
        reply.json()
    assert isinstance(caught.value, ValueError | http.RequestException)
    assert (caught.value.doc, caught.value.pos) == ("{no", 1)


def test_a_body_cut_short_is_an_error(http: Any) -> None:
    """By length and in chunks, when it is read."""
    scripts = [
        once(respond(b"abc", length=10)),
        once(chunked([b"abc"], end=False)),
    ]
    with ScriptedServer(scripts) as server:
        for _ in scripts:
            with pytest.raises(http.exceptions.ChunkedEncodingError):
                http.get(server.url("/"), timeout=20)


def test_the_boundary_can_be_patched(
    http: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording libraries replace urllib3's `choose_boundary` to compare uploads."""
    monkeypatch.setattr("urllib3.filepost.choose_boundary", lambda: "fixed")
    http.post(server.url("/"), files={"f": b"x"}, timeout=20)
    seen = server.requests[0]
    assert re.fullmatch("multipart/form-data; boundary=fixed", seen.header("content-type") or "")
    assert seen.body.startswith(b"--fixed\r\n")
    assert seen.body.endswith(b"\r\n--fixed--\r\n")


@pytest.mark.parametrize("data", [respond(b""), chunked([]), respond(b"", length=None)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_empty_body_is_an_open_file_until_it_is_read(
    http: Any, data: bytes, method: str
) -> None:
    """`io.TextIOWrapper` refuses a closed file."""
    with ScriptedServer(once(data)) as server, http.Session() as session:
        with session.request(method, server.url(), stream=True, timeout=20) as response:
            assert not response.raw.closed
            assert io.TextIOWrapper(response.raw).readlines() == []
            assert response.raw.closed


@pytest.mark.parametrize("body", [b"one\ntwo\n", b"\n\n"])
@pytest.mark.parametrize("chunk_bytes", [None, 1, 3, 100])
def test_lines_are_read_from_a_body_without_length(
    http: Any, body: bytes, chunk_bytes: int | None
) -> None:
    """`io.TextIOWrapper` reads all lines of a body in chunks, or up to the connection's end."""
    if chunk_bytes is None:
        data = respond(body, length=None)
    else:
        data = chunked(body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes))
    with ScriptedServer(once(data)) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=20) as response:
            assert list(io.TextIOWrapper(response.raw)) == body.decode().splitlines(True)
            assert response.raw.closed


@pytest.mark.parametrize("read", ["read", "read1", "readinto", "stream", "rest"])
def test_a_body_without_length_is_open_until_a_read_brings_nothing(http: Any, read: str) -> None:
    """Files that wrap `raw` refuse to read on once it is closed."""
    with ScriptedServer(once(respond(b"hello", length=None))) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=20) as response:
            raw = response.raw
            pieces = {
                "read": lambda: iter(lambda: raw.read(5), b""),
                "read1": lambda: iter(raw.read1, b""),
                "readinto": lambda: iter(lambda: b"hello"[: raw.readinto(bytearray(9))], b""),
                "stream": lambda: raw.stream(9),
                "rest": lambda: iter([raw.read()]),
            }[read]()
            assert next(pieces) == b"hello"
            assert raw.closed is (read == "rest")
            assert list(pieces) == []
            assert raw.closed


def into(raw: Any, size: int) -> bytes:
    """Read by `readinto`."""
    room = bytearray(size)
    return bytes(room[: raw.readinto(room)])


@pytest.mark.parametrize("chunk_bytes", [1, 3, 6])
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize(
    ("read", "is_over"),
    [
        (lambda raw: raw.read(6), False),
        (lambda raw: raw.read(4) + raw.read(2), False),
        (lambda raw: b"".join(raw.read(1) for _ in range(6)), False),
        (lambda raw: into(raw, 6), False),
        (lambda raw: into(raw, 2) + into(raw, 4), False),
        (lambda raw: raw.readline() + raw.readline(), False),
        (lambda raw: raw.readline(3) + raw.readline(3), False),
        (lambda raw: raw.readline() + raw.readline() + raw.readline(), True),
        (lambda raw: b"".join(raw.read1(6) for _ in range(6)), None),
        (lambda raw: b"".join(iter(lambda: raw.read1(2), b"")), True),
        (lambda raw: raw.read(7), True),
        (lambda raw: raw.read(4) + raw.read(3), True),
        (lambda raw: into(raw, 7), True),
        (lambda raw: raw.read(), True),
        (lambda raw: raw.read(2) + raw.read(), True),
        (lambda raw: b"".join(raw.stream(2)), True),
        (lambda raw: b"".join(raw.stream(9)), True),
        (lambda raw: b"".join(raw.read_chunked()), True),
        (lambda raw: b"".join(raw), True),
    ],
)
def test_a_chunked_body_is_open_until_a_read_goes_beyond_its_bytes(
    http: Any, read: Any, is_over: bool | None, decode: bool, chunk_bytes: int
) -> None:
    """Only then the last chunk is looked at: `raw.closed` tells the same as in requests."""
    body = b"he\nlo\n"
    data = chunked(body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes))
    with ScriptedServer(once(data)) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=20) as response:
            raw = response.raw
            raw.decode_content = decode
            assert read(raw) == body
            if is_over is not None:
                assert raw.closed is is_over
                assert raw.isclosed() is is_over
            assert raw.read(1) == b""
            assert raw.closed


@pytest.mark.parametrize("method", ["stream", "read_chunked"])
def test_no_bytes_of_a_chunked_body_are_asked_for(http: Any, method: str) -> None:
    """Pieces of 0 bytes are none, and the body is still there."""
    with ScriptedServer(once(chunked([b"hello"]))) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=20) as response:
            assert list(getattr(response.raw, method)(0)) == []
            assert not response.raw.closed


@pytest.mark.parametrize("data", [respond(b"he", length=5), chunked([b"he"], end=False)])
def test_draining_a_broken_body_raises_nothing(http: Any, data: bytes) -> None:
    """The caller of `drain_conn` does not want the body."""
    with ScriptedServer(once(data)) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=20) as response:
            response.raw.drain_conn()
            assert response.status_code == 200
