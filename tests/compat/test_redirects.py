"""What crosses a redirect, and what must not: cookies, credentials, bodies, history."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


def _to(url: str, status: int = 302, *, body: bytes = b"moved", **headers: str) -> bytes:
    fields = {"Location": url, **headers}
    return respond(body, fields, status=status, reason="Moved")


@pytest.fixture
def target() -> Iterator[ScriptedServer]:
    """The target of redirects; responds to everything with 200."""
    with ScriptedServer(answering(respond(b"arrived"))) as running:
        yield running


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_authorization_stays_with_its_host(http: Any, target: ScriptedServer) -> None:
    """Credentials in `auth=`, in the URL and in a header do not go to another host."""
    elsewhere = target.url("/", host="localhost")
    with ScriptedServer(answering(_to(elsewhere))) as first, http.Session() as session:
        session.get(first.url("/"), auth=("u", "p"), timeout=20)
        session.get(first.url("/").replace("//", "//v:q@"), timeout=20)
        session.get(first.url("/"), headers={"Authorization": "Bearer t"}, timeout=20)
        sent = [seen.header("authorization") for seen in first.requests]
    assert sent == [_basic("u", "p"), _basic("v", "q"), "Bearer t"]
    assert [seen.header("authorization") for seen in target.requests] == [None] * 3


def test_authorization_does_not_go_to_another_port(http: Any, target: ScriptedServer) -> None:
    """The same host at another port is another origin."""
    with ScriptedServer(answering(_to(target.url("/")))) as first:
        http.get(first.url("/"), auth=("u", "p"), timeout=20)
    assert target.requests[0].header("authorization") is None


def test_authorization_is_kept_within_the_origin(http: Any) -> None:
    """A redirect to a path of the same origin carries it along."""
    script = answering(_to("/b"), respond(b"arrived"))
    with ScriptedServer(script) as server:
        reply = http.get(server.url("/a"), auth=("u", "p"), timeout=20)
        assert reply.content == b"arrived"
        assert [seen.header("authorization") for seen in server.requests] == [_basic("u", "p")] * 2


def test_netrc_is_asked_again_for_the_new_host(
    http: Any, target: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each host gets its own entry, and none without one."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password 1\nmachine localhost login b password 2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(answering(_to(target.url("/", host="localhost")))) as first:
        http.get(first.url("/"), timeout=20)
        assert first.requests[0].header("authorization") == _basic("a", "1")
    assert target.requests[0].header("authorization") == _basic("b", "2")


def test_cookies_go_where_they_belong(http: Any, target: ScriptedServer) -> None:
    """A cookie set by one host is not sent to another, and comes back to its own."""
    elsewhere = target.url("/", host="localhost")
    script = answering(_to(elsewhere, **{"Set-Cookie": "own=1; Path=/"}), respond(b"back"))
    with ScriptedServer(script) as first, http.Session() as session:
        session.get(first.url("/"), timeout=20)
        session.get(first.url("/"), timeout=20)
        assert [seen.header("cookie") for seen in first.requests] == [None, "own=1"]
        assert session.cookies.get_dict() == {"own": "1"}
    assert target.requests[0].header("cookie") is None


def test_a_cookies_path_is_kept_to(http: Any) -> None:
    """Only below its path."""
    script = answering(
        respond(b"", {"Set-Cookie": "deep=1; Path=/deep"}),
        respond(b""),
    )
    with ScriptedServer(script) as server, http.Session() as session:
        for path in ("/deep/a", "/deep/b", "/other"):
            session.get(server.url(path), timeout=20)
        assert [seen.header("cookie") for seen in server.requests] == [None, "deep=1", None]


def test_cookies_set_on_the_way_are_sent_at_once(http: Any) -> None:
    """The second hop has the cookie of the first, the session keeps it, the history shows it."""
    script = answering(_to("/b", **{"Set-Cookie": "a=1"}), respond(b"", {"Set-Cookie": "b=2"}))
    with ScriptedServer(script) as server, http.Session() as session:
        reply = session.get(server.url("/a"), cookies={"call": "3"}, timeout=20)
        first, second = server.requests
        assert first.header("cookie") == "call=3"
        assert set((second.header("cookie") or "").split("; ")) == {"a=1", "call=3"}
        assert session.cookies.get_dict() == {"a": "1", "b": "2"}
        assert reply.history[0].cookies.get_dict() == {"a": "1"}
        assert reply.cookies.get_dict() == {"b": "2"}


@pytest.mark.parametrize(
    ("status", "sent", "followed"),
    [
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
def test_methods_and_bodies(http: Any, status: int, sent: str, followed: str) -> None:
    """The method as browsers change it; only 307 and 308 send the body again."""
    script = answering(_to("/b", status, body=b""), respond(b""))
    with ScriptedServer(script) as server:
        http.request(
            sent, server.url("/a"), data=io.BytesIO(b"body"), allow_redirects=True, timeout=20
        )
        second = server.requests[1]
    assert second.method == followed
    keeps = status in (307, 308)
    assert second.body == (b"body" if keeps else b"")
    # A PUT without a body says so.
    length = "4" if keeps else "0" if followed == "PUT" else None
    assert second.header("content-length") == length


def test_history_and_urls(http: Any) -> None:
    """Oldest first, fragments carried over, `next` without following."""

    def step(seen: SeenRequest) -> bytes:
        number = int(seen.target[1:])
        return respond(b"end") if number == 3 else _to(f"/{number + 1}")

    with ScriptedServer(answering(step)) as server:
        reply = http.get(server.url("/0#part"), timeout=20)
        assert [old.url for old in reply.history] == [server.url(f"/{n}#part") for n in range(3)]
        assert reply.url == server.url("/3#part")
        assert [len(old.history) for old in reply.history] == [0, 1, 2]
        unfollowed = http.get(server.url("/0"), allow_redirects=False, timeout=20)
        assert (unfollowed.status_code, unfollowed.next.url) == (302, server.url("/1"))


def test_too_many_redirects(http: Any) -> None:
    """The limit is the session's, and the error carries the last response."""
    with ScriptedServer(answering(_to("/again"))) as server, http.Session() as session:
        session.max_redirects = 3
        with pytest.raises(http.TooManyRedirects) as caught:
            session.get(server.url("/"), timeout=20)
        assert caught.value.response.status_code == 302
        assert len(server.requests) == 4


def test_a_hop_goes_through_an_overridden_send(http: Any) -> None:
    """A subclass sees every hop, with redirects switched off for the single send."""
    seen = []

    class Watching(http.Session):  # type: ignore[name-defined, misc]
        def send(self, request: Any, **kwargs: Any) -> Any:
            seen.append((request.url.rsplit("/", 1)[1], kwargs.get("allow_redirects")))
            return super().send(request, **kwargs)

    script = answering(_to("/b"), respond(b""))
    with ScriptedServer(script) as server, Watching() as session:
        session.get(server.url("/a"), timeout=20)
    assert seen == [("a", True), ("b", False)]
