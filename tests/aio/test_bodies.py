"""Bodies on an event loop: those that come, and those that are sent."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

import pooledhttp
from pooledhttp.exceptions import ChunkedEncodingError, RequestException, StreamConsumedError
from tests.aio.tools import run
from tests.support.scripted import (
    Peer,
    ScriptedServer,
    SeenRequest,
    answering,
    chunked,
    once,
    respond,
)


def echo(seen: SeenRequest) -> bytes:
    """Respond with the body of the request."""
    return respond(seen.body)


def stream(server: ScriptedServer, use: Any) -> Any:
    """Get a streamed response, and return what `use` makes of it."""

    async def main() -> Any:
        async with pooledhttp.AsyncSession() as session:
            async with await session.get(server.url(), stream=True) as response:
                result = await use(response)
            assert session.pool.stats().total.active == 0
            return result

    return run(main())


async def contents(response: pooledhttp.aio.AsyncResponse, **how: Any) -> list[Any]:
    """Collect the pieces of a body."""
    return [piece async for piece in response.aiter_content(**how)]


def test_pieces_come_as_they_arrive() -> None:
    """A chunk is yielded although the next one has not been sent."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(chunked([b"one"], end=False))
        gate.wait()
        peer.send(b"3\r\ntwo\r\n0\r\n\r\n")

    with ScriptedServer(handle) as server:
        gate = server.gate()

        async def use(response: Any) -> list[bytes]:
            pieces = []
            async for piece in response.aiter_content():
                pieces.append(piece)
                gate.open()
            return pieces

        assert stream(server, use) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"chunk_size": 4}, [b"a\nb\n", b"c"]),
        ({"chunk_size": 3, "decode_unicode": True}, ["a\nb", "\nc"]),
        ({}, [b"a\nb\nc"]),
    ],
)
def test_pieces_have_the_size_that_was_asked_for(how: dict[str, Any], expected: Any) -> None:
    """As with `iter_content`; by default a piece is large."""
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    with ScriptedServer(once(respond(b"a\nb\nc", headers))) as server:
        assert stream(server, lambda response: contents(response, **how)) == expected


def test_lines() -> None:
    """Lines are cut across pieces; the last one needs no end."""

    async def use(response: Any) -> list[Any]:
        return [line async for line in response.aiter_lines(chunk_size=3)]

    with ScriptedServer(once(respond(b"first\nsecond\n\nthird"))) as server:
        assert stream(server, use) == [b"first", b"second", b"", b"third"]


def test_a_body_that_was_awaited_is_there() -> None:
    """After `aread`, everything of a Response works, iterating included."""

    async def use(response: Any) -> None:
        assert await response.aread() == b'{"a": 1}'
        assert await response.aread() == response.content
        assert response.json() == {"a": 1} and response.text == '{"a": 1}'
        assert list(response.iter_content(5)) == [b'{"a":', b" 1}"]
        assert await contents(response, chunk_size=5) == [b'{"a":', b" 1}"]

    with ScriptedServer(once(respond(b'{"a": 1}'))) as server:
        stream(server, use)


