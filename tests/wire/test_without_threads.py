"""Requests by name where no thread can be started: at a limit, and while the interpreter ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import pooledhttp
from pooledhttp.network import SystemResolver
from tests.support.commands import run_python
from tests.support.scripted import ScriptedServer, answering, respond

#: Makes one request with a client whose `close` logs out; the rest of the program is up to a test.
CLIENT = """
import sys, threading
import pooledhttp

class Client:
    def __init__(self):
        self.session = pooledhttp.Session()

    def log_out(self, *_):
        try:
            print("status", self.session.get({url!r}, timeout=5).status_code)
        except pooledhttp.RequestException as error:
            print("RequestException", error)

client = Client()
"""

ENDINGS = {
    "finalizer": "Client.__del__ = Client.log_out\n",
    "finalizer-after-a-request": "Client.__del__ = Client.log_out\nclient.log_out()\n",
    "atexit": "import atexit\natexit.register(client.log_out)\n",
    "atexit-after-a-request": "import atexit\natexit.register(client.log_out)\nclient.log_out()\n",
}


@pytest.mark.parametrize("has_netrc", [False, True], ids=["", "netrc"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_request_while_the_interpreter_ends(ending: str, has_netrc: bool, tmp_path: Path) -> None:
    """The name is looked up in place: the request is made, also where a netrc cannot be read."""
    netrc_file = str(tmp_path / "netrc") if has_netrc else "/nonexistent"
    if has_netrc:
        (tmp_path / "netrc").write_text("machine example.com login a password b\n")
    with ScriptedServer(answering(respond(b"bye"))) as server:
        program = CLIENT.format(url=server.url(host="localhost")) + ending
        done = run_python("-c", program, env={"NETRC": netrc_file}, seconds=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split("\n")) == {"status 200", ""}


def test_a_request_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, session: pooledhttp.Session
) -> None:
    """The name is looked up in the thread of the caller."""
    with ScriptedServer(answering(respond(b"hi"))) as server:
        url = server.url(host="localhost")
        session.pool.manager.connector.resolver = SystemResolver()  # has no thread yet
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name.startswith("pooledhttp"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr("threading.Thread.start", refuse)
        assert session.get(url, timeout=5).content == b"hi"


def test_an_unknown_name_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, session: pooledhttp.Session
) -> None:
    """Failing to look it up is a RequestException all the same."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    session.pool.manager.connector.resolver = SystemResolver()
    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(pooledhttp.ConnectionError, match="Failed to resolve"):
        session.get("http://no-such-name.invalid/", timeout=5)


def test_a_resolver_that_fails_with_a_bare_error(session: pooledhttp.Session) -> None:
    """A RuntimeError of a resolver reaches the caller as a RequestException."""

    class Failing:
        def resolve(self, *_: object) -> list[object]:
            raise RuntimeError("can't create new thread at interpreter shutdown")

    session.pool.manager.connector.resolver = Failing()
    with pytest.raises(pooledhttp.ConnectionError, match="interpreter shutdown"):
        session.get("http://name.invalid/", timeout=5)
