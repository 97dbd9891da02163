"""The framing fields are read by h11's rules."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooledhttp.http1.framing import FramingError, has_close, read_framing

Fields = list[tuple[bytes, bytes]]

VALUES = [b"5", b"05", b"5, 5", b"5,6", b"5 , 5", b"", b"-5", b"9" * 20, b"9" * 21, b"5\xb2",
          b"chunked", b"CHUNKED", b"gzip, chunked", b"identity", b"close", b"a, Close", b"closed",
          b"keep-alive", b"timeout=5"]  # fmt: skip
NAMES = [b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Keep-Alive",
         b"X-Other", b"Cookie"]  # fmt: skip
fields = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)


def read_by_h11(fields: Fields) -> tuple[int | None, bool, bool] | None:
    """What h11 makes of the fields; `None` if it refuses them."""
    try:
        response = h11.Response(status_code=200, headers=fields)
    except h11.LocalProtocolError:
        return None
    lengths = [int(value) for name, value in response.headers if name == b"content-length"]
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    while reader.next_event() not in (h11.PAUSED, h11.NEED_DATA):
        pass
    sent = h11.Response(status_code=204, headers=[f for f in fields if f[0] == b"Connection"])
    reader.send(sent)
    reader.send(h11.EndOfMessage())
    codings = [value for name, value in response.headers if name == b"transfer-encoding"]
    is_closing = reader.our_state is h11.MUST_CLOSE
    return lengths[0] if lengths else None, bool(codings), is_closing


@settings(max_examples=300)
@given(fields=fields)
def test_fields_say_what_h11_reads(fields: Fields) -> None:
    """The same length, coding and wish to close, or an error from both."""
    try:
        ours = read_framing(fields)
    except FramingError:
        assert read_by_h11(fields) is None
        return
    assert read_by_h11(fields) == (ours.length, ours.is_chunked, ours.says_close)


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding"])
def test_contradictions_are_errors(name: bytes) -> None:
    """Two values between which a reader would have to choose."""
    with pytest.raises(FramingError):
        read_framing([(name, b"5"), (name, b"chunked")])


def test_close_is_one_of_several_options() -> None:
    """The options of Connection are a list, in any case."""
    assert has_close(b"Upgrade, Close")
    assert not has_close(b"closer")
