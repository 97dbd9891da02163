"""Redirects: where they lead, and what is sent along."""

from __future__ import annotations

import gzip
import io
from http.cookiejar import CookieJar
from typing import Any

import pytest
import requests
import urllib3

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.auth import AuthBase
from pooledhttp.client import redirects
from pooledhttp.cookies import cookiejar_from_dict
from pooledhttp.message import MAX_DRAIN_BYTES
from pooledhttp.sessions import SessionRedirectMixin
from pooledhttp.structures import CaseInsensitiveDict

Canned = tuple[int, dict[str, str]]


class Site(BaseAdapter):
    """Responds by URL, to any other one with 200. Keeps the requests."""

    def __init__(self, responses: dict[str, Canned], body: bytes = b"moved") -> None:
        super().__init__()
        self.responses = responses
        self.body = body
        self.requests: list[Any] = []
        self.raws: list[urllib3.HTTPResponse] = []
        self.bodies: list[Any] = []
        self.policy = urllib3.Retry(0)

    def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.requests.append(request.copy())
        body = request.body
        self.bodies.append(body.read() if hasattr(body, "read") else body)
        status, headers = self.responses.get(request.url.partition("#")[0], (200, {}))
        raw = urllib3.HTTPResponse(
            io.BytesIO(self.body if status != 200 else b"end"),
            headers=headers,
            status=status,
            preload_content=False,
        )
        self.raws.append(raw)
        return HTTPAdapter(max_retries=self.policy).build_response(request, raw)

    def close(self) -> None:
        pass


def _session(responses: dict[str, Canned], **options: Any) -> tuple[pooledhttp.Session, Site]:
    site = Site(responses, **options)
    session = pooledhttp.Session()
    session.mount("http://", site)
    session.mount("https://", site)
    return session, site


def _to(location: str, status: int = 302) -> Canned:
    return status, {"location": location}


# --- deciding ------------------------------------------------------------------------------------

ORIGINS = [
    "http://a/", "https://a/", "http://a:80/", "https://a:443/", "http://a:8080/", "https://a:8443/",
    "http://A/", "http://b/", "http://u:p@a/", "http://sub.a/", "https://a:80/", "http://a:443/",
]  # fmt: skip


@pytest.mark.parametrize("new", ORIGINS)
@pytest.mark.parametrize("old", ORIGINS)
def test_credentials_stay_where_requests_leaves_them(old: str, new: str) -> None:
    """The rule of host, port and scheme is that of requests."""
    theirs = requests.Session().should_strip_auth(old, new)
    assert pooledhttp.Session().should_strip_auth(old, new) == theirs


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_method_changes_as_in_requests(status: int, method: str) -> None:
    """Every status with every method."""
    ours: Any = pooledhttp.Request(method, "http://a/").prepare()
    theirs: Any = requests.Request(method, "http://a/").prepare()
    response: Any = pooledhttp.Response()
    response.status_code = status
    pooledhttp.Session().rebuild_method(ours, response)
    requests.Session().rebuild_method(theirs, response)
    assert ours.method == theirs.method


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x", "http://base/x"),
        ("x", "http://base/dir/x"),
        ("?q", "http://base/dir/page?q"),
        ("//other/y", "http://other/y"),
        ("https://Other/a b", "https://Other/a%20b"),
        ("HTTP://Other/", "http://Other/"),
        ("HttpS://other:1/x", "https://other:1/x"),
        ("/a\tb?\tc", "http://base/ab?c"),
        ("http://ot\ther/\t", "http://other/"),
        ("/\t/other/y", "http://other/y"),
        ("\t", "http://base/dir/page"),
        ("\x0bhttp://other/y", "http://other/y"),
        ("\x01 HTTP://other/y", "http://other/y"),
        ("\x1f//other/y", "http://other/y"),
        ("\x0cy", "http://base/dir/y"),
        ("http://other/y?", "http://other/y"),
        ("http://other?", "http://other"),
        ("http://u v:p w@other/y", "http://u%20v:p%20w@other/y"),
        ("HTTP://stra\u00dfe.de?#", "http://xn--strae-oqa.de/"),
        ("http://\uff45xample.com/x", "http://example.com/x"),
        ("", "http://base/dir/page"),
        ("../up", "http://base/up"),
        ("/\u0161", "http://base/%C5%A1"),
        ("http://stra\u00dfe.de/x", "http://xn--strae-oqa.de/x"),
        ("/x#own", "http://base/x#own"),
    ],
)
def test_locations_are_resolved(location: str, expected: str) -> None:
    """Against the URL of the response; the host stays as the server wrote it."""
    assert redirects.resolve_location(location, "http://base/dir/page", "") == expected


