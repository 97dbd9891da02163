"""`AsyncSession`: a Session whose methods are awaited."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import json
import pickle
import re
import socket
import threading
import time
from typing import Any

import pytest
from urllib3.util import connection as urllib3_connection

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.auth import HTTPDigestAuth
from pooledhttp.exceptions import ConnectionError, PoolTimeout, ReadTimeout, TooManyRedirects
from pooledhttp.pool import PoolConfig
from tests.aio.tools import run
from tests.support.certificates import Authority
from tests.support.commands import run_python
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def echo(seen: SeenRequest) -> bytes:
    """Respond with the request."""
    return respond(f"{seen.method} {seen.target} ".encode() + seen.body)


def silent(peer: Peer) -> None:
    """Read requests and never respond."""
    peer.read_request()
    peer.wait_closed()


def test_one_session_for_all_methods() -> None:
    """Each method sends its request; one connection serves them all."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> list[str]:
            async with pooledhttp.AsyncSession() as session:
                url = server.url("/x")
                responses = [
                    await session.get(url, {"a": "1"}),
                    await session.options(url),
                    await session.post(url, {"b": "2"}),
                    await session.post(url, json={"c": 3}),
                    await session.put(url, b"put"),
                    await session.patch(url, b"patch"),
                    await session.delete(url),
                    await session.request("GET", url, params="d=4"),
                    await session.send(session.prepare_request(pooledhttp.Request("GET", url))),
                ]
                assert (await session.head(url)).status_code == 200
                assert type(responses[0]) is pooledhttp.Response
                return [response.text for response in responses]

        assert run(main()) == [
            "GET /x?a=1 ",
            "OPTIONS /x ",
            "POST /x b=2",
            'POST /x {"c":3}' if b" " not in json.dumps({"c": 3}).encode() else 'POST /x {"c": 3}',
            "PUT /x put",
            "PATCH /x patch",
            "DELETE /x ",
            "GET /x?d=4 ",
            "GET /x ",
        ]
        assert len(server.connections) == 1


def test_settings_are_those_of_a_session() -> None:
    """Headers, auth, params, cookies and hooks of the session go with each request."""
    seen: list[int] = []
    first = respond(b"", headers=[("Set-Cookie", "k=v")])
    with ScriptedServer(answering(first, respond(b""))) as server:

        async def main() -> None:
            session = pooledhttp.AsyncSession()
            session.headers["X-A"] = "b"
            session.auth = ("u", "p")
            session.params = {"q": "1"}
            session.hooks["response"].append(lambda r, **kwargs: seen.append(r.status_code))
            async with session:
                await session.get(server.url())
                await session.get(server.url())
                assert session.cookies["k"] == "v"
                assert session.max_redirects == 30 and session.trust_env

        run(main())
        last = server.requests[1]
        assert last.target == "/?q=1"
        assert (last.header("X-A"), last.header("Cookie")) == ("b", "k=v")
        assert last.header("Authorization") == "Basic dTpw"
        assert seen == [200, 200]


def test_arguments_are_those_of_a_session() -> None:
    """All but `runtime`, with the same defaults."""

    def arguments(kind: type) -> dict[str, object]:
        found = inspect.signature(kind).parameters
        return {name: each.default for name, each in found.items() if name != "runtime"}

    assert arguments(pooledhttp.AsyncSession) == arguments(pooledhttp.Session)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("timeuot", "Did you mean 'timeout'?"), ("verify", "Set the attribute 'verify'")],
)
def test_an_unknown_argument_is_refused_with_a_hint(name: str, hint: str) -> None:
    """As by `Session`: the nearest argument, or that it is an attribute."""
    arguments: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=re.escape(hint)):
        pooledhttp.AsyncSession(**arguments)


