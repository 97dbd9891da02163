"""A body that stalls or breaks off, as the results of a bulk run name it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pooledhttp
from pooledhttp import Timeout, bulk
from pooledhttp.bulk.backends import EngineName
from pooledhttp.bulk.bodies import translate
from tests.support.engines import engine
from tests.support.scripted import Peer, ScriptedServer, respond

__all__ = ["engine"]


def stalls(peer: Peer) -> None:
    """Send a part of a body that is too long to be read with its head, and no more."""
    peer.read_request()
    peer.send(respond(b"x" * 300_000, length=400_000))
    peer.wait_closed()


def breaks_off(peer: Peer) -> None:
    """Send the same part, and close."""
    peer.read_request()
    peer.send(respond(b"x" * 300_000, length=400_000))


@pytest.mark.parametrize(
    ("server", "kind"), [(stalls, "BodyTimeout"), (breaks_off, "ChunkedEncodingError")]
)
def test_fetch_and_download_name_the_same_error(
    tmp_path: Path, engine: EngineName, server: object, kind: str
) -> None:
    """It is the class that a `Response` raises, into a file as into memory."""
    timeout = Timeout(connect=10, read=0.3)
    with ScriptedServer(server) as scripted:  # type: ignore[arg-type]
        urls = [scripted.url("/a")]
        (fetched,) = bulk.fetch(urls, timeout=timeout, retries=0, engine=engine)
        (file,) = bulk.download(urls, tmp_path, timeout=timeout, retries=0, engine=engine)
    assert type(fetched.error) is getattr(pooledhttp.exceptions, kind)
    assert file.kind == kind and not file.ok


def test_errors_of_the_disk_stay_what_they_are() -> None:
    """Only those of a body are translated."""
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        assert translate(error) is error
