"""Requests made with the fields of earlier ones are the same as requests made from nothing."""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Any

import h11
import pytest
from urllib3.util.request import SKIP_HEADER

from pooledhttp.exceptions import RequestRefused
from pooledhttp.http1 import Connection, RequestMemo
from pooledhttp.http1.framing import FramingError, read_framing
from pooledhttp.http1.messages import WireRequest
from pooledhttp.http1.request_encoding import is_plain_head
from pooledhttp.http1.request_memo import MAX_HEADS
from pooledhttp.structures import CaseInsensitiveDict
from tests.http1.script import PLAN, ScriptedStream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Fields = dict[Any, Any]


def sent(
    memo: RequestMemo, fields: Fields, target: str = "/", body: Any = None, **how: Any
) -> bytes:
    """Return what a request is on the wire."""
    method = how.pop("method", "GET" if body is None else "POST")
    chunked = how.pop("chunked", False)
    headers = CaseInsensitiveDict(fields)
    request = memo.build(method, target, "host.test", headers, body, chunked=chunked, url=target)
    stream = ScriptedStream([OK])
    Connection(stream, "http://host.test:80").send(request, PLAN)  # type: ignore[arg-type]
    return bytes(stream.sent)


BASE = {"User-Agent": "a", "Accept": "*/*", "Connection": "keep-alive"}


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        (BASE, {}),
        (BASE, {"target": "/other?x=1"}),
        (BASE, {"target": "/needs encoding"}),
        (BASE, {"method": "DELETE"}),
        (dict(reversed(BASE.items())), {}),
        ({**BASE, "accept": "*/*"}, {}),
        ({**BASE, "X": b"bytes"}, {}),
        ({**BASE, "X": ""}, {}),
        ({**BASE, "X": [1]}, {}),
        ({**BASE, "X": None}, {}),
        ({**BASE, "Host": "other.test"}, {}),
        ({**BASE, "Cookie": "a=b; c=d"}, {}),
        ({"Authorization": "Basic c2VjcmV0", **BASE}, {"body": b"four"}),
        ({**BASE, "Authorization": b"bytes", "cookie": "a=b"}, {}),
        ({**BASE, "Cookie": "trailing=1 \t"}, {}),
        ({**BASE, "Cookie": "f\u00fcr"}, {}),
        ({**BASE, "Cookie": None}, {}),
        ({**BASE, "Cookie": SKIP_HEADER}, {}),
        ({**BASE, "Cookie": ""}, {"target": "/needs encoding"}),
        (BASE, {"body": b"four"}),
        (BASE, {"body": "f\u00fcr"}),
        (BASE, {"body": b"four", "chunked": True}),
        ({**BASE, "Content-Length": "4"}, {"body": b"four"}),
        ({**BASE, "Transfer-Encoding": "chunked"}, {"body": b"four"}),
        (BASE, {"body": b""}),
    ],
)
def test_a_shared_memo_changes_no_byte(fields: Fields, how: dict[str, Any]) -> None:
    """What is kept of other requests, and of the same one, has no effect on the bytes."""
    fresh = sent(RequestMemo(), fields, **how)
    shared = RequestMemo()
    secrets = {**BASE, "Cookie": "other=1"}, {**BASE, "Authorization": "Other", "cookie": "x"}
    for other in (BASE, {**BASE, "X": "1"}, *secrets):
        sent(shared, other)
        sent(shared, other, body=b"data")
    assert [sent(shared, fields, **how) for _ in range(3)] == [fresh] * 3