def test_a_misspelt_argument_of_a_call() -> None:
    """As on threads: the text names the argument that was meant."""

    async def main() -> None:
        async with pooledhttp.AsyncSession() as session:
            options: dict[str, Any] = {"timout": 3}
            for call in (session.get, session.delete):
                with pytest.raises(TypeError, match=r"'timout'\. Did you mean 'timeout'\?$"):
                    await call("http://127.0.0.1:1/", **options)

    run(main())


def test_errors_are_those_of_a_session() -> None:
    """The same classes are raised as on threads, with the request on them."""
    to_itself = respond(b"", status=302, headers=[("Location", "/")])
    with ScriptedServer(silent) as mute, ScriptedServer(answering(to_itself)) as loop:
        free = ScriptedServer(silent)
        free.close()

        async def main() -> None:
            async with pooledhttp.AsyncSession(pool=PoolConfig(max_per_host=1)) as session:
                with pytest.raises(ConnectionError) as refused:
                    await session.get(free.url())
                assert refused.value.request is not None
                with pytest.raises(ReadTimeout):
                    await session.get(mute.url(), timeout=0.05)
                with pytest.raises(TooManyRedirects):
                    await session.get(loop.url())
                with pytest.raises(pooledhttp.exceptions.MissingSchema):
                    await session.get("example")
                task = asyncio.create_task(session.get(mute.url()))
                while not session.pool.stats().total.active:
                    await asyncio.sleep(0)
                with pytest.raises(PoolTimeout):
                    await session.get(mute.url(), timeout=pooledhttp.Timeout(pool=0.01))
                task.cancel()

        run(main())


def test_requests_run_beside_each_other() -> None:
    """A bounded pool serves a hundred tasks of a group, none on more connections than allowed."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> set[str]:
            pool = PoolConfig(max_per_host=3)
            async with pooledhttp.AsyncSession(pool=pool) as session, asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(session.get(server.url(f"/{number}")))
                    for number in range(100)
                ]
            return {task.result().text for task in tasks}

        assert run(main()) == {f"GET /{number} " for number in range(100)}
        assert len(server.connections) <= 3


def test_over_tls(authority: Authority) -> None:
    """Handshakes and exchanges over TLS wait on the loop."""
    with ScriptedServer(answering(echo), tls=authority.server_context()) as server:

        async def main() -> list[str]:
            async with pooledhttp.AsyncSession() as session:
                session.verify = authority.bundle
                return [
                    response.text[:9]
                    for response in await asyncio.gather(
                        *(session.post(server.url(), b"x" * 300_000) for _ in range(5))
                    )
                ]

        assert run(main()) == ["POST / xx"] * 5


# ------------------------------------------------------------------ hooks, auth, context


@pytest.mark.parametrize("place", ["subclass", "instance", "class", "base"])
def test_a_request_method_of_ones_own_is_used_by_all(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`get` and the others go through `request`, wherever it was replaced."""
    seen = []

    async def request(*args: Any, **kwargs: Any) -> str:
        seen.append((args[-2:], kwargs))
        return "mine"

    kind = type(
        "Own", (pooledhttp.AsyncSession,), {"request": request} if place == "subclass" else {}
    )
    if place in ("class", "base"):
        owner = pooledhttp.AsyncSession if place == "class" else pooledhttp.AsyncSession.__mro__[1]
        monkeypatch.setattr(owner, "request", request)

    async def main() -> None:
        async with kind() as session:
            if place == "instance":
                session.request = request
            assert await session.get("http://a/", {"q": 1}) == "mine"
            assert await session.delete("http://b/") == "mine"

    run(main())
    assert seen == [
        (("GET", "http://a/"), {"params": {"q": 1}, "stream": None}),
        (("DELETE", "http://b/"), {"stream": None}),
    ]