def test_a_fragment_is_carried_on() -> None:
    """Unless the server names one."""
    assert redirects.resolve_location("/x", "http://h/", "old") == "http://h/x#old"
    assert redirects.resolve_location("/x#new", "http://h/", "old") == "http://h/x#new"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("#new", "http://h/p?q#new"),
        ("#", "http://h/p?q#old"),
        ("", "http://h/p?q#old"),
        ("?r", "http://h/p?r#old"),
        ("?r#new", "http://h/p?r#new"),
        ("x#a%20b c", "http://h/x#a%20b%20c"),
    ],
)
def test_the_fragment_of_the_base_takes_no_part(location: str, expected: str) -> None:
    """A relative address is joined to the base without its fragment (RFC 3986, section 5.2.2)."""
    assert redirects.resolve_location(location, "http://h/p?q#old", "old") == expected


@pytest.mark.parametrize(
    "location",
    [
        "http://:1",
        "http://[bad/",
        "http://a b/",
        "http://good\\@evil/",
        "http://h:99999/",
        "http://",
        "HTTP:///path",
        "https:////path",
    ],
)
def test_impossible_addresses_are_errors_only_when_followed(location: str) -> None:
    """Following raises InvalidURL; not following gives the response."""
    session, _ = _session({"http://a/": _to(location)})
    with pytest.raises(pooledhttp.exceptions.InvalidURL):
        session.get("http://a/")
    response = session.get("http://a/", allow_redirects=False)
    assert response.is_redirect and response.next is None


def test_headers_are_read_as_utf8() -> None:
    """What came as latin-1 is decoded, and other encodings keep their bytes."""
    assert redirects.decode_location("/\u0161".encode().decode("latin-1")) == "/\u0161"
    assert redirects.decode_location("/\xe9") == "/%E9"
    assert redirects.decode_location("/\u2603") == "/\u2603"


# --- following -----------------------------------------------------------------------------------


def test_a_chain_is_followed_and_kept() -> None:
    """The last response comes back; the others are its history, oldest first, each with its own."""
    responses = {"http://a/": _to("/1"), "http://a/1": _to("/2#own"), "http://a/2": _to("/3")}
    session, _ = _session(responses)
    response = session.get("http://a/#top")
    assert response.url == "http://a/3#own" and response.text == "end"
    hops = ["http://a/#top", "http://a/1#top", "http://a/2#own"]
    assert [one.url for one in response.history] == hops
    for index, one in enumerate(response.history):
        assert one.history == response.history[:index] and one.text == "moved"


def test_there_is_a_limit() -> None:
    """Beyond it the last response is on the error."""
    session, site = _session({"http://a/": _to("/")})
    session.max_redirects = 3
    with pytest.raises(pooledhttp.TooManyRedirects, match="Exceeded 3 redirects") as caught:
        session.get("http://a/")
    assert caught.value.response is not None and len(caught.value.response.history) == 3
    assert len(site.requests) == 4


def test_every_hop_goes_through_send() -> None:
    """An overridden `send` sees each request once, and a hop's redirects are off."""
    seen: list[Any] = []

    class Traced(pooledhttp.Session):
        def send(self, request: Any, **kwargs: Any) -> Any:
            seen.append((request.url, kwargs["allow_redirects"]))
            return super().send(request, **kwargs)

    session = Traced()
    session.mount("http://", Site({"http://a/": _to("/1"), "http://a/1": _to("/2")}))
    session.get("http://a/")
    assert seen == [("http://a/", True), ("http://a/1", False), ("http://a/2", False)]


def test_the_next_request_can_be_sent_by_hand() -> None:
    """Without following, `next` is what would be sent, and the body is left to be read."""
    session, _ = _session({"http://a/": _to("/1")}, body=b"x" * 200_000)
    response = session.get("http://a/", allow_redirects=False, stream=True)
    assert response.next is not None and response.next.url == "http://a/1"
    assert len(response.content) == 200_000
    assert session.send(response.next).url == "http://a/1"


