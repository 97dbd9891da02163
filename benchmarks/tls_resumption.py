"""CPU of a new TLS connection, without and with resumption of an earlier session.

A server runs in a process of its own, with a certificate of a throw-away CA. Counted is the CPU
time of this process alone (`time.process_time`, user and system), so what the server saves beside
it is not in the figures, and neither is the network. Names come out of a table: looking them up has
nothing to do with TLS. Two things are measured:

    connection   a connection, one request of a few bytes on it, the close
    GET          the same through a `Session` whose connections are used once

Rounds with and without take turns and the best of each is taken, since machines are shared.

    python benchmarks/tls_resumption.py [--connections 300] [--rounds 7] [--key ECDSA] [--check]

`--check` fails unless a connection takes 25 % less with TLS 1.2 and 12 % less with TLS 1.3.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import trustme

from pooledhttp import PoolConfig, Session
from pooledhttp.network import Connector, Route, SessionStore, StaticResolver, TlsSettings
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline
from pooledhttp.transport import TransportManager

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
WANTED = {"TLS 1.2": 0.25, "TLS 1.3": 0.12}

NAMES = StaticResolver({"localhost": ["127.0.0.1"]})

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class NothingKept(SessionStore):
    """A store that forgets, at no cost."""

    def wants_another(self, key: object, was_offered: bool, was_resumed: bool) -> bool:
        """Never."""
        return False


def serve(folder: str, version: ssl.TLSVersion, port: Connection) -> None:
    """Answer every request until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/chain.pem", f"{folder}/key.pem")
    context.minimum_version = context.maximum_version = version
    # As nginx does it, where tickets serve as well; Python's own default is two tickets.
    context.num_tickets = 1

    def answer(sock: socket.socket) -> None:
        try:
            with context.wrap_socket(sock, server_side=True) as tls:
                while tls.recv(4096):
                    tls.sendall(ANSWER)
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port.send(listener.getsockname()[1])
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=answer, args=(sock,), daemon=True).start()


def connections(port: int, settings: TlsSettings, store: SessionStore) -> Callable[[int], None]:
    """What makes connections with a connector, and nothing else."""
    connector = Connector(default_runtime(), sessions=store, resolver=NAMES)
    route = Route("https", "localhost", port, settings)
    never = Deadline.never()

    def run(count: int) -> None:
        for _ in range(count):
            stream = connector.connect(route, never)
            stream.send(REQUEST, never)
            stream.recv(4096, never)
            stream.remember_session()
            stream.close()

    return run


def gets(port: int, settings: TlsSettings, store: SessionStore) -> Callable[[int], None]:
    """What makes them with a session."""
    session = Session(pool=TransportManager(PoolConfig(max_requests=1), resolver=NAMES))
    session.verify = settings.ca_certs
    session.trust_env = False
    session.pool.connector.sessions = store

    def run(count: int) -> None:
        for _ in range(count):
            assert session.get(f"https://localhost:{port}/").content == b"ok"

    return run


def measure(run: Callable[[int], None], count: int) -> float:
    """Seconds of CPU per connection."""
    started = time.process_time()
    run(count)
    return (time.process_time() - started) / count


def compare(name: str, port: int, bundle: str, count: int, rounds: int) -> float:
    """Print both figures for both ways; returns what a connection saves, as a part of one."""
    settings = TlsSettings(ca_certs=bundle)
    saved = {}
    for what, make in {"connection": connections, "GET": gets}.items():
        runs = (make(port, settings, NothingKept()), make(port, settings, SessionStore()))
        for run in runs:
            run(20)  # contexts are made, the first session is there
        best = [
            min(times)
            for times in zip(
                *([measure(run, count) for run in runs] for _ in range(rounds)), strict=True
            )
        ]
        saved[what] = 1 - best[1] / best[0]
        print(
            f"{name}  {what:<10}  without {best[0] * 1e6:6.0f} us   with {best[1] * 1e6:6.0f} us"
            f"   {saved[what]:6.1%} less"
        )
    return saved["connection"]


def main() -> int:
    """Measure both versions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=300, help="in one round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--key", choices=["RSA", "ECDSA"], default="RSA", help="of the server")
    parser.add_argument("--check", action="store_true", help="fail where too little is saved")
    wish = parser.parse_args()
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", key_type=trustme.KeyType[wish.key])
        bundle = str(Path(folder, "ca.pem"))
        authority.cert_pem.write_to_path(bundle)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        Path(folder, "chain.pem").write_bytes(chain)
        issued.private_key_pem.write_to_path(str(Path(folder, "key.pem")))
        for name, version in VERSIONS.items():
            ours, theirs = multiprocessing.Pipe()
            server = multiprocessing.get_context("spawn").Process(
                target=serve, args=(folder, version, theirs), daemon=True
            )
            server.start()
            saved = compare(name, ours.recv(), bundle, wish.connections, wish.rounds)
            is_good = is_good and saved >= WANTED[name]
            server.terminate()
            server.join()
    return 0 if is_good or not wish.check else 1


if __name__ == "__main__":
    sys.exit(main())
