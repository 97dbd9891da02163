"""What a response means for a download."""

from __future__ import annotations

import pytest

from pooledhttp.bulk.responses import (
    Asked,
    Step,
    decide,
    mark_of,
    stores_coded_form,
    strong_validator,
)

WHOLE = Asked()
REST = Asked(offset=10, total=100, validator='"v"')


@pytest.mark.parametrize(
    ("status", "asked", "step"),
    [
        (200, WHOLE, Step.STORE),
        (203, WHOLE, Step.STORE),
        (201, WHOLE, Step.REFUSE),
        (201, Asked(accept=(201,)), Step.STORE),
        (404, Asked(accept=(404,)), Step.STORE),
        (204, WHOLE, Step.REFUSE),
        (206, WHOLE, Step.REFUSE),
        (206, Asked(has_own_range=True), Step.STORE),
        (300, WHOLE, Step.REFUSE),
        (302, WHOLE, Step.REFUSE),
        (304, WHOLE, Step.REFUSE),
        (304, Asked(is_conditional=True), Step.KEEP),
        (416, WHOLE, Step.REFUSE),
        (500, WHOLE, Step.REFUSE),
        (200, REST, Step.STORE),
        (416, REST, Step.RESTART),
        (404, REST, Step.REFUSE),
    ],
)
def test_statuses(status: int, asked: Asked, step: Step) -> None:
    """What is stored, kept or refused; a refusal has a reason."""
    decision = decide(status, {}, asked, "Phrase")
    assert decision.step is step
    if step is Step.REFUSE:
        assert decision.reason.startswith(f"HTTP {status} Phrase")


@pytest.mark.parametrize(
    ("headers", "step"),
    [
        ({"Content-Range": "bytes 10-99/100", "ETag": '"v"'}, Step.APPEND),
        ({"Content-Range": "bytes 10-50/100", "ETag": '"v"'}, Step.APPEND),
        ({"Content-Range": "Bytes 10-99/100", "ETag": '"v"'}, Step.APPEND),
        ({"Content-Range": "bytes 10-99/100", "ETag": '"w"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-99/100", "ETag": 'W/"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-99/100"}, Step.RESTART),
        ({"Content-Range": "bytes 9-99/100", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 0-99/100", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-9/100", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-100/100", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-100/101", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "bytes 10-99/*", "ETag": '"v"'}, Step.RESTART),
        ({"Content-Range": "lines 10-99/100", "ETag": '"v"'}, Step.RESTART),
        ({"ETag": '"v"'}, Step.RESTART),
        (
            {"Content-Range": "bytes 10-99/100", "ETag": '"v"', "Content-Length": "90"},
            Step.APPEND,
        ),
        (
            {"Content-Range": "bytes 10-99/100", "ETag": '"v"', "Content-Length": "100"},
            Step.RESTART,
        ),
        (
            {"Content-Range": "bytes 10-99/100", "ETag": '"v"', "Content-Length": "5"},
            Step.RESTART,
        ),
    ],
)
def test_a_part_fits_or_the_whole_is_asked_for(headers: dict[str, str], step: Step) -> None:
    """Same version, same length, from the byte that is missing."""
    assert decide(206, headers, REST).step is step


def test_a_date_as_validator_may_be_left_out_of_the_part() -> None:
    """RFC 9110 lets a server do that, but not send another one."""
    asked = Asked(offset=1, validator="Tue, 01 Jan 2019 00:00:00 GMT")
    assert decide(206, {"Content-Range": "bytes 1-2/3"}, asked).step is Step.APPEND
    other = {"Content-Range": "bytes 1-2/3", "Last-Modified": "Wed, 02 Jan 2019 00:00:00 GMT"}
    assert decide(206, other, asked).step is Step.RESTART


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"'}, None),
        ({"ETag": "bare"}, None),
        ({"ETag": 'W/"a"', "Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT"}, None),
        (
            {
                "Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT",
                "Date": "Tue, 01 Jan 2019 00:01:00 GMT",
            },
            "Tue, 01 Jan 2019 00:00:00 GMT",
        ),
        (
            {
                "Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT",
                "Date": "Tue, 01 Jan 2019 00:00:59 GMT",
            },
            None,
        ),
        ({"Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT"}, None),
        ({"Last-Modified": "x", "Date": "y"}, None),
        ({}, None),
    ],
)
def test_only_a_strong_validator_continues_a_body(
    headers: dict[str, str], validator: str | None
) -> None:
    """An ETag that is not weak, or a date that is old enough."""
    assert strong_validator(headers) == validator
    assert bool(mark_of(validator)) == (validator is not None)


@pytest.mark.parametrize(
    ("name", "headers", "decode", "stores"),
    [
        ("x.html", {}, "auto", True),
        ("x.html", {"Content-Encoding": "identity"}, "always", True),
        ("x.html", {"Content-Encoding": "gzip"}, "auto", False),
        ("x.tar.gz", {"Content-Encoding": "gzip"}, "auto", True),
        ("x.TGZ", {"Content-Encoding": "x-gzip"}, "auto", True),
        ("x.br", {"Content-Encoding": "gzip"}, "auto", False),
        ("x.br", {"Content-Encoding": "br"}, "auto", True),
        ("x", {"Content-Encoding": "gzip", "Content-Type": "application/gzip"}, "auto", True),
        (
            "x",
            {"Content-Encoding": "gzip", "Content-Type": "application/x-gzip; a=b"},
            "auto",
            True,
        ),
        ("x", {"Content-Encoding": "gzip", "Content-Type": "application/json"}, "auto", False),
        ("x.gz", {"Content-Encoding": "gzip"}, "always", False),
        ("x.html", {"Content-Encoding": "gzip"}, "never", True),
    ],
)
def test_when_the_coded_form_is_the_file(
    name: str, headers: dict[str, str], decode: str, stores: bool
) -> None:
    """By name or type, unless the caller knows better."""
    assert stores_coded_form(name, headers, decode) is stores
