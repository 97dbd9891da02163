"""Streams on real sockets: reading, writing, probing, closing."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pooledhttp.buffers import BufferPool
from pooledhttp.network import Connector, Proxy, Route, Stream, TlsSettings
from pooledhttp.network.stream_reading import TRIES_IN_A_ROW
from pooledhttp.network.tls.nested import NestedTlsStream
from pooledhttp.network.tls.stream import RECORD_BYTES
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.programs import poll
from tests.support.scripted import Gate, Handler, Peer, ScriptedServer

Soon = Callable[..., Deadline]
Opener = Callable[[Handler], "contextmanager[tuple[Stream, ScriptedServer]]"]


def speak_connect(stream: Stream, proxy: Proxy, host: str, port: int, deadline: Deadline) -> None:
    """The least of CONNECT."""
    stream.send(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode(), deadline)
    assert stream.recv(4096, deadline).startswith(b"HTTP/1.1 200")


@pytest.fixture(params=["plain", "tls1.2", "tls1.3", "nested"])
def opened(
    request: pytest.FixtureRequest,
    authority: Authority,
    runtime: Runtime,
    soon: Soon,
    connect_proxy: Handler,
) -> Opener:
    """Opens a stream of each kind to a handler."""
    kind: str = request.param

    @contextmanager
    def open_to(handler: Handler) -> Iterator[tuple[Stream, ScriptedServer]]:
        tls = None
        if kind != "plain":
            tls = authority.new_server_context()
            if kind == "tls1.2":
                tls.maximum_version = ssl.TLSVersion.TLSv1_2
        trust = TlsSettings(ca_certs=authority.bundle)
        proxy_server = ScriptedServer(connect_proxy, tls=authority.server_context())
        with ScriptedServer(handler, tls=tls) as server, proxy_server as middle:
            proxy = Proxy("https", "127.0.0.1", middle.port, tls=trust)
            route = Route(
                "http" if tls is None else "https",
                "127.0.0.1",
                server.port,
                None if tls is None else trust,
                proxy if kind == "nested" else None,
            )
            stream = Connector(runtime, tunnel=speak_connect).connect(route, soon())
            try:
                yield stream, server
            finally:
                stream.close()

    return open_to


def test_bytes_go_out_and_come_back(opened: Opener, echo: Handler, soon: Soon) -> None:
    """What is sent arrives, and what the peer sends is received."""
    with opened(echo) as (stream, _):
        stream.send(b"hello", soon())
        assert stream.recv(100, soon()) == b"hello"


def test_much_data_both_ways(opened: Opener, echo: Handler, soon: Soon) -> None:
    """Megabytes pass whole while both directions are full."""
    data = os.urandom(3_000_000)
    with opened(echo) as (stream, _):
        got = bytearray()

        def read() -> None:
            while len(got) < len(data):
                got.extend(stream.recv(65536, soon()))

        if stream.is_tls:  # one thread at a time may use TLS
            for start in range(0, len(data), 50_000):
                piece = memoryview(data)[start : start + 50_000]
                stream.send(piece, soon())
                while len(got) < start + len(piece):
                    got.extend(stream.recv(65536, soon()))
        else:
            reader = threading.Thread(target=read)
            reader.start()
            stream.send(data, soon())
            reader.join()
        assert bytes(got) == data


def test_large_upload_to_a_slow_reader(opened: Opener, soon: Soon) -> None:
    """A write that has to wait many times is still complete and in order."""
    data = os.urandom(4_000_000)
    got = bytearray()

    def handle(peer: Peer) -> None:
        while len(got) < len(data):
            got.extend(peer.sock.recv(3000))
        peer.sock.sendall(b"done")

    with opened(handle) as (stream, _):
        stream.send(data, soon())
        assert stream.recv(10, soon()) == b"done"
    assert bytes(got) == data


def test_small_reads_of_one_large_record(opened: Opener, soon: Soon) -> None:
    """Bytes already decrypted are handed out without waiting for the socket."""

    def handle(peer: Peer) -> None:
        peer.sock.sendall(b"x" * 10_000)
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        got = b""
        while len(got) < 10_000:
            got += stream.recv(999, soon(5))
        assert got == b"x" * 10_000


def test_a_read_takes_all_records_that_have_arrived(opened: Opener, soon: Soon) -> None:
    """A large body comes in many records, and each call of a read costs."""
    data = os.urandom(3 * RECORD_BYTES + 100)
    sent = threading.Event()

    def handle(peer: Peer) -> None:
        peer.sock.sendall(data)
        sent.set()
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        assert sent.wait(30)
        if not isinstance(stream, NestedTlsStream):
            poll_arrived(stream.sock, len(data))
            assert stream.read(64 * 1024, soon(), None) == data
            assert not stream.has_data_or_eof()


@pytest.mark.parametrize("record", [RECORD_BYTES, 4096, 5000])
@pytest.mark.parametrize("way", ["a view", "a pool"])
def test_a_read_into_a_buffer_takes_all_records(
    opened: Opener, soon: Soon, record: int, way: str
) -> None:
    """Those of a server that sends small records, too."""
    data = os.urandom(5 * record)
    sent = threading.Event()

    def handle(peer: Peer) -> None:
        for start in range(0, len(data), record):
            peer.sock.sendall(data[start : start + record])
        sent.set()
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        assert sent.wait(30)
        if isinstance(stream, NestedTlsStream):
            return
        poll_arrived(stream.sock, len(data))
        room = bytearray(len(data))
        with memoryview(room) as view:
            if way == "a view":
                assert stream._read_into_now(view) == len(data)
            else:
                piece = stream.read_pooled(BufferPool(len(data)), len(data), soon(), None)
                assert isinstance(piece, memoryview)
                view[:] = piece
        assert room == data
        assert not stream.has_data_or_eof()


def test_a_buffer_is_free_while_a_read_waits(opened: Opener, soon: Soon) -> None:
    """So bodies that come slowly share one."""
    pool = BufferPool(100)
    buffers: list[list[bytearray]] = []

    def handle(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.sock.sendall(b"late")
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        wait = stream._wait

        def watched(*how: Any) -> tuple[bool, bool]:
            if not buffers:
                buffers.append(list(pool._free))
                stream.send(b"?", soon())
            return wait(*how)

        stream._wait = watched
        assert stream.read_pooled(pool, 100, soon(), None) == b"late"
    assert [len(buffer) for buffer in buffers[0]] == [100]


@pytest.mark.parametrize("way", ["bytes", "a view", "a pool"])
@pytest.mark.parametrize("end", ["cut", "close_notify", "close_notify and no FIN"])
def test_the_end_behind_full_records_is_not_lost(
    opened: Opener, soon: Soon, end: str, way: str
) -> None:
    """It is read together with them; the next read tells it, and the connection is not quiet."""
    data = os.urandom(2 * RECORD_BYTES)
    ended, done = threading.Event(), threading.Event()

    def handle(peer: Peer) -> None:
        peer.sock.sendall(data)
        if end == "close_notify and no FIN" and isinstance(peer.sock, ssl.SSLSocket):
            peer.sock.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.sock.unwrap()
        else:
            peer.close(notify=end == "close_notify")
        ended.set()
        done.wait(30)

    with opened(handle) as (stream, _):
        assert ended.wait(30)
        got = b""
        while len(got) < len(data):
            if way == "bytes":
                got += stream.read(64 * 1024, soon(), None)
            elif way == "a pool":
                got += stream.read_pooled(BufferPool(64 * 1024), 64 * 1024, soon(), None)
            else:
                room = bytearray(64 * 1024)
                count = stream.read_into(memoryview(room), soon(), None)
                got += room[:count]
        assert got == data
        if end == "close_notify and no FIN" and not stream.is_tls:
            done.set()
            return
        poll(stream.has_data_or_eof, "the end, which a proxy may pass on later")
        if end == "cut" and stream.is_tls:
            with pytest.raises(ssl.SSLEOFError):
                stream.read(100, soon(), None)
        else:
            assert stream.read(100, soon(), None) == b""
            assert stream.recv(100, soon()) == b""
        done.set()


def poll_arrived(sock: socket.socket, size: int) -> None:
    """Wait until so many bytes have arrived on a socket; the sender has sent them already."""
    room = bytearray(2 * size)
    poll(lambda: socket.SocketType.recv_into(sock, room, 0, socket.MSG_PEEK) >= size, "the bytes")


def test_end_of_stream_is_empty(opened: Opener, soon: Soon) -> None:
    """A proper end (FIN; over TLS a close_notify) reads as no bytes."""

    def handle(peer: Peer) -> None:
        peer.sock.sendall(b"bye")
        peer.close()

    with opened(handle) as (stream, _):
        assert stream.recv(100, soon()) == b"bye"
        assert stream.recv(100, soon()) == b""


def test_tls_end_without_close_notify_is_an_error(opened: Opener, soon: Soon) -> None:
    """A TLS stream that just stops may have been cut: an error, never an end."""

    def handle(peer: Peer) -> None:
        peer.sock.sendall(b"half")
        peer.close(notify=False)

    with opened(handle) as (stream, _):
        assert stream.recv(100, soon()) == b"half"
        if stream.is_tls:
            with pytest.raises(ssl.SSLEOFError):
                stream.recv(100, soon())
        else:
            assert stream.recv(100, soon()) == b""


def test_silence_times_out(opened: Opener, echo: Handler, soon: Soon) -> None:
    """Reading from a silent peer ends at the deadline, and the stream still works after."""
    with opened(echo) as (stream, _):
        with pytest.raises(TimeoutError):
            stream.recv(100, soon(0.05))
        stream.send(b"x", soon())
        assert stream.recv(1, soon()) == b"x"


def test_deadline_ends_reading_from_a_peer_that_never_stops(opened: Opener, soon: Soon) -> None:
    """Data that is always there does not carry a read past its deadline."""

    def handle(peer: Peer) -> None:
        while True:
            peer.sock.sendall(b"x" * 65536)

    with opened(handle) as (stream, _):
        deadline = soon(0.1)
        with pytest.raises(TimeoutError):
            while True:
                stream.recv(65536, deadline)


def test_a_body_fills_a_buffer(opened: Opener, soon: Soon) -> None:
    """`read_into` fills the whole view, and `read` returns what is there."""
    data = os.urandom(300_000)

    def handle(peer: Peer) -> None:
        peer.sock.sendall(data)
        peer.close()

    with opened(handle) as (stream, _):
        buffer = bytearray(200_000)
        assert stream.read_into(memoryview(buffer), soon(), 10.0) == 200_000
        rest = b""
        while piece := stream.read(65536, soon(), 10.0):
            rest += piece
        assert bytes(buffer) + rest == data
        assert stream.read_into(memoryview(buffer), soon(), None) == 0


def test_bytes_before_a_failure_are_counted(opened: Opener, soon: Soon) -> None:
    """`read_into` returns what came before an error; the next read raises the error."""
    sent = threading.Event()

    def handle(peer: Peer) -> None:
        peer.sock.sendall(b"half")
        sent.set()
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        buffer = memoryview(bytearray(8))
        assert sent.wait(20)  # a busy server may need longer than the read below waits
        assert stream.read_into(buffer, soon(), 0.05) == 4
        assert bytes(buffer[:4]) == b"half"
        with pytest.raises(TimeoutError):
            stream.read_into(buffer, soon(5000), None)
        with pytest.raises(TimeoutError):
            stream.read(8, soon(), 0.05)


def test_deadline_ends_a_body_that_never_stops(opened: Opener, soon: Soon) -> None:
    """Reads that never wait heed the deadline, too."""

    def handle(peer: Peer) -> None:
        while True:
            peer.sock.sendall(b"x" * 65536)

    with opened(handle) as (stream, _):
        deadline, buffer = soon(0.05), memoryview(bytearray(10_000_000))
        with pytest.raises(TimeoutError):
            while stream.read_into(buffer, deadline, 10.0):
                pass
        deadline = soon(0.05)
        with pytest.raises(TimeoutError):
            while stream.read(65536, deadline, 10.0):
                pass


def test_others_may_run_beside_a_body_that_never_waits(opened: Opener, soon: Soon) -> None:
    """Without a pause, a fast server would keep a greenlet, or a halted run, from being heard."""
    pauses: list[float] = []

    def handle(peer: Peer) -> None:
        peer.sock.sendall(b"x" * 100_000)
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        stream.runtime = Pausing(stream.runtime, pauses)  # type: ignore[assignment]
        buffer = memoryview(bytearray(10))
        for _ in range(1000):
            assert stream.read_into(buffer, soon(), 10.0) == 10
        for _ in range(1000):
            assert stream.read(10, soon(), 10.0)
    assert len(pauses) >= 2 * 1000 // TRIES_IN_A_ROW - 2
    assert set(pauses) == {0.0}


def test_reading_many_small_records_lets_others_run(opened: Opener, soon: Soon) -> None:
    """Also into one buffer that has room for all of them."""
    pauses: list[float] = []
    sent = threading.Event()

    def handle(peer: Peer) -> None:
        for _ in range(300):
            peer.sock.sendall(b"x" * 100)
        sent.set()
        peer.sock.recv(1)

    with opened(handle) as (stream, _):
        assert sent.wait(30)
        if not stream.is_tls or isinstance(stream, NestedTlsStream):
            return
        poll_arrived(stream.sock, 30_000)
        stream.runtime = Pausing(stream.runtime, pauses)  # type: ignore[assignment]
        assert stream.read_into(memoryview(bytearray(30_000)), soon(), 10.0) == 30_000
    assert len(pauses) >= 300 // TRIES_IN_A_ROW
    assert set(pauses) == {0.0}


class Pausing:
    """A runtime that notes its pauses."""

    def __init__(self, inner: Runtime, pauses: list[float]) -> None:
        self._inner = inner
        self.sleep = pauses.append

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_writing_lets_others_run(opened: Opener, soon: Soon) -> None:
    """An upload whose peer is as fast as its body pauses now and then: it never waits."""
    pauses: list[float] = []

    def handle(peer: Peer) -> None:
        while peer.sock.recv(100_000):
            pass

    with opened(handle) as (stream, _):
        socket_stream = getattr(stream, "_carrier", stream)
        socket_stream.runtime = Pausing(stream.runtime, pauses)
        for _ in range(1000):
            stream.send_until_response(b"x", soon())
    assert len(pauses) >= 1000 // TRIES_IN_A_ROW - 1
    assert set(pauses) == {0.0}


def test_stalled_upload_times_out(opened: Opener, soon: Soon) -> None:
    """Writing to a peer that does not read ends at the deadline."""
    gates: list[Gate] = []

    def handle(peer: Peer) -> None:
        gates.append(peer.server.gate())
        gates[-1].wait()

    with opened(handle) as (stream, server):
        with pytest.raises(TimeoutError):
            stream.send(b"x" * 50_000_000, soon(0.2))
        server.wait_for(lambda: bool(gates))
        gates[0].open()


def test_upload_stops_at_an_early_answer(opened: Opener, soon: Soon) -> None:
    """When the peer answers and reads no further, the write returns and the answer is there."""
    gates: list[Gate] = []

    def handle(peer: Peer) -> None:
        gates.append(peer.server.gate())
        peer.sock.recv(1000)
        peer.sock.sendall(b"413")
        gates[-1].wait()

    with opened(handle) as (stream, _):
        data = b"x" * 50_000_000
        sent = stream.send_until_response(data, soon())
        assert 0 < sent < len(data)
        assert stream.recv(100, soon()) == b"413"
        gates[0].open()


def test_upload_without_answer_is_sent_whole(opened: Opener, soon: Soon) -> None:
    """Tickets that arrive during an upload are no answer: everything is sent, byte for byte."""
    data = os.urandom(3_000_000)
    got = bytearray()

    def handle(peer: Peer) -> None:
        while len(got) < len(data):
            got.extend(peer.sock.recv(100_000))
        peer.sock.sendall(b"thanks")

    with opened(handle) as (stream, _):
        assert stream.send_until_response(data, soon()) == len(data)
        assert stream.recv(100, soon()) == b"thanks"
    assert bytes(got) == data


def test_idle_connection_is_alive_after_its_tickets(
    opened: Opener, echo: Handler, soon: Soon, runtime: Runtime
) -> None:
    """Session tickets make an idle TLS socket readable; the probe takes them in and says alive.

    It cannot say so if one arrives in the moment between its look and its read. Not each time.
    """
    found = []
    while True not in found:
        assert len(found) < 8
        with opened(echo) as (stream, _):
            if stream.tls_version == "TLSv1.3" and stream.sock.fileno() >= 0:
                runtime.wait(stream.sock, True, False, soon(1))
            found.append(not stream.has_data_or_eof())
            stream.send(b"again", soon())
            assert stream.recv(100, soon()) == b"again"
            assert not stream.has_data_or_eof()


def test_replaced_methods_of_tls_sockets_are_called(
    opened: Opener, echo: Handler, soon: Soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`send` on streams that are open, too: a program may count what goes out."""
    calls: list[tuple[str, object]] = []  # the server, too, has such a socket

    def noting(name: str) -> Callable[..., object]:
        original = getattr(ssl.SSLSocket, name)

        def method(*args: object) -> object:
            calls.append((name, args[0]))
            return original(*args)

        return method

    with opened(echo) as (early, _):
        for name in ("send", "read"):
            monkeypatch.setattr(ssl.SSLSocket, name, noting(name))
        with opened(echo) as (late, _):
            for stream, names in ((early, ["send"]), (late, ["send", "read"])):
                if type(stream.sock) is not ssl.SSLSocket:
                    continue
                assert stream.send_until_response(b"ask", soon()) == 3
                assert stream.recv(100, soon()) == b"ask"
                own = [name for name, sock in calls if sock is stream.sock]
                assert list(dict.fromkeys(own)) == names