@pytest.mark.parametrize(
    "read",
    [
        lambda response: response.content,
        lambda response: response.text,
        lambda response: response.json(),
        lambda response: next(response.iter_content()),
        lambda response: next(response.iter_lines()),
        lambda response: next(iter(response)),
    ],
)
def test_a_synchronous_read_is_refused(read: Any) -> None:
    """It would block the loop; the error names what to use, and the body can be read still."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"", length=5))
        gate.wait()
        peer.send(b"hello")

    with ScriptedServer(handle) as server:
        gate = server.gate()

        async def use(response: Any) -> bytes:
            with pytest.raises(RuntimeError, match="aiter_content"):
                read(response)
            gate.open()
            body: bytes = await response.aread()
            return body

        assert stream(server, use) == b"hello"


def test_a_synchronous_read_of_raw_does_not_wait() -> None:
    """What has not come yet raises, with the same advice, and the connection is closed."""

    async def use(response: Any) -> None:
        with pytest.raises(RuntimeError, match="aiter_content"):
            response.raw.read()

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"half", length=8))
        peer.wait_closed()

    with ScriptedServer(handle) as server:
        stream(server, use)
        server.wait_all_closed()


def test_a_body_is_consumed_once() -> None:
    """A second iteration raises at the call, as with `iter_content`."""

    async def use(response: Any) -> None:
        await contents(response)
        with pytest.raises(StreamConsumedError):
            response.aiter_content()
        with pytest.raises(RuntimeError, match="already consumed"):
            await response.aread()

    with ScriptedServer(once(respond(b"x"))) as server:
        stream(server, use)


def test_a_truncated_body_raises() -> None:
    """The same error as on threads, out of the iteration."""

    async def use(response: Any) -> None:
        with pytest.raises(ChunkedEncodingError):
            await contents(response)

    with ScriptedServer(once(respond(b"half", length=8))) as server:
        stream(server, use)


def test_leaving_the_block_closes_an_unread_body() -> None:
    """The connection is closed, since the rest of the body is still to come on it."""

    async def use(response: Any) -> None:
        async for piece in response.aiter_content(1):
            assert piece == b"x"
            break

    with ScriptedServer(once(respond(b"xy", length=1000))) as server:
        stream(server, use)
        server.wait_all_closed()


def test_a_body_is_written_to_a_file(tmp_path: Path) -> None:
    """Each piece is written on a worker thread."""
    threads: set[str] = set()

    class Noting(io.BytesIO):
        def write(self, data: Any) -> int:
            threads.add(threading.current_thread().name[:14])
            return super().write(data)

    file = Noting()
    with ScriptedServer(once(respond(b"x" * 300_000))) as server:
        assert stream(server, lambda response: response.awrite_to(file, 100_000)) == 300_000
    assert file.getvalue() == b"x" * 300_000
    assert threads == {"pooledhttp-aio"}


def test_a_response_is_pickled_with_its_body() -> None:
    """As a plain response, once the body has been read."""
    import pickle

    async def use(response: Any) -> Any:
        await response.aread()
        return pickle.loads(pickle.dumps(response))

    with ScriptedServer(once(respond(b"body"))) as server:
        assert stream(server, use).text == "body"


# ------------------------------------------------------------------ what is sent


def post(data: Any = None, **how: Any) -> tuple[str, SeenRequest]:
    """Post a body; what the server had of it, and the request."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> str:
            async with pooledhttp.AsyncSession() as session:
                return (await session.post(server.url(), data, **how)).text

        return run(main()), server.requests[0]


async def pieces() -> AsyncIterator[bytes]:
    """Yield two pieces, each after a wait."""
    for piece in (b"one", b"two"):
        await asyncio.sleep(0)
        yield piece


class AsyncFile:
    """A file whose `read` is awaited."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._file.read(size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("a file is read in blocks, not by lines")


@pytest.mark.parametrize(
    ("body", "expected"), [(pieces, "onetwo"), (lambda: AsyncFile(b"x" * 300_000), "x" * 300_000)]
)
def test_a_body_that_is_awaited_is_sent_in_chunks(body: Any, expected: str) -> None:
    """Async iterables and async files."""
    text, seen = post(body())
    assert text == expected
    assert seen.header("Transfer-Encoding") == "chunked"


class NotingFile(io.BufferedReader):
    """A file that notes on which threads it is read."""

    threads: set[str]

    def read(self, *args: Any) -> bytes:
        self.threads.add(threading.current_thread().name[:14])
        return super().read(*args)


def noting(path: Path) -> NotingFile:
    """Open a file."""
    path.write_bytes(b"x" * 300_000)
    file = NotingFile(io.FileIO(str(path)))
    file.threads = set()
    return file


def test_a_file_is_read_on_a_worker_thread(tmp_path: Path) -> None:
    """Its length is announced as ever."""
    with noting(tmp_path / "f") as file:
        text, seen = post(file)
        assert text == "x" * 300_000
        assert seen.header("Content-Length") == "300000"
        assert file.threads == {"pooledhttp-aio"}


def test_files_of_a_form_are_read_on_a_worker_thread(tmp_path: Path) -> None:
    """Also those in tuples; the file names are kept."""
    with noting(tmp_path / "f") as file, noting(tmp_path / "g") as other:
        files = {"a": file, "b": ("other", other, "text/plain"), "c": b"bytes"}
        text, _ = post({"form": "1"}, files=files)
        assert text.count("x" * 300_000) == 2
        assert all(name in text for name in ('filename="f"', 'filename="other"', "bytes", "form"))
        assert file.threads == other.threads == {"pooledhttp-aio"}


@pytest.mark.parametrize("name", [None, "other"])
def test_async_files_of_a_form_are_read_by_awaiting(name: str | None) -> None:
    """The whole of each; their names are kept."""
    file = AsyncFile(b"x" * 300_000)
    file.name = "own"  # type: ignore[attr-defined]
    text, _ = post({"form": "1"}, files={"a": file if name is None else (name, file)})
    assert text.count("x" * 300_000) == 1
    assert f'filename="{name or "own"}"' in text


def test_what_can_be_read_twice_is_sent_twice(tmp_path: Path) -> None:
    """A redirect that keeps the body sends files and async iterables again."""

    class Twice:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return pieces()

    redirect = respond(b"", [("Location", "/again")], status=307)
    for body in (Twice(), noting(tmp_path / "f")):
        with ScriptedServer(answering(redirect, echo)) as server:

            async def main(body: Any = body, server: ScriptedServer = server) -> bytes:
                async with pooledhttp.AsyncSession() as session:
                    return (await session.post(server.url(), body)).content

            assert run(main()) == server.requests[0].body == server.requests[1].body != b""
        if isinstance(body, NotingFile):
            body.close()


def once_only() -> Iterator[bytes]:
    """Yield two pieces, as `pieces` does."""
    yield from (b"one", b"two")


@pytest.mark.parametrize("status", [307, 503])
@pytest.mark.parametrize("body", [pieces, lambda: AsyncFile(b"onetwo")])
def test_what_can_be_read_once_is_not_sent_again_empty(body: Any, status: int) -> None:
    """Redirects and retries do with an async generator as a `Session` does with a generator."""
    refused = respond(b"", [("Location", "/again")], status=status)
    how: dict[str, Any] = {
        "retries": urllib3.Retry(1, status_forcelist=[503], allowed_methods=None)
    }

    def outcome(send: Any) -> Any:
        with ScriptedServer(answering(refused, echo)) as server:
            try:
                found: Any = send(server.url()).status_code
            except RequestException as error:
                found = type(error)
            assert [request.body for request in server.requests] == [b"onetwo"]
            return found

    async def main(url: str) -> Any:
        async with pooledhttp.AsyncSession(**how) as session:
            return await session.post(url, body())

    def on_threads(url: str) -> Any:
        with pooledhttp.Session(**how) as session:
            return session.post(url, once_only())

    assert outcome(lambda url: run(main(url))) == outcome(on_threads)


def send_of_http_client(patch: pytest.MonkeyPatch) -> None:
    """Replace a method below urllib3's pools: requests go through these, on a worker thread."""
    original = http.client.HTTPConnection.send
    patch.setattr(http.client.HTTPConnection, "send", lambda self, data: original(self, data))


