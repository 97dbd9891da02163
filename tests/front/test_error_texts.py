"""What an error says: what failed, for which origin, and what to do. Secrets stay out."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import pooledhttp
from pooledhttp.exceptions import RequestException
from tests.support.scripted import Peer, ScriptedServer, once, respond


def failure(call: Callable[[], object]) -> str:
    with pytest.raises(RequestException) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (b"", "head from {origin}."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "body from {origin}, after 3 bytes."),
    ],
)
def test_a_silent_server(sent: bytes, where: str) -> None:
    """The limit, the phase, the origin, how much came, and which limit to raise."""

    def silent(peer: Peer) -> None:
        peer.read_request()
        peer.send(sent)
        peer.wait_closed()

    with ScriptedServer(silent) as server:
        text = failure(lambda: pooledhttp.get(server.url(), timeout=0.2))
        origin = server.url("")
    assert text == (
        "Read timed out. (read timeout=0.2) while waiting for the response "
        f"{where.format(origin=origin)} Raise the read timeout if the server is only slow."
    )


def test_a_reset() -> None:
    """The origin, and how far the exchange had come."""

    def reset(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with ScriptedServer(reset) as server:
        text = failure(lambda: pooledhttp.get(server.url()))
        origin = server.url("")
    words = f"Connection aborted. The connection to {origin} broke before the response came (Conn"
    assert text.startswith(words)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http:///x", "{origin} redirects to 'http:///x', which has no host."),
        ("http://[a/", "Failed to parse the address to which {origin} redirects: "),
        ("http+unix://%2Fs/x", "{origin} redirects to a Unix socket of this machine, "),
    ],
)
def test_a_redirect_that_is_not_followed(location: str, said: str) -> None:
    """The server that sent it is named."""
    response = respond(status=302, headers={"Location": location})
    with ScriptedServer(once(response)) as server:
        url = server.url().replace("//", "//user:secret@")
        text = failure(lambda: pooledhttp.get(url))
        origin = server.url("")
    assert text.startswith(said.format(origin=origin))
    assert "secret" not in text


def test_a_field_with_a_line_break() -> None:
    """The field is named, and its value is shown unless it is a credential."""
    for name, value, shown in (
        ("X-Trace", "7\n", r"'7\n'"),
        ("Authorization", "Bearer s3cret\n", "(not shown)"),
        ("cookie", "s3cret\n", "(not shown)"),
    ):
        text = failure(lambda: pooledhttp.get("http://127.0.0.1:1/", headers={name: value}))  # noqa: B023
        assert text.endswith(
            f"in header value: {shown}, in {name!r}. Remove line breaks, for example by strip()"
        )
        assert "s3cret" not in text


def test_a_url_that_cannot_be_parsed() -> None:
    """What to look at is said; a password is not shown."""
    text = failure(lambda: pooledhttp.get("http://me:s3cret@host:99999/"))
    assert re.fullmatch(r"Failed to parse: http://host:99999/\. Check its host and port", text)
