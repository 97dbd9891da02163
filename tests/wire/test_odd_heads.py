"""Response heads of real servers that break RFC 9112: what is repaired, and what stays an error."""

from __future__ import annotations

import http.client
import logging
import pickle
import socket

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.events import HeadRepaired
from pooledhttp.exceptions import ChunkedEncodingError, ConnectionError, InvalidHeader, ProxyError
from pooledhttp.http1 import ResponseLimits
from pooledhttp.http1.odd_heads import EQUAL_LENGTHS, FRAMING, LINES
from pooledhttp.transport import TransportManager
from tests.support.certificates import Authority
from tests.support.relay import relay
from tests.support.scripted import Peer, ScriptedServer, answering, respond
from tests.wire.test_framing import CHUNK, END, HELLO, chunks
from tests.wire.tools import SAME, Case, close, first_then_new, play, prompt, table

pytestmark = pytest.mark.usefixtures("each_parser")

START = b"HTTP/1.1 200 OK\r\n"
MORE = b"\r\nContent-Length: 5"


def odd(lines: bytes, body: bytes = HELLO, start: bytes = START) -> bytes:
    """A response with these lines, a field behind them, and a length unless a line has one."""
    named = (b"content-length:", b"transfer-encoding:")
    length = b"" if any(name in lines.lower() for name in named) else b"Content-Length: 5\r\n"
    return start + lines + b"\r\nX-After: 1\r\n" + length + b"\r\n" + body


ROWS = [
    *(Case(row.name, odd(row.example)) for row in LINES),
    *(
        Case(row.name, odd(row.example, CHUNK + END if b"chunked" in row.example else HELLO))
        for row in (*FRAMING, EQUAL_LENGTHS)
    ),
    Case("spaces-in-status-line", odd(b"X: y", start=b"HTTP/1.1  200\tOK\r\n")),
    Case("control-in-reason", odd(b"X: y", start=b"HTTP/1.1 200 O\x0cK\r\n")),
]

