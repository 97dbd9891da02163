"""CPU of a new TLS connection, without and with resumption of an earlier session.

Counted is the CPU time of the client's process (`time.process_time_ns`, user and system, all its
threads); the server has a process of its own, and what it saves beside is not in the figures. Two
things are measured, each of which makes a connection, sends one request on it and closes it:

    connection   a connector, and the bytes of the request written by hand
    GET          `Session.get` with the defaults, name lookup included

The server shows a certificate of a throw-away authority, and with it that of an intermediate one,
as public servers do; `--direct` leaves the intermediate one out, which makes a full handshake
cheaper than any on the Internet.

One connection without resumption and one with it take turns; the figures are medians. Client and
server share one processor where the system lets them: on two they would spin for each other's locks
in the loopback device, and that would be counted.

    python benchmarks/tls_resumption.py [--connections 400] [--key ECDSA] [--direct] [--check]

`--check` fails unless both take 25 % less with TLS 1.2 and 12 % less with TLS 1.3.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import ssl
import statistics
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


def share_one_processor() -> None:
    """Keep this process, and those it starts, on one processor."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def serve(folder: str, version: ssl.TLSVersion, port: Connection) -> None:
    """Answer every request until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/chain.pem", f"{folder}/key.pem")
    context.minimum_version = context.maximum_version = version

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
    """What makes them with a session, each of whose connections is used once."""
    session = Session(pool=PoolConfig(max_requests=1))
    session.verify = settings.ca_certs
    session.trust_env = False
    session.pool.connector.sessions = store
    url = f"https://localhost:{port}/"

    def run(count: int) -> None:
        for _ in range(count):
            assert session.get(url).content == b"ok"

    return run


def microseconds(run: Callable[[int], None]) -> float:
    """The CPU that one connection takes."""
    started = time.process_time_ns()
    run(1)
    return (time.process_time_ns() - started) / 1000


def compare(name: str, port: int, bundle: str, count: int) -> float:
    """Print what both ways of connecting take; returns the smaller saving, as a part of one."""
    settings = TlsSettings(ca_certs=bundle)
    saved = []
    for what, make in {"connection": connections, "GET": gets}.items():
        full, resumed = make(port, settings, NothingKept()), make(port, settings, SessionStore())
        for run in (full, resumed):
            run(20)  # contexts are made, the first session is there
        pairs = [(microseconds(full), microseconds(resumed)) for _ in range(count)]
        without, with_it = map(statistics.median, zip(*pairs, strict=True))
        saved.append(1 - with_it / without)
        print(
            f"{name}  {what:<10}  without {without:6.0f} us   with {with_it:6.0f} us"
            f"   {saved[-1]:6.1%} less",
            flush=True,
        )
    return min(saved)


def make_certificates(folder: str, key: str, is_direct: bool) -> str:
    """Write what the server needs into `folder`; returns the file of what the client trusts."""
    authority = trustme.CA()
    issuer = authority if is_direct else authority.create_child_ca()
    issued = issuer.issue_cert("localhost", key_type=trustme.KeyType[key])
    bundle = str(Path(folder, "ca.pem"))
    authority.cert_pem.write_to_path(bundle)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    Path(folder, "chain.pem").write_bytes(chain)
    issued.private_key_pem.write_to_path(str(Path(folder, "key.pem")))
    return bundle


def main() -> int:
    """Measure both versions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=400, help="of each kind")
    parser.add_argument("--key", choices=["RSA", "ECDSA"], default="RSA", help="of the server")
    parser.add_argument("--direct", action="store_true", help="no intermediate certificate")
    parser.add_argument("--check", action="store_true", help="fail where too little is saved")
    wish = parser.parse_args()
    share_one_processor()
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_certificates(folder, wish.key, wish.direct)
        for name, version in VERSIONS.items():
            ours, theirs = multiprocessing.Pipe()
            server = multiprocessing.get_context("spawn").Process(
                target=serve, args=(folder, version, theirs), daemon=True
            )
            server.start()
            saved = compare(name, ours.recv(), bundle, wish.connections)
            is_good = is_good and saved >= WANTED[name]
            server.terminate()
            server.join()
    return 0 if is_good or not wish.check else 1


if __name__ == "__main__":
    sys.exit(main())
