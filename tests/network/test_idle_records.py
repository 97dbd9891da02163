"""What lies on an idle TLS connection is told by whole records, never by a part of one."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import pytest

from pooledhttp.network import Connector, Proxy, Route, Stream, TlsSettings
from pooledhttp.network.tls.record_ends import RecordEnds
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.network.test_stream import speak_connect
from tests.support.certificates import Authority
from tests.support.programs import poll
from tests.support.records import RecordPeer
from tests.support.scripted import Peer, ScriptedServer

Soon = Callable[..., Deadline]

#: Makes the bytes that come while the connection is idle, of tickets and of a record with data.
Makes = Callable[[bytes, bytes], bytes]


class Idle(NamedTuple):
    """An idle stream, and a function that has the server send, and waits for the bytes."""

    stream: Stream
    send: Callable[[], None]


Opener = Callable[..., "AbstractContextManager[Idle]"]


@pytest.fixture(params=["tls1.2", "tls1.3", "nested", "outer"])
def idle(
    request: pytest.FixtureRequest, authority: Authority, runtime: Runtime, soon: Soon
) -> Opener:
    """Opens a stream to a server that sends parts of records while the stream is idle.

    With `nested` these are records of the inner TLS, with `outer` of the proxy's.
    """
    kind: str = request.param
    is_proxied = kind in ("nested", "outer")
    version = ssl.TLSVersion.TLSv1_2 if kind == "tls1.2" else ssl.TLSVersion.TLSv1_3
    context = authority.new_server_context()
    context.minimum_version = context.maximum_version = version
    trust = TlsSettings(ca_certs=authority.bundle)

    @contextmanager
    def open_to(makes: Makes, *, has_tickets: bool = True) -> Iterator[Idle]:
        def handle(peer: Peer) -> None:
            tls = RecordPeer.over(peer.sock, context)
            tickets, transmit, wrap = tls.handshake(), peer.sock.sendall, bytes
            if is_proxied:
                transmit(tickets)
                outer = tls
                outer.read()
                outer.send(b"HTTP/1.1 200 OK\r\n\r\n")
                tls = RecordPeer(outer.read, outer.send, context)
                tickets = tls.handshake()
                if kind == "nested":
                    transmit = outer.send
                else:
                    wrap = outer.encrypt
            if not has_tickets:
                transmit(wrap(tickets))
                tickets = b""
                gate.wait()
            transmit(makes(wrap(tickets) if tickets else b"", wrap(tls.encrypt(b"unasked"))))
            peer.wait_closed()

        with ScriptedServer(handle) as server:
            gate = server.gate()
            proxy = Proxy("https", "127.0.0.1", server.port, tls=trust)
            route = Route(
                "https",
                "127.0.0.1",
                server.port,
                trust,
                proxy if is_proxied else None,
            )
            stream = Connector(runtime, tunnel=speak_connect).connect(route, soon())

            def send() -> None:
                gate.open()
                assert any(runtime.wait(stream.sock, True, False, soon()))

            try:
                yield Idle(stream, send)
            finally:
                stream.close()

    return open_to


@pytest.mark.parametrize("count", [1, 4, 5, 6, 20, -1])
@pytest.mark.parametrize("has_tickets", [False, True])
def test_a_part_of_a_record_is_not_quiet(idle: Opener, count: int, has_tickets: bool) -> None:
    """What it will be is not known; as data, it would be the response to the next request."""
    with idle(lambda tickets, record: tickets + record[:count], has_tickets=has_tickets) as found:
        found.send()
        poll(found.stream.has_data_or_eof, "the part of a record")


@pytest.mark.parametrize("count", [1, 5, 30, -1])
def test_a_part_of_a_ticket_costs_a_connection(idle: Opener, count: int) -> None:
    """It cannot be told from a part of a record with data."""
    with idle(lambda tickets, record: (tickets or record)[:count]) as found:
        found.send()
        poll(found.stream.has_data_or_eof, "the part of a ticket")


@pytest.mark.parametrize("has_tickets", [False, True])
def test_data_is_not_quiet(idle: Opener, has_tickets: bool) -> None:
    """Also behind tickets."""
    with idle(lambda tickets, record: tickets + record, has_tickets=has_tickets) as found:
        found.send()
        poll(found.stream.has_data_or_eof, "the data")


def test_whole_tickets_are_quiet(idle: Opener) -> None:
    """They are taken in, and the connection is good for another request."""
    with idle(lambda tickets, record: tickets or record) as found:
        found.send()
        has_none = found.stream.tls_version == "TLSv1.2"
        for _ in range(2):
            assert found.stream.has_data_or_eof() is has_none


RECORDS = b"\x17\x03\x03\x00\x02ab" + b"\x16\x03\x03\x00\x00" + b"\x17\x03\x03\x01\x00" + b"c" * 256


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 12, 100, len(RECORDS)])
def test_ends_of_records_are_found_in_any_pieces(size: int) -> None:
    """The state is told after each piece, however the headers are cut."""
    ends = RecordEnds()
    assert ends.is_at_end
    for at in range(0, len(RECORDS), size):
        piece = RECORDS[at : at + size]
        ends.feed(piece)
        assert ends.is_at_end is (at + len(piece) in (7, 12, len(RECORDS)))
    assert ends.is_at_end
