"""Tables of what servers send, each row played on requests and on pooledhttp: the outcome is equal.

What differs on purpose has a row in docs/coming-from-requests.md and a test of its own, and is not
in these tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

import pooledhttp
from tests.support.scripted import Fields, ScriptedServer, SeenRequest, answering, respond

#: Fields of a request that a server acts on.
_COMPARED = ("authorization", "content-length", "content-type", "cookie", "host", "x-own")

LOCATIONS = """
/b|b|?q=1|#f|| /b|//127.0.0.1:PORT/b|http://127.0.0.1:PORT/b|HTTP://127.0.0.1:PORT/b|/b#frag
/b?x=%zz|/b c|/b%20c|/é|/b\\c|../b|./b|/a/../b|/a/./b|;p|/b?x=a b&y=é|http://localhost:PORT/b
http://u:p@127.0.0.1:PORT/b|http://127.0.0.1:PORT|http://127.0.0.1:PORT?x|mailto:a@b|javascript:1
file:///etc/passwd|http://127.0.0.1:x/b|/b\tc|\t/b|/b^{}|/%2e%2e/b|/b%41|/%7Eb|/b?%|/b%|*|data:,x
http://127.0.0.1:PORT/b#x#y|/?|/b?|/b#|HTTP://LOCALHOST:PORT/B|http://127.0.0.1:99999/b|/b//c|/b,/c
"""

CHALLENGES = """
Digest realm="r", nonce="n"|Digest realm="r", nonce="n", qop="auth"
Digest realm="r",nonce="n",qop=auth
Digest realm="r", nonce="n", qop="auth,auth-int"|Digest realm="r", nonce="n", algorithm=MD5
Digest realm="r", nonce="n", algorithm="MD5-sess", qop="auth"|Digest realm="r", nonce="n", qop=""
Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"|digest realm="r", nonce="n"|Negotiate
Digest realm="r", nonce="n", algorithm=SHA-512|Digest realm="r", nonce="n", algorithm=md5|Basic
Digest realm="r", nonce="n", opaque="o", stale=true, qop="auth"
Basic realm="x", Digest realm="r", nonce="n"
Digest realm="a, b", nonce="n=="|Digest realm=r,nonce=n
Digest  realm="r" , nonce="n" , |Digest realm="é", nonce="n"
"""

COOKIES = """
a=1|a=1; Path=/b|a=1; Domain=127.0.0.1|a=1; Max-Age=0|a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT
a=1; Expires=garbage|a=1; Secure|a=1; HttpOnly; SameSite=Lax|a="1 2"|a=1,b=2|=x|a|a=|a=b=c
a=1; Path=/a
a=1; Version=1|a=1; Port="80"|a=1; Comment=x; Discard|a=é|a=1; Expires=Wed, 09-Jun-2099 10:18:14 GMT
a=1; Expires=Wed Jun  9 10:18:14 2099|a=1; expires=Wed, 09 Jun 2099|a=1; Max-Age=-1| a = 1 |a=1;;;
a b=1|a;b=1|\ta=1|a=1\t; Path=/|a=1; Domain=.127.0.0.1|a=1; Secure=false|a=1; Path=/b; Path=/
"""


def rows(table: str) -> list[str]:
    """The rows of a table above, with its tabs."""
    lines = table.strip("\n").split("\n")
    return [row.replace("\\t", "\t") for line in lines for row in line.split("|")]


class Beside:
    """Plays one exchange after another on both packages, against one server."""

    def __init__(self) -> None:
        self.respond: Callable[[SeenRequest], bytes] = lambda _: respond()
        self.server = ScriptedServer(answering(lambda seen: self.respond(seen)))

    def outcome(self, package: Any, method: str, path: str, **how: Any) -> tuple[Any, ...]:
        """What comes of a request, and what the server has seen of it."""
        before = len(self.server.requests)
        with package.Session() as session:
            try:
                response = session.request(method, self.server.url(path), timeout=20, **how)
                found = response.status_code, response.content, response.url, response.cookies
                result = (*found[:3], found[3].get_dict(), len(response.history))
            except (
                package.RequestException,
                package.packages.urllib3.exceptions.HTTPError,
            ) as error:
                result = (type(error).__name__,)
        seen = self.server.requests[before:]
        return *result, [
            (each.method, each.target, each.body, [self._field(each, name) for name in _COMPARED])
            for each in seen
        ]

    @staticmethod
    def _field(seen: SeenRequest, name: str) -> str | None:
        value = seen.header(name)
        return value and re.sub(r'((?:cnonce|response)=)"\w+"', r"\1", value)

    def assert_equal(self, row: str, method: str, path: str, **how: Any) -> None:
        """Assert that both packages have the same outcome."""
        theirs = self.outcome(requests, method, path, **how)
        assert self.outcome(pooledhttp, method, path, **how) == theirs, row


def redirecting(status: int, fields: Fields) -> Callable[[SeenRequest], bytes]:
    """Respond to the first path by a redirect, to all others with their target."""

    def handle(seen: SeenRequest) -> bytes:
        if not seen.target.startswith("/start/"):
            return respond(b"" if seen.method == "HEAD" else seen.target.encode())
        return respond(b"", fields, status=status)

    return handle


def test_locations() -> None:
    """Each `Location` leads to the same URL, or is the same error."""
    beside = Beside()
    with beside.server as server:
        for row in rows(LOCATIONS):
            location = row.replace("PORT", str(server.port)).encode().decode("latin-1")
            beside.respond = redirecting(302, {"Location": location})
            beside.assert_equal(row, "GET", "/start/a#orig")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308, 399, 201, 200])
def test_methods_after_a_status(status: int) -> None:
    """Method, body and fields of the next request are the same."""
    beside = Beside()
    with beside.server:
        beside.respond = redirecting(status, {"Location": "/b"})
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            body = b"body" if method[0] == "P" else None
            beside.assert_equal(method, method, "/start/a", data=body, headers={"X-Own": "1"})


def test_cookies_on_a_redirect() -> None:
    """What a response sets is shown and sent alike."""
    beside = Beside()
    with beside.server:
        for row in rows(COOKIES):
            value = row.encode().decode("latin-1")
            beside.respond = redirecting(302, {"Set-Cookie": value, "Location": "/b"})
            beside.assert_equal(row, "GET", "/start/a")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_challenges(method: str) -> None:
    """Digest responds to the same challenges with the same values."""
    beside = Beside()
    with beside.server:
        for row in rows(CHALLENGES):
            refused = respond(b"no", {"WWW-Authenticate": row}, status=401)

            def handle(seen: SeenRequest, refused: bytes = refused) -> bytes:
                return respond(b"in") if seen.header("authorization") else refused

            beside.respond = handle
            for package in (requests, pooledhttp):
                auth = package.auth.HTTPDigestAuth("u", "p:é")
                theirs = beside.outcome(package, method, "/x?y=z;a", auth=auth)
                if package is requests:
                    wanted = theirs
            assert theirs == wanted, row
