"""Basic and digest authentication."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.auth import (
    AuthBase,
    HTTPBasicAuth,
    HTTPDigestAuth,
    HTTPProxyAuth,
    _basic_auth_str,
    parse_dict_header,
    parse_list_header,
    unquote_header_value,
)
from pooledhttp.cookies import RequestsCookieJar
from pooledhttp.digest import NonceCounts
from pooledhttp.exceptions import InvalidHeader, UnrewindableBodyError
from pooledhttp.structures import CaseInsensitiveDict

CHALLENGE = 'Digest realm="R", nonce="N1", qop="auth", opaque="O", algorithm=MD5'


class FakeRequest:
    """What digest authentication reads and writes of a prepared request."""

    def __init__(self, url: str = "https://a.example/x?q=1", body: Any = None) -> None:
        self.method = "GET"
        self.url = url
        self.body = body
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self.hooks: list[Any] = []
        self._cookies = RequestsCookieJar()
        self._body_position: Any = None

    def register_hook(self, event: str, hook: Any) -> None:
        self.hooks.append(hook)

    def prepare_cookies(self, cookies: Any) -> None:
        pass

    def copy(self) -> FakeRequest:
        twin = FakeRequest(self.url, self.body)
        twin.headers = self.headers.copy()
        return twin


class FakeServer:
    """Answers what it is sent with 200 and remembers it; stands in for the adapter, too."""

    def __init__(self) -> None:
        self.seen: list[FakeRequest] = []

    def send(self, request: FakeRequest, **kwargs: Any) -> Any:
        self.seen.append(request)
        return self.response(request, 200)

    def response(self, request: FakeRequest, status: int, challenge: str | None = None) -> Any:
        headers = CaseInsensitiveDict({} if challenge is None else {"WWW-Authenticate": challenge})
        return SimpleNamespace(
            status_code=status,
            headers=headers,
            request=request,
            raw=None,
            connection=self,
            content=b"",
            close=lambda: None,
            history=[],
            is_redirect=False,
        )


def fields_of(header: str) -> dict[str, str | None]:
    assert header.startswith("Digest ")
    return parse_dict_header(header.removeprefix("Digest "))


def challenged(auth: HTTPDigestAuth, request: FakeRequest, challenge: str = CHALLENGE) -> Any:
    """Sign a request, have it refused with a challenge, and return what the hook makes of that."""
    server = FakeServer()
    refusal = server.response(auth(request), 401, challenge)
    return auth.handle_401(refusal, timeout=3)


@pytest.mark.parametrize(
    ("username", "password", "expected"),
    [
        ("user", "pass", "Basic dXNlcjpwYXNz"),
        (b"user", b"pass", "Basic dXNlcjpwYXNz"),
        ("\u00fc", "\u00e9", "Basic /Drp"),
        ("\u20ac", "", "Basic 4oKsOg=="),
    ],
)
def test_basic_is_latin_1_and_utf_8_beyond_it(
    username: str | bytes, password: str | bytes, expected: str
) -> None:
    """Text is sent in Latin-1; what Latin-1 cannot say, in UTF-8; bytes as they are."""
    request = FakeRequest()
    assert HTTPBasicAuth(username, password)(request).headers["Authorization"] == expected
    assert HTTPProxyAuth(username, password)(request).headers["Proxy-Authorization"] == expected


def test_basic_warns_of_credentials_that_are_no_text() -> None:
    """Numbers still work, with one warning each."""
    with pytest.warns(DeprecationWarning, match="Non-string") as caught:
        assert _basic_auth_str(1, 2) == "Basic MToy"  # type: ignore[arg-type]
    assert len(caught) == 2


@pytest.mark.parametrize("kind", [HTTPBasicAuth, HTTPDigestAuth])
def test_equal_credentials_make_equal_objects(kind: Any) -> None:
    """Equality is by user name and password."""
    assert kind("a", "b") == kind("a", "b")
    assert kind("a", "b") != kind("a", "c")
    assert kind("a", "b") != object()


def test_the_base_class_leaves_signing_to_others() -> None:
    """Calling it is an error."""
    with pytest.raises(NotImplementedError):
        AuthBase()(FakeRequest())


def test_lists_and_dicts_in_headers_are_read_with_their_quotes() -> None:
    """Commas in quotes part nothing; a name alone is None; UNC paths keep their backslashes."""
    assert parse_list_header('a, "b, c" , d') == ["a", "b, c", "d"]
    assert parse_dict_header('a="x, y", b=z=1, c') == {"a": "x, y", "b": "z=1", "c": None}
    assert unquote_header_value('"a\\\\b\\"c"') == 'a\\b"c'
    assert unquote_header_value('"\\\\host\\f"', is_filename=True) == "\\\\host\\f"


@pytest.mark.parametrize(
    ("algorithm", "function"),
    [
        ("MD5", hashlib.md5),
        ("SHA", hashlib.sha1),
        ("SHA-256", hashlib.sha256),
        ("SHA-512", hashlib.sha512),
        ("md5-sess", hashlib.md5),
        ("SHA-256-SESS", hashlib.sha256),
    ],
)
def test_a_challenge_is_answered_as_rfc_7616_computes_it(algorithm: str, function: Any) -> None:
    """The response is recomputed here from the fields that were sent."""

    def digest(*parts: str | None) -> str:
        return str(function(":".join(str(part) for part in parts).encode()).hexdigest())

    auth = HTTPDigestAuth('us"er', "p\u00e4ss")
    challenge = CHALLENGE.replace("MD5", algorithm)
    response = challenged(auth, FakeRequest("https://a.example/x;p?q=1#f"), challenge)
    sent = fields_of(response.request.headers["Authorization"])
    secret = digest('us"er', "R", "p\u00e4ss")
    if algorithm.lower().endswith("-sess"):
        secret = digest(secret, "N1", sent["cnonce"])
    expected = digest(secret, "N1", "00000001", sent["cnonce"], "auth", digest("GET", "/x;p?q=1"))
    assert sent["response"] == expected
    assert (sent["uri"], sent["opaque"], sent["nc"]) == ("/x;p?q=1", "O", "00000001")
    assert sent["username"] == 'us"er' and sent["algorithm"] == algorithm
    assert 'qop="auth"' in response.request.headers["Authorization"]


def test_without_qop_the_old_formula_is_used() -> None:
    """RFC 2069: neither count nor client nonce."""
    auth = HTTPDigestAuth("u", "p")
    response = challenged(auth, FakeRequest(), 'Digest realm="R", nonce="N"')
    sent = fields_of(response.request.headers["Authorization"])
    assert "nc" not in sent and "qop" not in sent and "algorithm" not in sent
    secret, asked = (hashlib.md5(text.encode()).hexdigest() for text in ("u:R:p", "GET:/x?q=1"))
    assert sent["response"] == hashlib.md5(f"{secret}:N:{asked}".encode()).hexdigest()


def test_the_answer_carries_its_history() -> None:
    """The refusal is in the history, and `request` is the signed one."""
    request = FakeRequest()
    response = challenged(HTTPDigestAuth("u", "p"), request)
    assert response.status_code == 200
    assert [refusal.status_code for refusal in response.history] == [401]
    assert response.request is not request and "Authorization" not in request.headers


@pytest.mark.parametrize(
    "challenge",
    [
        None,
        "",
        'Basic realm="R"',
        'Digest realm="R"',
        'Digest nonce="N"',
        'Digest realm="R", nonce="N", algorithm=WHIRLPOOL',
        'Digest realm="R", nonce="N", qop="auth-int"',
    ],
)
def test_a_challenge_that_cannot_be_answered_is_handed_back(challenge: str | None) -> None:
    """The refusal itself is the result, and nothing is sent."""
    auth, server, request = HTTPDigestAuth("u", "p"), FakeServer(), FakeRequest()
    refusal = server.response(auth(request), 401, challenge)
    assert auth.handle_401(refusal) is refusal and server.seen == []


@pytest.mark.parametrize(
    "challenge",
    [
        f'Basic realm="x", {CHALLENGE}',
        f'{CHALLENGE}, Basic realm="x, y"',
        f"Negotiate, {CHALLENGE}",
        f"Negotiate abc==, {CHALLENGE}",
        f'Digest realm="R", nonce="N0", algorithm=NEW, {CHALLENGE}',
        CHALLENGE.replace("=", " = ").replace("Digest", "DIGEST"),
    ],
)
def test_the_digest_challenge_is_found_among_others(challenge: str) -> None:
    """Of several challenges the first digest one with a known algorithm is used."""
    response = challenged(HTTPDigestAuth("u", "p"), FakeRequest(), challenge)
    sent = fields_of(response.request.headers["Authorization"])
    assert (sent["realm"], sent["nonce"]) == ("R", "N1")


def test_the_second_refusal_is_final() -> None:
    """A signed request that is refused is not sent again; the next one starts afresh."""
    auth, server, request = HTTPDigestAuth("u", "p"), FakeServer(), FakeRequest()
    auth(request)
    auth.handle_401(server.response(request, 401, CHALLENGE))
    again = server.response(request, 401, CHALLENGE)
    assert auth.handle_401(again) is again and len(server.seen) == 1
    auth.handle_401(server.response(request, 401, CHALLENGE))
    assert len(server.seen) == 2


def test_the_next_request_is_signed_at_once_and_counted() -> None:
    """With a challenge known, the header is there from the start, with a rising count."""
    auth = HTTPDigestAuth("u", "p")
    challenged(auth, FakeRequest())
    counts = [fields_of(auth(FakeRequest()).headers["Authorization"])["nc"] for _ in range(2)]
    assert counts == ["00000002", "00000003"]
    assert auth._thread_local.nonce_count == 3 and auth._thread_local.last_nonce == "N1"


@pytest.mark.parametrize(
    ("elsewhere", "may"),
    [
        ("https://evil.example/x", False),
        ("https://a.example:8443/x", False),
        ("http://a.example/x", False),
        ("https://a.example:443/y", True),
    ],
)
def test_a_redirect_takes_no_credentials_to_another_origin(elsewhere: str, may: bool) -> None:
    """The hook goes along on a redirect; a challenge from there is ignored."""
    auth, server = HTTPDigestAuth("u", "p"), FakeServer()
    auth(FakeRequest("https://a.example/x"))
    auth.handle_redirect(SimpleNamespace(is_redirect=True))
    refusal = server.response(FakeRequest(elsewhere), 401, CHALLENGE)
    assert (auth.handle_401(refusal) is not refusal) is may
    assert bool(server.seen) is may


def test_an_upgrade_to_tls_keeps_the_credentials() -> None:
    """http to https on default ports is the same host, better protected."""
    auth, server = HTTPDigestAuth("u", "p"), FakeServer()
    auth(FakeRequest("http://a.example/x"))
    auth.handle_401(server.response(FakeRequest("https://a.example/x"), 401, CHALLENGE))
    assert len(server.seen) == 1


def test_a_challenge_of_one_origin_signs_nothing_for_another() -> None:
    """One object used for two hosts on purpose waits for the challenge of each."""
    auth = HTTPDigestAuth("u", "p")
    challenged(auth, FakeRequest())
    assert "Authorization" not in auth(FakeRequest("https://b.example/")).headers


def test_a_file_is_sent_again_from_where_it_began() -> None:
    """The body goes back to its position when the request was signed."""
    body = io.BytesIO(b"skipped|sent")
    body.seek(8)
    request = FakeRequest(body=body)
    auth, server = HTTPDigestAuth("u", "p"), FakeServer()
    refusal = server.response(auth(request), 401, CHALLENGE)
    body.read()
    auth.handle_401(refusal)
    assert body.tell() == 8
    request._body_position = 3  # the request's own memory is the better one
    auth.handle_401(server.response(request, 401, CHALLENGE))
    auth.handle_401(server.response(request, 401, CHALLENGE))
    assert body.tell() == 3


def a_generator() -> Iterator[bytes]:
    yield b"x"


class _Pipe:
    """A file that can be read once."""

    def read(self, size: int = -1) -> bytes:
        return b""


@pytest.mark.parametrize("body", [a_generator(), _Pipe()])
def test_a_spent_stream_is_not_sent_again_as_an_empty_one(body: Any) -> None:
    """A clear error, and nothing on the wire."""
    auth, server, request = HTTPDigestAuth("u", "p"), FakeServer(), FakeRequest(body=body)
    refusal = server.response(auth(request), 401, CHALLENGE)
    with pytest.raises(UnrewindableBodyError, match=r"https://a\.example:443") as caught:
        auth.handle_401(refusal)
    assert caught.value.response is refusal and server.seen == []


def test_control_characters_in_credentials_are_refused() -> None:
    """A line break in the user name never gets into a header."""
    with pytest.raises(InvalidHeader, match="control character"):
        challenged(HTTPDigestAuth("u\r\nX: y", "p"), FakeRequest())


@pytest.mark.parametrize(
    ("username", "password", "text"),
    [
        (b"u", b"p", "u"),
        ("\u00e9".encode(), b"p", "\u00e9"),
        (b"\xe9", b"p", "\u00e9"),
        (b"u", b"\xe9\xff", "u"),
    ],
)
def test_digest_takes_bytes_in_any_coding(username: bytes, password: bytes, text: str) -> None:
    """They are UTF-8, or else Latin-1; no response fails for them."""
    answered = challenged(HTTPDigestAuth(username, password), FakeRequest())
    assert fields_of(answered.request.headers["Authorization"])["username"] == text


@pytest.mark.parametrize("qop", ["AUTH", "Auth", "auth-int, AUTH", "auth"])
def test_the_quality_of_protection_is_found_in_any_case(qop: str) -> None:
    """What is sent is in lower case, as RFC 7616 writes it."""
    challenge = f'Digest realm="R", nonce="N1", qop="{qop}"'
    answered = challenged(HTTPDigestAuth("u", "p"), FakeRequest(), challenge)
    assert fields_of(answered.request.headers["Authorization"])["qop"] == "auth"


@pytest.mark.parametrize(("username", "password"), [(5, 6), (None, None), (b"5", 6)])
def test_digest_takes_credentials_that_are_no_text(username: Any, password: Any) -> None:
    """Numbers and None are sent as Python writes them, as in requests."""
    answered = challenged(HTTPDigestAuth(username, password), FakeRequest())
    text = username.decode() if isinstance(username, bytes) else str(username)
    same = challenged(HTTPDigestAuth(text, str(password)), FakeRequest())
    sent, expected = (
        re.sub('cnonce="[^"]*"|response="[^"]*"', "", made.request.headers["Authorization"])
        for made in (answered, same)
    )
    assert sent == expected and f'username="{text}"' in sent


def test_each_thread_and_each_greenlet_counts_for_itself() -> None:
    """State is kept apart, and a response handled in another thread finds a blank one."""
    greenlet = pytest.importorskip("greenlet")
    auth = HTTPDigestAuth("u", "p")
    challenged(auth, FakeRequest())
    seen: list[str] = []

    def look() -> None:
        auth.init_per_thread_state()
        seen.append(auth._thread_local.last_nonce)
        auth._thread_local.last_nonce = "other"

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    greenlet.greenlet(look).switch()
    greenlet.greenlet(look).switch()
    assert seen == ["", "", ""] and auth._thread_local.last_nonce == "N1"


def test_no_two_threads_send_the_same_count() -> None:
    """A server takes a count that it has seen for a replay (RFC 7616, section 3.4)."""
    auth = HTTPDigestAuth("u", "p")
    seen: list[str] = []

    def sign() -> None:
        challenged(auth, FakeRequest())  # every thread is given the same nonce
        for _ in range(50):
            seen.append(fields_of(auth(FakeRequest()).headers["Authorization"])["nc"])

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 200
    assert max(seen) == f"{200 + 4:08x}"  # four more met the challenges


def test_nonces_are_counted_apart_and_within_bounds() -> None:
    """Each nonce begins at one; of many only the newest are remembered."""
    counts = NonceCounts()
    assert [counts.next("a"), counts.next("b"), counts.next("a")] == [1, 1, 2]
    for number in range(2000):
        counts.next(f"n{number}")
    assert len(counts._counters) <= 1000
    assert counts.next("n1999") == 2
    assert pickle.loads(pickle.dumps(counts)).next("n1999") == 1


def test_state_of_a_greenlet_goes_with_it() -> None:
    """Nothing is kept for greenlets that are gone."""
    greenlet = pytest.importorskip("greenlet")
    auth = HTTPDigestAuth("u", "p")
    for _ in range(10):
        greenlet.greenlet(auth.init_per_thread_state).switch()
    kept = [
        value
        for value in vars(auth._thread_local._threads).values()
        if not isinstance(value, str | int)
    ]
    assert len(kept) == 1 and len(kept[0]) == 0


def test_unknown_state_is_an_attribute_error_and_state_can_be_deleted() -> None:
    """It behaves as `threading.local` does."""
    auth = HTTPDigestAuth("u", "p")
    assert not hasattr(auth._thread_local, "init")
    auth.init_per_thread_state()
    del auth._thread_local.init
    with pytest.raises(AttributeError):
        del auth._thread_local.init


def test_a_digest_object_pickles_without_what_it_remembers() -> None:
    """Credentials are kept, challenges are not."""
    auth = HTTPDigestAuth("u", "p")
    challenged(auth, FakeRequest())
    twin = pickle.loads(pickle.dumps(auth))
    assert twin == auth and not hasattr(twin._thread_local, "last_nonce")


def test_origins_are_remembered_within_bounds() -> None:
    """A crawler that signs for ever more hosts keeps the newest thousand or fewer."""
    auth = HTTPDigestAuth("u", "p")
    for number in range(1100):
        auth(FakeRequest(f"https://h{number}.example/"))
    assert 900 <= len(auth._origins) <= 1000 and "https://h1099.example:443" in auth._origins


def test_no_password_shows_in_a_repr() -> None:
    """Neither object prints its secret."""
    for auth in (HTTPBasicAuth("u", "s3cret"), HTTPDigestAuth("u", "s3cret")):
        assert not re.search("s3cret", repr(auth))
