"""Which library reads response heads, and who is told."""

from __future__ import annotations

import pickle
import sys

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.http1 import ResponseLimits, parser_choice
from pooledhttp.http1.parsers import library_for
from tests.support.scripted import ScriptedServer, answering, respond

FOLDED = b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parser_choice.ENVIRONMENT_VARIABLE, raising=False)


def have(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Say whether httptools is installed."""
    monkeypatch.setattr(parser_choice, "_has_httptools", lambda: installed)


@pytest.mark.parametrize(
    ("installed", "variable", "choice", "name"),
    [
        (True, "", "auto", "httptools"),
        (False, "", "auto", "h11"),
        (True, "", "h11", "h11"),
        (True, "h11", "auto", "h11"),
        (True, "h11", "httptools", "httptools"),
        (True, "auto", "auto", "httptools"),
    ],
)
def test_the_argument_then_the_variable_then_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool, variable: str, choice: str, name: str
) -> None:
    """An argument other than "auto" decides; then the variable; then httptools if there is one."""
    have(monkeypatch, installed)
    monkeypatch.setenv(parser_choice.ENVIRONMENT_VARIABLE, variable)
    assert parser_choice.chosen_name(choice) == name  # type: ignore[arg-type]


def test_a_wrong_choice_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the argument and in the variable; also a library that is not installed."""
    with pytest.raises(ValueError, match='parser must be "auto", "h11" or "httptools"'):
        pooledhttp.Session(parser="llhttp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parser must be"):
        HTTPAdapter(parser="fast")  # type: ignore[arg-type]
    have(monkeypatch, False)
    with pytest.raises(ValueError, match=r"not installed: pip install httptools"):
        pooledhttp.Session(parser="httptools")
    monkeypatch.setenv(parser_choice.ENVIRONMENT_VARIABLE, "x")
    with pytest.raises(ValueError, match="POOLEDHTTP_PARSER must be"):
        pooledhttp.Session()


def test_without_the_extra_httptools_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its absence changes nothing."""
    have(monkeypatch, False)
    monkeypatch.setitem(sys.modules, "httptools", None)
    with ScriptedServer(answering(respond(b"hello"))) as server, pooledhttp.Session() as session:
        response = session.get(server.url())
    assert (response.content, response.raw.parser) == (b"hello", "h11")


class TestWithHttptools:
    """Needs the extra `fast`."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("httptools", reason="the extra `fast` is not installed")

    def test_the_response_says_what_read_it(self) -> None:
        """Of a session, of an adapter, and h11 for a head that httptools refuses."""
        with ScriptedServer(answering(respond(b"hello"))) as server:
            for choice in ("h11", "httptools"):
                with pooledhttp.Session(parser=choice) as session:  # type: ignore[arg-type]
                    assert session.get(server.url()).raw.parser == choice
            with pooledhttp.Session(parser="h11") as session:
                adapter = pickle.loads(pickle.dumps(HTTPAdapter(parser="httptools")))
                session.mount("http://", adapter)
                assert session.get(server.url()).raw.parser == "httptools"
        with ScriptedServer(answering(FOLDED)) as server, pooledhttp.Session() as session:
            response = session.get(server.url())
            assert (response.raw.parser, response.headers["X"]) == ("h11", "a b")

    def test_a_fragmented_head_is_read_by_both(self) -> None:
        """In few pieces by httptools, in many by h11."""
        from pooledhttp.http1.connection import Connection
        from tests.http1.script import PLAN, ScriptedStream, get

        head = respond(b"hello")
        for size, name in ((len(head) // 4, "httptools"), (1, "h11")):
            pieces = [head[at : at + size] for at in range(0, len(head), size)]
            limits = ResponseLimits(parser="httptools")
            connection = Connection(ScriptedStream(pieces), "http://a.test:80", limits)  # type: ignore[arg-type]
            connection.send(get(), PLAN)
            assert connection.read_head(PLAN).parser == name

    def test_each_library_is_imported_once(self) -> None:
        """And the choice is a value that connections share."""
        assert library_for("httptools") is library_for("httptools")
        assert library_for("httptools") is not library_for("h11")