def test_the_mixin_needs_little() -> None:
    """Anything with send, cookies, max_redirects and trust_env can follow redirects."""

    class Bare(SessionRedirectMixin):
        max_redirects, trust_env = 30, False

        def __init__(self) -> None:
            self.cookies: Any = {}
            self.calls: list[Any] = []

        def send(self, request: Any, **kwargs: Any) -> Any:
            self.calls.append((request, kwargs))
            response = pooledhttp.Response()
            response.url, response.request = request.url, request
            response.status_code = [303, 307, 200][len(self.calls) - 1]
            response.headers = CaseInsensitiveDict({"Location": "/"})
            response.raw = io.StringIO("")
            return response

    bare = Bare()
    request = pooledhttp.Request("POST", "http://a/").prepare()
    hops = list(bare.resolve_redirects(bare.send(request), request))
    assert [hop.request.method for hop in hops] == ["GET", "GET"]
    assert bare.calls[-1][1] == {
        "stream": False,
        "timeout": None,
        "verify": True,
        "cert": None,
        "proxies": {},
        "allow_redirects": False,
    }


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_body_is_left_behind(status: int) -> None:
    """With the headers that describe it."""
    session, site = _session({"http://a/": _to("/1", status)})
    session.post("http://a/", data=iter([b"x"]))
    last = site.requests[-1]
    assert last.method == "GET" and last.body is None
    assert not {"content-length", "content-type", "transfer-encoding"} & set(last.headers)


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_sent_again_from_where_it_stood(status: int) -> None:
    """Bytes as they are, files rewound."""
    session, site = _session({"http://a/": _to("/1", status)})
    file = io.BytesIO(b"skip data")
    file.seek(5)
    session.post("http://a/", data=file)
    session.post("http://a/", data=b"bytes")
    assert site.bodies == [b"data", b"data", b"bytes", b"bytes"]
    assert {request.method for request in site.requests} == {"POST"}


class _OnlyReads:
    """A stream without position that is not iterable either."""

    def __len__(self) -> int:
        return 4

    def read(self, size: int = -1) -> bytes:
        return b"data"


@pytest.mark.parametrize("make", [lambda: iter([b"x"]), _OnlyReads])
def test_a_spent_body_is_not_sent_as_an_empty_one(make: Any) -> None:
    """A stream that cannot be rewound makes 307 an error; not following it is none."""
    session, site = _session({"http://a/": _to("/1", 307)})
    with pytest.raises(pooledhttp.exceptions.UnrewindableBodyError):
        session.post("http://a/", data=make())
    assert len(site.requests) == 1
    assert session.post("http://a/", data=make(), allow_redirects=False).next is None


def test_a_redirect_with_a_wrong_encoding_is_followed() -> None:
    """Its body is decoded only when it is read."""
    session, _ = _session({"http://a/": (302, {"location": "/1", "content-encoding": "gzip"})})
    response = session.get("http://a/")
    assert response.text == "end"
    with pytest.raises(pooledhttp.exceptions.ContentDecodingError):
        response.history[0].content  # noqa: B018
    session, _ = _session(
        {"http://a/": (302, {"location": "/1", "content-encoding": "gzip"})},
        body=gzip.compress(b"hi"),
    )
    assert session.get("http://a/").history[0].text == "hi"


def test_a_large_body_costs_its_connection_not_its_reading() -> None:
    """No more than a bounded part of a redirect's body is read."""
    session, site = _session({"http://a/": _to("/1")}, body=b"x" * 10_000_000)
    response = session.get("http://a/")
    assert site.raws[0].tell() <= MAX_DRAIN_BYTES + 16 * 1024 and site.raws[0].closed
    with pytest.raises(RuntimeError):
        response.history[0].content  # noqa: B018