class Refuses:
    """A value that cannot be compared with others; its text is sent."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def __eq__(self, other: object) -> bool:
        if other == SKIP_HEADER:
            return False
        raise self._error

    def __hash__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "text"


@pytest.mark.parametrize("error", [TypeError, ValueError, BytesWarning])
def test_a_value_that_cannot_be_compared_is_sent(error: type[Exception]) -> None:
    """Each request is compared with the last one. BytesWarning is what `python -bb` raises."""
    memo = RequestMemo()
    for _ in range(2):
        sent(memo, {**BASE, "X": "text"})
    assert sent(memo, {**BASE, "X": Refuses(error)}) == sent(RequestMemo(), {**BASE, "X": "text"})


def test_a_second_request_with_the_same_fields_is_not_checked_again() -> None:
    """Target and body may differ; the checked fields are shared."""
    memo = RequestMemo()
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(BASE)
    first, second = (
        memo.build("POST", target, "host.test", headers, body, chunked=False, url=target)
        for target, body in (("/a", b"one"), ("/b", b"two"))
    )
    assert second.checked is first.checked
    assert (second.target, second.body, second.url) == (b"/b", b"two", "/b")


@pytest.mark.parametrize("name", ["Authorization", "cookie", "Proxy-Authorization"])
def test_credentials_are_not_kept(name: str) -> None:
    """A field with credentials is in no memo when its request is over."""
    memo = RequestMemo()
    sent(memo, {**BASE, name: "secret"})
    kept = [(head, head.checked.block, head.checked._fields) for head in memo._heads.values()]
    assert kept and "secret" not in repr(kept)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\0", " a"])
def test_credentials_are_checked_each_time(value: str) -> None:
    """Where all other fields are known, and next to an earlier request that was fine."""
    memo = RequestMemo()
    for _ in range(2):
        sent(memo, {**BASE, "Authorization": "fine"})
        with pytest.raises(RequestRefused):
            sent(memo, {**BASE, "Authorization": value})


def test_a_body_is_not_kept() -> None:
    """The memo holds heads, however large the bodies are."""
    memo = RequestMemo()
    sent(memo, BASE, body=b"large")
    assert [kept.body for kept in memo._heads.values()] == [None]


def test_the_memo_is_bounded() -> None:
    """Programs that send other fields with each request do not fill the memory."""
    memo = RequestMemo()
    for number in range(MAX_HEADS * 3):
        sent(memo, {**BASE, "X-Request-Id": str(number)})
    assert 0 < len(memo._heads) <= MAX_HEADS


def test_a_field_that_is_refused_is_refused_each_time() -> None:
    """A field with a line break never counts as checked."""
    memo = RequestMemo()
    for _ in range(3):
        with pytest.raises(RequestRefused):
            sent(memo, {**BASE, "X": "a\r\nb: c"})


def test_a_target_is_checked_also_where_the_fields_are_known() -> None:
    """A request line with a space in its target would be read as another one."""
    memo = RequestMemo()
    sent(memo, BASE)
    for _ in range(2):
        with pytest.raises(RequestRefused):
            sent(memo, BASE, target="no slash HTTP/1.1")


class Kind(str, Enum):  # noqa: UP042  # a StrEnum has another `str()`
    JSON = "application/json"


def test_an_enum_of_strings_is_sent_as_its_value() -> None:
    """Http.client encodes the string; `str()` of such an enum is the name of the member."""
    assert b"Accept: application/json\r\n" in sent(RequestMemo(), {"Accept": Kind.JSON})


FIELD_PARTS = (
    b"",
    b"a",
    b"Host",
    b"host",
    b"a b",
    b"a:b",
    b"a: b",
    b" a",
    b"a ",
    b"\t",
    b"a\tb",
    b"a\r\nb",
    b"a\nb",
    b"\x00",
    b"\x7f",
    b"\xe9",
    b"\x0b",
    b"a\x01",
    b"Content-Length",
    b"1",
    b"x, y",
)


def test_what_passes_without_h11_passes_h11() -> None:
    """Heads put together of awkward parts: a head that is called plain is one that h11 accepts."""
    random = Random(17)
    plain = 0
    for _ in range(20_000):
        fields = [
            (random.choice(FIELD_PARTS), random.choice(FIELD_PARTS))
            for _ in range(random.randrange(3))
        ]
        fields.insert(random.randrange(len(fields) + 1), (b"Host", b"host.test"))
        method = random.choice((b"GET", b"GET", b"GET", b"G T", b""))
        target = random.choice((b"/", b"/", b"/", b"/ a", b"", b"/\xe9"))
        request = WireRequest(method, target, fields)
        if is_plain_head(request):
            plain += 1
            try:
                read_framing(fields)
            except FramingError:
                continue  # it is refused for that
            h11.Request(method=method, target=target, headers=fields)
    assert plain > 200