def test_hooks_see_the_context_of_the_caller() -> None:
    """A hook reads and sets context variables of the task, and may request by itself."""
    with ScriptedServer(answering(echo)) as server:

        def hook(response: pooledhttp.Response, **kwargs: Any) -> None:
            assert variable.get() == "outside"
            variable.set("inside")
            assert asyncio.current_task() is not None
            assert pooledhttp.get(server.url("/token")).text == "GET /token "

        async def main() -> None:
            variable.set("outside")
            async with pooledhttp.AsyncSession() as session:
                await session.get(server.url("/first"), hooks={"response": hook})
            assert variable.get() == "inside"

        run(main())
        assert [seen.target for seen in server.requests] == ["/first", "/token"]


def test_hooks_and_auth_may_be_coroutine_functions() -> None:
    """They are awaited by the task of the request; of a call and of the session."""

    async def sign(request: pooledhttp.PreparedRequest) -> pooledhttp.PreparedRequest:
        await asyncio.sleep(0)
        request.headers["Authorization"] = "token"
        return request

    async def count(response: pooledhttp.Response, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        response.headers["X-Hook"] = "seen"

    with ScriptedServer(answering(echo)) as server:

        async def main() -> None:
            async with pooledhttp.AsyncSession() as session:
                response = await session.get(server.url(), auth=sign, hooks={"response": [count]})
                assert response.headers["X-Hook"] == "seen"
                session.auth = sign
                session.hooks["response"] = [count]
                assert (await session.get(server.url())).headers["X-Hook"] == "seen"

        run(main())
        assert [seen.header("Authorization") for seen in server.requests] == ["token"] * 2


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "alone"])
@pytest.mark.parametrize("way", ["get", "prepared", "run_sync", "prepared in run_sync"])
def test_coroutine_functions_of_the_session_run_however_it_sends(way: str, as_list: bool) -> None:
    """`run_sync` and `prepare_request` find them as `get` does, before any other request."""

    async def sign(request: pooledhttp.PreparedRequest) -> pooledhttp.PreparedRequest:
        await asyncio.sleep(0)
        request.headers["Authorization"] = "token"
        return request

    async def count(response: pooledhttp.Response, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        response.headers["X-Hook"] = "seen"

    with ScriptedServer(answering(echo)) as server:
        asked = pooledhttp.Request("GET", server.url())

        async def main() -> None:
            async with pooledhttp.AsyncSession() as session:
                session.hooks = {"response": [count] if as_list else count}  # type: ignore[dict-item]
                if way == "prepared":  # no auth: `prepare_request` is not awaited
                    response = await session.send(session.prepare_request(asked))
                else:
                    session.auth = sign
                    if way == "get":
                        response = await session.get(server.url())
                    elif way == "run_sync":
                        response = await session.run_sync(lambda inner: inner.get(server.url()))
                    else:
                        response = await session.run_sync(
                            lambda inner: inner.send(inner.prepare_request(asked))
                        )
                assert response.headers["X-Hook"] == "seen"

        run(main())
        signed = None if way == "prepared" else "token"
        assert [seen.header("Authorization") for seen in server.requests] == [signed]


@pytest.mark.parametrize("of_session", [True, False], ids=["session", "request"])
def test_prepare_request_names_the_auth_that_it_cannot_await(of_session: bool) -> None:
    """The message says where it can be given; no coroutine is left that was never awaited."""

    async def sign(request: pooledhttp.PreparedRequest) -> pooledhttp.PreparedRequest:
        return request

    async def main() -> None:
        async with pooledhttp.AsyncSession() as session:
            session.auth = sign if of_session else None
            asked = pooledhttp.Request(
                "GET", "http://localhost/", auth=None if of_session else sign
            )
            with pytest.raises(RuntimeError, match=r"sign is a coroutine function.*`get`"):
                session.prepare_request(asked)

    run(main())


def test_await_here_needs_a_session_around_it() -> None:
    """Elsewhere it says so, and leaves no coroutine behind that was never awaited."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="await_here"):
            pooledhttp.aio.await_here(asyncio.sleep(0))

    run(main())


def digest_server(seen: SeenRequest) -> bytes:
    """Respond to a signed request with its nonce, and challenge one that is not signed."""
    signed = seen.header("Authorization")
    if signed is None:
        challenge = f'Digest realm="r", nonce="n{seen.target[1:]}", qop="auth"'
        return respond(b"", status=401, headers=[("WWW-Authenticate", challenge)])
    found = re.search('nonce="(.*?)".*nc=(.*?),', signed)
    assert found is not None
    return respond(" ".join(found.groups()).encode())


def test_digest_state_belongs_to_the_task() -> None:
    """Two tasks answer their own challenges; a second request of one task is signed at once."""
    with ScriptedServer(answering(digest_server)) as server:

        async def twice(session: pooledhttp.AsyncSession, name: str) -> list[str]:
            texts = [(await session.get(server.url(f"/{name}"))).text for _ in range(2)]
            return texts

        async def main() -> list[list[str]]:
            async with pooledhttp.AsyncSession() as session:
                session.auth = HTTPDigestAuth("u", "p")
                return await asyncio.gather(twice(session, "a"), twice(session, "b"))

        assert run(main()) == [["na 00000001", "na 00000002"], ["nb 00000001", "nb 00000002"]]
        assert len(server.requests) == 6


# ------------------------------------------------------------------ adapters


class Foreign(BaseAdapter):
    """An adapter that blocks its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []

    def send(self, request: Any, stream: bool = False, **kwargs: Any) -> pooledhttp.Response:
        self.threads.append(threading.current_thread().name)
        time.sleep(0.01)
        response = pooledhttp.Response()
        response.status_code = 200
        response.url = request.url
        response.raw = self
        return response

    def read(self, size: int) -> bytes:
        self.threads.append(threading.current_thread().name)
        return b"" if self.threads.count(self.threads[-1]) > 3 else b"piece"

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("stream", [False, True])
def test_foreign_adapters_run_on_worker_threads(stream: bool) -> None:
    """Sending and reading block a worker, not the loop; the caller finds what it mounted."""

    async def main() -> None:
        async with pooledhttp.AsyncSession() as session:
            adapter = Foreign()
            session.mount("foreign://", adapter)
            assert session.get_adapter("foreign://x") is adapter
            assert session.adapters["foreign://"] is adapter
            response = await session.get("foreign://x", stream=stream)
            if isinstance(response, pooledhttp.aio.AsyncResponse):
                with pytest.raises(RuntimeError, match="aiter_content"):
                    _ = response.content
                assert await response.aread()
            assert response.content.startswith(b"piece")
            assert {name[:14] for name in adapter.threads} == {"pooledhttp-aio"}

    run(main())


async def get_while_blocked(
    task: asyncio.Task[Any], begun: threading.Event, gate: threading.Event, is_cancelled: bool
) -> None:
    """Wait for a connection to begin, which blocks a worker; cancel, or let it go on and read."""
    while not begun.is_set():
        await asyncio.sleep(0.001)
    if is_cancelled:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    gate.set()
    if not is_cancelled:
        assert (await task).text == "GET / "


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_replaced_create_connection_leaves_the_loop_free(
    is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It blocks a worker thread; a socket that comes too late is closed."""
    original, gate = urllib3_connection.create_connection, threading.Event()
    begun, made = threading.Event(), []

    def create_connection(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        assert gate.wait(20)
        made.append(original(*args, **kwargs))
        return made[0]

    monkeypatch.setattr(urllib3_connection, "create_connection", create_connection)

    async def main() -> None:
        async with pooledhttp.AsyncSession() as session:
            task = asyncio.create_task(session.get(server.url()))
            await get_while_blocked(task, begun, gate, is_cancelled)
        while not made or made[0].fileno() != -1:
            await asyncio.sleep(0.001)

    with ScriptedServer(answering(echo)) as server:
        run(main())


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_replaced_connect_leaves_the_loop_free(
    is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It blocks a worker thread, with a timeout; its socket is open until it has returned."""
    gate, begun, seen = threading.Event(), threading.Event(), list[socket.socket]()

    def connect(sock: socket.socket, address: Any) -> None:
        begun.set()
        assert gate.wait(20)
        assert sock.gettimeout() and sock.fileno() != -1
        original(sock, address)
        seen.append(sock)

    original = socket.socket.connect

    async def main(url: str) -> None:
        monkeypatch.setattr(socket.socket, "connect", connect)
        async with pooledhttp.AsyncSession(timeout=20) as session:
            task = asyncio.create_task(session.get(url))
            await get_while_blocked(task, begun, gate, is_cancelled)
        while not seen or seen[0].fileno() != -1:
            await asyncio.sleep(0.001)

    with ScriptedServer(answering(echo)) as server:
        run(main(server.url()))
        monkeypatch.undo()


def test_an_adapter_with_a_pool_waits_as_its_session() -> None:
    """It is bound when mounted; one that threads have used is refused, and so is their pool."""
    with ScriptedServer(answering(echo)) as server, pooledhttp.Session() as threads:
        used = HTTPAdapter(pool=PoolConfig(max_per_host=1))
        threads.mount(server.url(), used)
        threads.get(server.url())

        async def main() -> None:
            async with pooledhttp.AsyncSession() as session:
                session.mount(server.url("/own"), HTTPAdapter(pool=PoolConfig(max_per_host=1)))
                texts = await asyncio.gather(*(session.get(server.url("/own")) for _ in range(4)))
                assert {each.text for each in texts} == {"GET /own "}
                with pytest.raises(ValueError, match="used by threads"):
                    session.mount("https://", used)
            with pytest.raises(TypeError, match="used by threads"):
                pooledhttp.AsyncSession(pool=threads.pool)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="pool must be"):
                pooledhttp.AsyncSession(pool=3)  # type: ignore[arg-type]

        run(main())
        assert len(server.connections) == 2


def test_synchronous_code_runs_with_the_session_inside() -> None:
    """A library that takes a session of requests is used as it is."""

    def library(session: pooledhttp.Session, url: str, *, times: int) -> list[str]:
        return [session.get(url).text for _ in range(times)]

    with ScriptedServer(answering(echo)) as server:

        async def main() -> list[str]:
            async with pooledhttp.AsyncSession() as session:
                return await session.run_sync(library, server.url("/lib"), times=2)

        assert run(main()) == ["GET /lib "] * 2


# ------------------------------------------------------------------ the pool


def test_the_pool_is_warmed_resized_and_drained() -> None:
    """What waits is awaited; the rest is called."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> None:
            async with pooledhttp.AsyncSession(pool=PoolConfig(max_per_host=1)) as session:
                assert await session.pool.warm(server.url(), 1) == 1
                assert session.pool.stats().total.idle == 1
                assert session.pool.evict(server.url()) == 1
                assert await session.pool.warm(server.url(), 0) == 0
                session.pool.resize(PoolConfig(max_per_host=2))
                assert session.pool.config.max_per_host == 2
                assert session.pool.advise() == {}
                assert repr(session.pool) == "<Pool 0 in use, 0 idle, 0 waiting>"
                response = await session.get(server.url(), stream=True)
                assert not await session.pool.drain(0.01)
                response.close()
                assert await session.pool.drain(1)
                with pytest.raises(pooledhttp.PoolClosed):
                    await session.get(server.url())

        run(main())


def test_a_resize_serves_waiting_tasks() -> None:
    """A task in the queue gets its connection without another's end."""
    with ScriptedServer([silent, answering(echo)]) as server:

        async def main() -> str:
            async with pooledhttp.AsyncSession(pool=PoolConfig(max_per_host=1)) as session:
                first = asyncio.create_task(session.get(server.url()))
                while not server.requests:
                    await asyncio.sleep(0.001)
                second = asyncio.create_task(session.get(server.url("/second")))
                while not session.pool.stats().total.waiting:
                    await asyncio.sleep(0)
                session.pool.resize(PoolConfig(max_per_host=2))
                text = (await second).text
                first.cancel()
                return text

        assert run(main()) == "GET /second "


def test_two_sessions_share_a_pool() -> None:
    """Their views are equal, and one reuses the connection of the other."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> None:
            async with pooledhttp.AsyncSession() as one:
                two = pooledhttp.AsyncSession(pool=one.pool)
                await one.get(server.url())
                await two.get(server.url())
                assert one.pool == two.pool and hash(one.pool) == hash(two.pool)
                await two.close()

        run(main())
        assert len(server.connections) == 1


# ------------------------------------------------------------------ loops


def test_it_belongs_to_one_loop() -> None:
    """A second loop is refused with advice; each loop has a session of its own."""
    with ScriptedServer(answering(echo)) as server:
        session = pooledhttp.AsyncSession()

        async def use(session: pooledhttp.AsyncSession) -> str:
            return (await session.get(server.url())).text

        async def whole() -> str:
            async with pooledhttp.AsyncSession() as own:
                return await use(own)

        asyncio.run(use(session))
        with pytest.raises(RuntimeError, match="Make one AsyncSession per loop"):
            asyncio.run(use(session))
        assert run(whole()) == run(whole()) == "GET / "


def test_a_loop_that_runs_in_steps() -> None:
    """As a notebook runs it: one loop, many cells."""
    with ScriptedServer(answering(echo)) as server, asyncio.Runner(debug=True) as runner:
        session = pooledhttp.AsyncSession()
        for _ in range(3):
            response = runner.run(session.get(server.url(), stream=True))
            assert runner.run(response.aread()) == b"GET / "
        runner.run(session.close())
        assert len(server.connections) == 1


def test_a_session_of_threads_under_a_running_loop() -> None:
    """As in the cell of a notebook: the loop runs, and a call that blocks works all the same."""
    with ScriptedServer(answering(echo)) as server:

        async def cell() -> str:
            return pooledhttp.get(server.url()).text

        assert run(cell()) == "GET / "


def test_on_uvloop(authority: Authority) -> None:
    """The loop of uvloop serves as well, plain and over TLS, with timeouts and cancellation."""
    uvloop = pytest.importorskip("uvloop", reason="needs uvloop")
    tls = authority.server_context()
    with ScriptedServer(answering(echo), tls=tls) as server, ScriptedServer(silent) as mute:

        async def main() -> None:
            async with pooledhttp.AsyncSession(pool=PoolConfig(max_per_host=2)) as session:
                session.verify = authority.bundle
                texts = await asyncio.gather(
                    *(session.post(server.url(), b"x" * 100_000) for _ in range(8))
                )
                assert {len(each.text) for each in texts} == {100_007}
                with pytest.raises(ReadTimeout):
                    await session.get(mute.url(), timeout=0.05)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await session.get(mute.url())
                assert repr(session.pool) == "<Pool 0 in use, 2 idle, 0 waiting>"

        with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=True) as runner:
            runner.run(main())
        mute.wait_all_closed()


def test_without_greenlet_the_error_says_what_to_install() -> None:
    """Importing the package loads no asyncio; the name is there, but no session can be made."""
    program = """
import sys
sys.modules["greenlet"] = None
import pooledhttp
print("asyncio" in sys.modules)
try:
    pooledhttp.AsyncSession()
except ModuleNotFoundError as error:
    print(error)
"""
    assert run_python("-c", program).stdout.splitlines() == [
        "False",
        "AsyncSession needs greenlet, which is not installed: pip install greenlet",
    ]


def test_a_session_says_why_it_cannot_be_pickled() -> None:
    """A loop and its connections stay in their process; a shallow copy is the same session."""

    class Mine(pooledhttp.AsyncSession):
        """A subclass, which is named in the text."""

    session = Mine()
    for copying in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="Mine cannot be pickled.*belong to one process"):
            copying(session)
    shallow = copy.copy(session)
    assert type(shallow) is Mine and shallow.pool == session.pool