def test_a_body_that_breaks_does_not_stand_in_the_way() -> None:
    """Its connection is closed, and the redirect followed."""

    class Broken(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise OSError("reset")

    class BrokenSite(Site):
        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            response = super().send(request, **kwargs)
            if response.is_redirect:
                response.raw._fp = Broken()
            return response

    session = pooledhttp.Session()
    session.mount("http://", BrokenSite({"http://a/": _to("/1")}))
    assert session.get("http://a/").text == "end"


# --- credentials ---------------------------------------------------------------------------------

ELSEWHERE = ["http://b/", "http://sub.a/", "http://a:81/", "https://a:8443/"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_credentials_do_not_cross(place: str) -> None:
    """Authorization, cookies of the call, a cookie header, a proxy's and a Host header stay."""
    session, site = _session({"http://a/": _to(place)})
    headers = {"Cookie": "by=hand", "Proxy-Authorization": "secret", "Host": "a"}
    session.get("http://a/", auth=("u", "p"), headers=headers)
    assert site.requests[0].headers["Proxy-Authorization"] == "secret"
    assert not {"authorization", "cookie", "proxy-authorization", "host"} & {
        name.lower() for name in site.requests[-1].headers
    }
    session.get("http://a/", cookies={"call": "1"})
    assert site.requests[-2].headers["Cookie"] == "call=1"
    assert "Cookie" not in site.requests[-1].headers


def test_a_policy_names_more_that_does_not_cross() -> None:
    """`remove_headers_on_redirect` of urllib3's policy is heeded, though we follow redirects."""
    session, site = _session({"http://a/": _to("/here"), "http://a/here": _to("http://b/")})
    site.policy = urllib3.Retry(remove_headers_on_redirect=["X-Token"])
    session.get("http://a/", headers={"x-token": "t", "X-Other": "o"}, auth=("u", "p"))
    assert [request.headers.get("X-Token") for request in site.requests] == ["t", "t", None]
    assert "Authorization" not in site.requests[-1].headers
    assert site.requests[-1].headers["X-Other"] == "o"


def test_credentials_do_not_go_down_to_plain_http() -> None:
    """Not on the same host either; the other way they stay."""
    session, site = _session({"https://a/": _to("http://a/"), "http://a/": _to("https://a/x")})
    session.get("https://a/", auth=("u", "p"), cookies={"call": "1"})
    assert "Authorization" not in site.requests[1].headers
    assert "Cookie" not in site.requests[1].headers
    session.get("http://a/", auth=("u", "p"), cookies={"call": "1"})
    assert site.requests[-1].url == "https://a/x"
    assert {"Authorization", "Cookie"} <= set(site.requests[-1].headers)


def test_credentials_stay_on_their_host() -> None:
    """The same origin gets them again, also after a detour."""
    session, site = _session({"http://a/": _to("http://b/"), "http://b/": _to("http://a/back")})
    session.get("http://a/", cookies={"call": "1"})
    assert [request.headers.get("Cookie") for request in site.requests] == [
        "call=1",
        None,
        "call=1",
    ]


def test_cookies_without_a_domain_stay_with_the_origin_that_was_called() -> None:
    """Those with a domain go to it; those without one, of the session too, go nowhere else."""
    session, site = _session({"http://a.example/": _to("http://b.example/")})
    session.cookies.set("any", "1")
    session.cookies.set("theirs", "2", domain="b.example")
    session.get("http://a.example/", cookies={"call": "3"})
    assert site.requests[0].headers["Cookie"] == "any=1; call=3"
    assert site.requests[1].headers["Cookie"] == "theirs=2"


def test_a_plain_jar_is_not_emptied() -> None:
    """The caller's own jar keeps its cookies and its type; only copies are changed."""
    jar = cookiejar_from_dict({"call": "1"}, CookieJar())
    session, site = _session({"http://a/": _to("http://b/")})
    prepared = pooledhttp.Request("GET", "http://a/", cookies=jar).prepare()
    session.send(prepared)
    assert [cookie.name for cookie in jar] == ["call"] and prepared._cookies is jar
    assert type(site.requests[-1]._cookies) is CookieJar
    assert "Cookie" not in site.requests[-1].headers


def test_the_netrc_is_asked_for_the_new_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only if the environment is trusted."""
    monkeypatch.setattr(
        "pooledhttp.sessions.get_netrc_auth", lambda url: ("n", "p") if "//b" in url else None
    )
    session, site = _session({"http://a/": _to("http://b/")})
    session.get("http://a/", auth=("u", "p"))
    assert site.requests[-1].headers["Authorization"] == "Basic bjpw"
    session.trust_env = False
    session.get("http://a/", auth=("u", "p"))
    assert "Authorization" not in site.requests[-1].headers


def test_handlers_of_authentication_serve_no_other_origin() -> None:
    """A hook that belongs to an auth object stays behind; the user's own hooks go along."""

    class Challenged(AuthBase):
        def __call__(self, request: Any) -> Any:
            request.register_hook("response", self.respond)
            return request

        def respond(self, response: Any, **kwargs: Any) -> None:
            responded.append(response.url)

    responded: list[str] = []
    mine: list[str] = []
    session, _ = _session({"http://a/": _to("/1"), "http://a/1": _to("http://b/")})
    session.get(
        "http://a/", auth=Challenged(), hooks={"response": lambda r, **kw: mine.append(r.url)}
    )
    assert responded == ["http://a/", "http://a/1"]
    assert mine == ["http://a/", "http://a/1", "http://b/"]


@pytest.mark.parametrize(
    ("url", "proxies", "expected"),
    [
        ("http://h/", {"http": "http://u:p@proxy:1"}, "Basic dTpw"),
        ("https://h/", {"https": "http://u:p@proxy:1"}, None),
        ("http://h/", {"http": "socks5h://u:p@proxy:1"}, None),
        ("http://h/", {"http": "http://u:p@proxy:1", "http://h": "http://other:2"}, None),
        ("http://h/", {"all": "http://u:p@proxy:1"}, "Basic dTpw"),
        ("http://h/", {}, None),
    ],
)
def test_a_proxy_gets_its_own_credentials_only(
    url: str, proxies: dict[str, str], expected: str | None
) -> None:
    """They are put in for the very proxy the request goes to, and only if that proxy reads it."""
    prepared = pooledhttp.Request("GET", url, headers={"Proxy-Authorization": "old"}).prepare()
    assert pooledhttp.Session().rebuild_proxies(prepared, proxies) == proxies
    assert prepared.headers.get("Proxy-Authorization") == expected
