"""Bodies of a bulk run over TLS that breaks."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pooledhttp import Session, bulk
from pooledhttp.bulk.backends import EngineName
from tests.support.certificates import Authority
from tests.support.engines import engine
from tests.support.scripted import Peer, ScriptedServer, answering, respond

__all__ = ["engine"]


def damages(peer: Peer) -> None:
    """Send a part of a body, and then what is no record of TLS."""
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
    with socket.socket(fileno=peer.sock.detach()) as plain:
        plain.settimeout(20)  # a detached socket has lost its own
        plain.sendall(b"rubbish in the clear")
        plain.recv(65536)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_damaged_record_is_tried_again(
    tmp_path: Path, authority: Authority, engine: EngineName, retries: int
) -> None:
    """As every body that breaks off; without retries, the result names the error."""
    servers = [damages, answering(respond(b"abcdef"))]
    with ScriptedServer(servers, tls=authority.server_context()) as server, Session() as session:
        session.verify = authority.bundle
        url = server.url("/file", host="localhost")
        (result,) = bulk.download([url], tmp_path, session, retries=retries, engine=engine)
    if retries:
        assert result.ok and (tmp_path / "file").read_bytes() == b"abcdef"
    else:
        assert result.kind == "SSLError" and "[SSL: " in str(result.problem)
        assert not (tmp_path / "file").exists()