@pytest.mark.parametrize("way", ["adapter", "pools"])
@pytest.mark.parametrize(
    "body",
    [
        lambda: pieces(),
        lambda: AsyncFile(b"onetwo"),
        lambda: io.BufferedReader(io.BytesIO(b"onetwo")),  # type: ignore[arg-type]
        lambda: io.BytesIO(b"onetwo"),
        once_only,
    ],
    ids=["pieces", "async file", "file", "memory", "generator"],
)
def test_a_body_is_sent_from_a_worker_thread(
    body: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another adapter or pool blocks one, a file is read there, and a coroutine awaited."""
    if way == "pools":
        send_of_http_client(monkeypatch)

    async def main(url: str) -> bytes:
        async with pooledhttp.AsyncSession() as session:
            if way == "adapter":
                session.mount("http://", requests.adapters.HTTPAdapter())
            return (await session.post(url, body(), timeout=pooledhttp.Timeout(total=20))).content

    with ScriptedServer(answering(echo)) as server:
        assert run(main(server.url())) == b"onetwo"


def test_an_error_of_an_async_body_is_raised_on_a_worker_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it is raised without one."""
    send_of_http_client(monkeypatch)

    async def failing() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("no more")

    with pytest.raises(KeyError):
        post(failing())


def test_cancelling_ends_the_wait_for_a_piece_on_a_worker_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The generator is cancelled as well, and the thread is free."""
    send_of_http_client(monkeypatch)
    waits, ended = asyncio.Event(), asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b"one"
        waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main(url: str) -> None:
        async with pooledhttp.AsyncSession() as session:
            task = asyncio.create_task(session.post(url, silent()))
            await asyncio.wait_for(waits.wait(), 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 20)

    def read_all(peer: Peer) -> None:
        peer.wait_closed()

    with ScriptedServer(read_all) as server:
        run(main(server.url()))


def test_an_endless_upload_lets_the_loop_run() -> None:
    """A body that never waits, to a server that reads all of it, can be cancelled."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    def read_all(peer: Peer) -> None:
        peer.read_head()
        peer.wait_closed()

    async def main(url: str) -> None:
        async with pooledhttp.AsyncSession() as session:
            task = asyncio.create_task(session.post(url, endless()))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.pool.stats().total.active == 0

    with ScriptedServer(read_all) as server:
        run(main(server.url()))


def test_an_error_of_an_async_body_is_raised() -> None:
    """And the connection closed: half a request has been sent."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("no more")

    with pytest.raises(KeyError):
        post(failing())