@pytest.mark.parametrize("end", ["fin", "farewell", "reset", "data"])
def test_probe_sees_what_happened_while_idle(
    opened: Opener, soon: Soon, runtime: Runtime, end: str
) -> None:
    """An idle connection that was closed, reset, or got bytes nobody asked for is not reusable."""

    def handle(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.sock.sendall(b"answer")
        peer.sock.recv(100)
        if end == "data":
            peer.sock.sendall(b"unasked")
            peer.sock.recv(1)
        elif end == "reset":
            peer.reset()
        else:
            peer.close(notify=end == "farewell")

    with opened(handle) as (stream, _):
        stream.send(b"ask", soon())
        assert stream.recv(100, soon()) == b"answer"
        assert not stream.has_data_or_eof()
        stream.send(b"now", soon())
        while not stream.has_data_or_eof():
            assert any(runtime.wait(stream.sock, True, False, soon(5)))


@pytest.mark.parametrize("size", [4, 10])
def test_the_rest_of_a_record_is_there_at_once(
    opened: Opener, echo: Handler, soon: Soon, size: int
) -> None:
    """TLS has decrypted it, so the descriptor does not tell of it; nor is the connection quiet."""
    with opened(echo) as (stream, _):
        for _ in range(2):
            stream.send(b"0123456789", soon())
            assert stream.recv(size, soon()) == b"0123456789"[:size]
            if size < 10:
                assert stream.recv(100, soon()) == b"456789"
            assert not stream.has_data_or_eof()
        stream.send(b"0123456789", soon())
        assert stream.recv(4, soon()) == b"0123"
        assert stream.has_data_or_eof()


def test_a_socket_that_the_caller_has_closed_is_unfit(
    opened: Opener, echo: Handler, soon: Soon
) -> None:
    """Also where another socket has got its number since."""
    with opened(echo) as (stream, _):
        # Tickets come before the data: one that arrives during the look below would count.
        stream.send(b"ask", soon())
        assert stream.recv(100, soon()) == b"ask"
        assert not stream.has_data_or_eof()
        # Taken over in one step: a server that waits in `accept` reserves a number that is free.
        number = stream.sock.detach()
        stream.sock.close()
        one, other = socket.socketpair()
        with one, other:
            os.dup2(one.fileno(), number)
            try:
                assert stream.has_data_or_eof()
                with pytest.raises((OSError, ValueError)):
                    stream.recv(10, Deadline.never())
            finally:
                os.close(number)


def test_a_replaced_poll_is_not_kept(
    opened: Opener, echo: Handler, soon: Soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gevent's poll objects belong to one thread; each wait makes its own."""
    made = []

    class Poll:
        def __init__(self) -> None:
            made.append(self)
            self.real = real()

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    real = select.poll
    monkeypatch.setattr(select, "poll", Poll)
    with opened(echo) as (stream, _):
        stream.send(b"ask", soon())  # its answer comes behind the tickets of TLS
        assert stream.recv(100, soon()) == b"ask"
        for _ in range(2):
            before = len(made)
            assert not stream.has_data_or_eof()
            stream.send(b"hello", soon())
            assert stream.recv(100, soon()) == b"hello"
            assert len(made) >= before + 1


def test_close_is_final_and_quiet(opened: Opener, echo: Handler, no_fd_leak: None) -> None:
    """Closing twice is closing once; the peer sees a proper end; nothing is left open."""
    with opened(echo) as (stream, server):
        stream.close()
        stream.close()
        assert stream.is_closed and stream.has_data_or_eof()
        server.wait_for(lambda: bool(server.connections) and server.open_count == 0)
        assert not server.errors


def test_abandon_sends_nothing(opened: Opener, soon: Soon, no_fd_leak: None) -> None:
    """Abandoning closes the descriptor without a farewell, as for one that belongs to a parent."""
    seen: list[object] = []

    def handle(peer: Peer) -> None:
        try:
            peer.sock.sendall(b"x")
            seen.append(peer.sock.recv(100))
        except OSError as error:
            seen.append(type(error))

    with opened(handle) as (stream, server):
        # Reads the tickets of TLS 1.3 too: what is left unread at the close becomes a reset.
        assert stream.recv(1, soon()) == b"x"
        stream.abandon()
        stream.abandon()
        server.wait_for(lambda: bool(seen) and server.open_count == 0)
        # Over TLS an end without close_notify is what the peer has to see.
        assert seen in ([b""], [ssl.SSLEOFError])
        assert stream.is_closed


def test_parent_keeps_its_connection_when_a_child_abandons_it(
    opened: Opener, echo: Handler, soon: Soon
) -> None:
    """After a fork, the child's abandoning leaves the parent's stream in working order."""
    with opened(echo) as (stream, _):
        child = os.fork()
        if child == 0:
            stream.abandon()
            os._exit(0)
        os.waitpid(child, 0)
        stream.send(b"still here", soon())
        assert stream.recv(100, soon()) == b"still here"


def test_facts_of_the_connection(opened: Opener, echo: Handler) -> None:
    """A stream tells which TLS it speaks; a plain one tells that it speaks none."""
    with opened(echo) as (stream, _):
        assert isinstance(stream.sock, socket.socket)
        assert stream.sock.gettimeout() == 0.0
        if stream.is_tls:
            assert stream.tls_version in ("TLSv1.2", "TLSv1.3")
            assert stream.cipher and stream.getpeercert(True) and stream.getpeercert()
        else:
            assert (stream.tls_version, stream.cipher, stream.getpeercert()) == (None, None, None)
        assert stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