REPAIRED = [
    Case("several", odd(b"no colon\r\nX Y: z\r\nX-A : b\r\n: x")),
    Case("continued", odd(b"no colon\r\n more of it\r\n\tand more")),
    Case("continued-odd-name", odd(b"X Y: z\r\n more")),
    Case("folded-space-before-colon", odd(b"X-A : b\r\n c")),
    Case("indented-twice", odd(b" X: y\r\n\tZ: a")),
    Case("white-space-line-first", odd(b" ")),
    Case("bare-lf", odd(b"no colon").replace(b"\r\n", b"\n")),
    Case("status-line-without-cr", odd(b"X: y").replace(b"OK\r\n", b"OK\n"), reused=None),
    Case("no-reason-without-cr", odd(b"X: y").replace(b" OK\r\n", b"\n"), reused=None),
    Case("empty-reason-and-spaces", odd(b"X: y", start=b"HTTP/1.1 200   \r\n"), reused=None),
    Case("no-reason-two-spaces", odd(b"X: y", start=b"HTTP/1.1  200\r\n")),
    Case("many-spaces", odd(b"X: y", start=b"HTTP/1.1" + b" " * 30 + b"200 OK\r\n")),
    Case("second-status-line-later", odd(b"X: y\r\nHTTP/1.0 200 Fine")),
    Case("second-status-line-twice", odd(b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK")),
    Case("second-status-line-spaces", odd(b"HTTP/1.1  200")),
    Case("identity-to-the-end", odd(b"Transfer-Encoding: identity"), then=close),
    Case("identity-upper-case", odd(b"Transfer-Encoding: IDENTITY\r\nContent-Length: 5")),
    Case("chunked-thrice", odd(b"Transfer-Encoding: chunked\r\n" * 2 + b"TE: x", CHUNK + END)),
    Case(
        "chunked-twice-and-length",
        odd(b"Transfer-Encoding: chunked\r\n" * 2 + b"Content-Length: 1", CHUNK + END),
    ),
    Case("equal-lengths-in-a-list", odd(b"Content-Length: 5, 5")),
    Case("equal-lengths-behind-an-odd-line", odd(b"no colon\r\nContent-Length: 5" + MORE)),
    Case("odd-and-chunked", odd(b"no colon\r\nTransfer-Encoding: chunked", CHUNK + END)),
    Case("long-odd-line", odd(b"x" * 100_000)),
    Case("odd-interim", b"HTTP/1.1  100 Continue\r\nno colon\r\nX: y\r\n\r\n" + odd(b"X: y")),
    Case("odd-103", b"HTTP/1.1 103 Early\r\nX-A : b\r\n\r\n" + odd(b"X: y")),
    Case("odd-behind-interim", b"HTTP/1.1 100 Continue\r\n\r\n" + odd(b"no colon")),
    Case("odd-interim-twice", b"HTTP/1.1 100 C\r\nX : y\r\n\r\n" * 2 + odd(b"no colon")),
    Case("odd-204", odd(b"no colon", b"", b"HTTP/1.1 204 No\r\n"), b"", status=204),
    Case("odd-head", odd(b"no colon", b""), b"", method="HEAD"),
    Case("odd-http-1.0", odd(b"no colon", start=b"HTTP/1.0 200 OK\r\n")),
    Case("rubbish-behind", odd(b"no colon", HELLO + b"rubbish")),
]

REFUSED = [
    *(
        Case(f"spells-{line!r}", odd(line, b"\r\n" + HELLO), (ConnectionError, InvalidHeader))
        for line in (
            b"Content-Length : 5",
            b"Content-Length\t: 5",
            b"Content-Length\xa0: 5",
            b"Content-Length\x0b: 5",
            b"Content Length: 5",
            b"Content-Length 5",
            b"\xefContent-Length: 5",
            b": Content-Length: 5",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\x0b: chunked",
            b"Transfer Encoding: chunked",
            b"transfer-encoding chunked",
            b"Connection : close",
            b"Connec tion: close",
            b"X-A: a\x0bContent-Length: 5",
            b"X-A: a\x0cTransfer-Encoding: chunked",
            b"no colon\r\n Content-Length: 5",
            b"Content-Length: 5\x0c",
            b"Content-Length: \x0b5",
            b"Transfer-Encoding: chunked\x0c",
            b"Connection: close\x0b",
        )
    ),
    Case("spells-in-first-line", odd(b" Content-Length: 5"), (ConnectionError, InvalidHeader)),
    Case("cr-beside-odd", odd(b"no colon\r\nX: a\rb"), ConnectionError),
    Case("nul-beside-odd", odd(b"no colon\r\nX: a\0b"), ConnectionError),
    Case("cr-in-odd", odd(b"no \r colon"), ConnectionError),
    Case("nul-in-odd", odd(b"no \0 colon"), ConnectionError),
    Case("cr-cr-lf-everywhere", odd(b"X: y").replace(b"\r\n", b"\r\r\n"), ConnectionError,
        then=close),
    Case("other-status-line", odd(b"HTTP/1.1 404 Not Found"), ConnectionError),
    Case("other-status-line-lower", odd(b"http/1.1 404 Not Found"), ConnectionError),
    Case("other-status-line-colon", odd(b"HTTP/1.1 404 Not: Found"), ConnectionError),
    Case("status-line-of-four", odd(b"HTTP/1.1 2000 OK"), ConnectionError),
    Case("only-odd-lines", START + b"no colon\r\n\r\n" + HELLO, ConnectionError, then=close),
    Case("odd-and-plus", odd(b"no colon\r\nContent-Length: +5"), InvalidHeader),
    Case("odd-and-two-lengths", odd(b"no\r\nContent-Length: 6" + MORE),
         InvalidHeader),
    Case("odd-and-gzip", odd(b"no colon\r\nTransfer-Encoding: gzip"), ConnectionError),
    Case("identity-twice", odd(b"Transfer-Encoding: identity\r\n" * 2 + b"X: y"), ConnectionError),
    Case("identity-and-chunked", odd(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
         ConnectionError),
    Case("odd-101", START.replace(b"200 OK", b"101 S") + b"no colon\r\nX: y\r\n\r\n",
         ConnectionError),
    Case("a-thousand-odd-lines", odd(b"no colon\r\n" * 1000 + b"X: y"), ConnectionError),
    Case("blank-line-behind-interim", b"HTTP/1.1 100 C\r\n\r\n\r\n" + odd(b"X: y"),
         ConnectionError),
    Case("icy", odd(b"X: y", start=b"ICY 200 OK\r\n"), ConnectionError),
    Case("lower-case", odd(b"X: y", start=b"http/1.1 200 OK\r\n"), ConnectionError),
    *(
        Case(f"trailer-{line!r}", chunks(CHUNK + b"0\r\n" + line + b"\r\n\r\n"),
             ChunkedEncodingError)
        for line in (b"X : y", b"no colon", b": x", b"X Y: z", b" X: y", b"X: a\x0cb", b"X: a\0b")
    ),
    *(
        Case(f"chunk-{line!r}", chunks(line + b"\r\nhello\r\n" + END), ChunkedEncodingError)
        for line in (b"5 junk", b"5,", b"\t5", b"5\x0b", b"5 ;a\0\rb", b"5h", b"$5")
    ),
]  # fmt: skip


@table(*ROWS)
def test_each_row_of_the_table(case: Case, session: pooledhttp.Session) -> None:
    """The response comes, and the connection is not used again."""
    play(case, session)


@table(*REPAIRED)
def test_repaired(case: Case, session: pooledhttp.Session) -> None:
    """Deviations of the table go together, in any place, and with any framing."""
    play(case, session)


@table(*REFUSED)
def test_refused(case: Case, session: pooledhttp.Session) -> None:
    """What may hide a field about the framing, or a second response, is an error."""
    play(case, session)


@pytest.mark.parametrize("case", [*ROWS, *REPAIRED[:2]], ids=lambda case: case.name)
def test_strict_refuses_all_rows(case: Case) -> None:
    """`Session(strict=True)`, also through an adapter with a pool of its own."""
    with (
        pooledhttp.Session(strict=True) as session,
        ScriptedServer(answering(case.sends)) as server,
    ):
        with pytest.raises((ConnectionError, InvalidHeader)):
            session.get(server.url(), timeout=5)
        session.mount("http://", HTTPAdapter(pool_maxsize=3))
        with pytest.raises((ConnectionError, InvalidHeader)):
            session.get(server.url(), timeout=5)
        session.mount("http://", HTTPAdapter(strict=False))
        assert session.get(server.url(), timeout=5).content == HELLO


def test_strict_reads_clean_heads(session: pooledhttp.Session) -> None:
    """A clean head is no trouble, and its connection is used again."""
    with (
        pooledhttp.Session(strict=True) as strict,
        ScriptedServer(answering(respond(SAME))) as server,
    ):
        assert [strict.get(server.url()).content for _ in range(2)] == [SAME, SAME]
        assert len(server.connections) == 1


@pytest.mark.parametrize("size", [1, 7])
def test_split_over_packets(session: pooledhttp.Session, size: int) -> None:
    """Where the network cuts an odd head makes no difference."""
    data = b"HTTP/1.1   100 C\r\nX : y\r\n\r\n" + odd(b"no colon\r\nX-A : b\r\n c")

    def trickle(peer: Peer) -> None:
        peer.read_request()
        for at in range(0, len(data), size):
            peer.send(data[at : at + size])
        peer.wait_closed()

    with ScriptedServer(first_then_new(trickle)) as server, prompt():
        response = session.get(server.url(), timeout=5)
        assert (response.content, response.headers["X-A"]) == (HELLO, "b c")
        session.close()


def test_what_is_kept_is_what_the_bytes_say(session: pooledhttp.Session) -> None:
    """Order, case, repeats, VT and FF; only SP and HTAB are trimmed."""
    lines = (
        b"X-A \t: one\r\nno colon\r\nx-a: \x0ctwo\x0b \r\nBad name: x\r\n"
        b"Set-Cookie: a=1\r\nset-cookie: b=2\xa0"
    )
    with ScriptedServer(
        answering(odd(lines, start=b"HTTP/1.1 200  \tAll \x0b well \r\n"))
    ) as server:
        response = session.get(server.url())
        assert response.raw.headers.getlist("X-A") == ["one", "\x0ctwo\x0b"]
        assert response.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2\xa0"]
        assert list(response.headers) == ["X-A", "Set-Cookie", "X-After", "Content-Length"]
        assert response.raw.reason == response.reason == "All \x0b well"
        session.close()


@pytest.mark.parametrize(
    ("said", "reason"), [(b" OK ", "OK"), (b"\tOK\t", "OK"), (b"OK\xa0", "OK\xa0"), (b" ", "")]
)
def test_reasons_are_trimmed(session: pooledhttp.Session, said: bytes, reason: str) -> None:
    """Of SP and HTAB, as http.client trims; nothing else goes."""
    data = b"HTTP/1.1 200 " + said + b"\r\nContent-Length: 5\r\n\r\nhello"
    with ScriptedServer(answering(data)) as server:
        assert session.get(server.url()).raw.reason == reason
        session.close()


def test_repairs_are_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """An event, a reason to close in the counts of the pool, and one DEBUG line without values."""
    seen: list[object] = []
    with (
        pooledhttp.Session(listeners=[seen.append]) as session,
        ScriptedServer(answering(odd(b"secret debug text\r\nX-A : b\r\n: secret"))) as server,
    ):
        with caplog.at_level(logging.DEBUG, "pooledhttp.http1"):
            session.get(server.url())
            session.get(server.url(), stream=True).close()
        names = ("no-colon", "space-before-colon", "no-name")
        told = [event for event in seen if isinstance(event, HeadRepaired)]
        assert told == [HeadRepaired(server.url("").rstrip("/"), names)] * 2
        assert session.pool.stats().total.closed["odd head"] == 2
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 2
        assert ", ".join(names) in lines[0] and str(server.port) in lines[0]
        assert "secret" not in lines[0]


def test_an_odd_continue_lets_the_body_go(session: pooledhttp.Session) -> None:
    """`Expect: 100-continue`: the odd interim head counts, and the body is sent whole."""

    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 100\tContinue\r\nX : y\r\n\r\n")
        assert peer.reader.exactly(4) == b"body"
        peer.send(odd(b"no colon"))
        peer.wait_closed()

    with ScriptedServer(handle) as server, prompt():
        how = {"headers": {"Expect": "100-continue"}, "timeout": 5}
        assert session.post(server.url(), data=b"body", **how).content == HELLO
        session.close()


def test_an_odd_refusal_keeps_the_body_here(session: pooledhttp.Session) -> None:
    """A large upload that is turned away by an odd head."""

    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(odd(b"no colon", start=b"HTTP/1.1 413 Too large\r\n"))
        peer.close()

    with ScriptedServer(handle) as server, prompt():
        response = session.post(server.url(), data=iter([b"x" * 100_000] * 100), timeout=5)
        assert (response.status_code, response.content) == (413, HELLO)
        session.close()


@pytest.mark.parametrize(
    ("head", "strict", "works"),
    [
        (b"HTTP/1.1  200 OK\r\nno colon\r\nX-A : b\r\n\r\n", False, True),
        (b"HTTP/1.1  200 OK\r\nno colon\r\nX-A : b\r\n\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\nno colon\r\nX: a\rb\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nHTTP/1.1 403 No\r\nX: y\r\n\r\n", False, False),
    ],
)
def test_connect(authority: Authority, head: bytes, strict: bool, works: bool) -> None:
    """A proxy's response to CONNECT is read like any other."""

    def proxy(peer: Peer) -> None:
        port = int(peer.read_head().target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            peer.send(head)
            relay(peer.sock, onward)

    secure = ScriptedServer(answering(respond(HELLO)), tls=authority.server_context())
    with (
        secure as origin,
        ScriptedServer(proxy) as front,
        pooledhttp.Session(strict=strict) as session,
    ):
        how = {"proxies": {"https": front.url("")}, "verify": authority.bundle, "timeout": 5}
        if works:
            assert session.get(origin.url(), **how).content == HELLO
        else:
            with pytest.raises(ProxyError):
                session.get(origin.url(), **how)


class TestSettings:
    """`max_response_fields` and `tls_truncation`, of sessions and adapters."""

    FIELDS = odd(b"\r\n".join(b"X-%d: y" % number for number in range(600)))

    @pytest.mark.parametrize(("most", "works"), [(None, False), (700, True), (50, False)])
    def test_the_most_fields(self, most: int | None, works: bool) -> None:
        """512 unless it is set."""
        with pooledhttp.Session(max_response_fields=most) as session:
            with ScriptedServer(answering(self.FIELDS)) as server:
                if works:
                    assert len(session.get(server.url()).headers) == 602
                else:
                    with pytest.raises(ConnectionError, match=f"more than {most or 512} fields"):
                        session.get(server.url())

    def test_an_adapter_has_its_own(self, session: pooledhttp.Session) -> None:
        """The adapter's setting beats the session's, also when it was pickled."""
        adapter = pickle.loads(pickle.dumps(HTTPAdapter(max_response_fields=1000)))
        session.mount("http://", adapter)
        with ScriptedServer(answering(self.FIELDS)) as server:
            assert session.get(server.url()).ok
            session.close()

    @pytest.mark.parametrize("setting", [{"strict": True}, {"max_response_fields": 700}])
    @pytest.mark.parametrize("target", ["http://", "https://"])
    def test_the_other_limits_of_a_manager_stay(
        self, session: pooledhttp.Session, setting: dict[str, object], target: str
    ) -> None:
        """An adapter's setting leaves `head_bytes` as it is, of responses and of CONNECT."""
        long = respond(b"", {"X": "y" * 200_000})  # more than one read brings
        manager = TransportManager(limits=ResponseLimits(head_bytes=2048))
        session.mount(target, HTTPAdapter(pool=manager, **setting))
        with ScriptedServer(answering(long)) as server:
            proxies = {"https": server.url("")}
            url = server.url() if target == "http://" else "https://origin.example/"
            with pytest.raises(ConnectionError, match="too long"):
                session.get(url, proxies=proxies)
            session.close()

    @pytest.mark.parametrize(("theirs", "works"), [(1000, True), (20, False), (100, False)])
    def test_the_number_of_http_client_is_heeded(
        self,
        session: pooledhttp.Session,
        monkeypatch: pytest.MonkeyPatch,
        theirs: int,
        works: bool,
    ) -> None:
        """Where a program has changed it; our own setting beats it."""
        most = 512 if theirs == 100 else theirs  # 100 is the default there
        monkeypatch.setattr(http.client, "_MAXHEADERS", theirs)
        with ScriptedServer(answering(self.FIELDS)) as server:
            if works:
                assert session.get(server.url()).ok
            else:
                with pytest.raises(ConnectionError, match=f"got more than {most} headers"):
                    session.get(server.url())
            session.close()  # an adapter that is replaced keeps its idle connections
            session.mount("http://", HTTPAdapter(max_response_fields=700))
            assert session.get(server.url()).ok
            session.close()

    @pytest.mark.parametrize(
        "setting",
        [{"max_response_fields": 0}, {"max_response_fields": "9"}, {"tls_truncation": "ignore"}],
    )
    @pytest.mark.parametrize("make", [pooledhttp.Session, HTTPAdapter])
    def test_wrong_values(self, make: type, setting: dict[str, object]) -> None:
        """A mistake is found where it is made."""
        with pytest.raises(ValueError, match=next(iter(setting))):
            make(**setting)

    def test_a_session_pickles_its_settings(self) -> None:
        """They hold in the copy."""
        session = pooledhttp.Session(strict=True, tls_truncation="allow", max_response_fields=9)
        extras = pickle.loads(pickle.dumps(session))._extras
        assert (extras.strict, extras.tls_truncation, extras.max_response_fields) == (
            True,
            "allow",
            9,
        )

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("data", "is_whole"),
        [
            (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello", True),
            (respond(b"hello", length=6), False),
            (chunks(CHUNK), False),
        ],
        ids=["to-the-end", "identity", "length", "chunked"],
    )
    def test_tls_without_close_notify(
        self, authority: Authority, data: bytes, is_whole: bool, stream: bool
    ) -> None:
        """Allowed where nothing else says where the body ends, and nowhere else."""

        def handle(peer: Peer) -> None:
            peer.read_request()
            peer.send(data)
            peer.close(notify=False)

        with (
            ScriptedServer(handle, tls=authority.server_context()) as server,
            pooledhttp.Session(tls_truncation="allow") as session,
        ):
            how = {"verify": authority.bundle, "stream": stream, "timeout": 5}
            if is_whole:
                response = session.get(server.url(), **how)
                assert b"".join(response.iter_content(3)) == HELLO
            else:
                with pytest.raises(ChunkedEncodingError):
                    assert session.get(server.url(), **how).content
