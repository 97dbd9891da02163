"""The demo's server and its emulated distance, each lower bound of time a fact, not luck."""

from __future__ import annotations

import asyncio
import time

from pooledhttp.cli.origin import Relay, Server

ROUND_TRIP = 0.04


async def _ask(count: int, *, last_closes: bool) -> tuple[list[float], bytes]:
    """Send requests one after the other over one connection; the seconds each took, all bytes.

    The first one's seconds begin with the connection.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(100), "127.0.0.1", 0)
    relay = Relay(server.sockets[0].getsockname()[1], ROUND_TRIP)
    front = await loop.create_server(relay, "127.0.0.1", 0)
    times, seen = [], b""
    try:
        port = front.sockets[0].getsockname()[1]
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(count):
            closes = last_closes and number == count - 1
            writer.write(
                b"GET /n%d HTTP/1.1\r\nHost: x\r\n%s\r\n"
                % (number, b"Connection: close\r\n" if closes else b"")
            )
            head = await reader.readuntil(b"\r\n\r\n")
            seen += head + await reader.readexactly(100)
            times.append(time.monotonic() - began)
            began = time.monotonic()
        if last_closes:
            seen += await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        front.close()
        server.close()
    await _ended(relay)
    return times, seen


async def _ended(relay: Relay) -> None:
    """Wait until the ends of all connections have come through, which takes a while, too."""
    async with asyncio.timeout(20):
        while relay.open_sides:
            await asyncio.sleep(0.001)
    for _ in range(5):  # the server's side hears of its end a turn or two later
        await asyncio.sleep(0)


def test_a_request_takes_a_round_trip_and_a_connections_first_two() -> None:
    """The second one stands for the TCP handshake that loopback does not make one wait for."""
    times, _ = asyncio.run(_ask(3, last_closes=False))
    assert times[0] >= 2 * ROUND_TRIP * 0.98
    assert all(each >= ROUND_TRIP * 0.98 for each in times[1:])


def test_answers_are_of_one_size_and_tell_what_was_asked() -> None:
    """And the connection ends only when that was asked for."""
    _, seen = asyncio.run(_ask(2, last_closes=True))
    assert seen.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert seen.count(b"Content-Length: 100") == 2
    assert b"/n0\n/n0\n" in seen and b"/n1\n/n1\n" in seen
    assert seen.count(b"Connection: close") == 1


def test_nothing_is_lost_or_swapped_on_the_way() -> None:
    """Many pieces sent at once come out in order."""

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        got: asyncio.Future[bytes] = loop.create_future()

        async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.set_result(await reader.read())
            writer.close()

        server = await asyncio.start_server(collect, "127.0.0.1", 0)
        relay = Relay(server.sockets[0].getsockname()[1], 0.01)
        front = await loop.create_server(relay, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*front.sockets[0].getsockname()[:2])
        for number in range(2000):
            writer.write(b"%05d" % number)
        writer.close()
        await writer.wait_closed()
        seen = await got
        front.close()
        server.close()
        await _ended(relay)
        return seen

    assert asyncio.run(run()) == b"".join(b"%05d" % number for number in range(2000))
