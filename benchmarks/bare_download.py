"""The least that a download costs in Python: connections, an event loop, a parser and files.

It knows no errors, limits, retries or results, and leaves half of the work when it is killed. What
`bulk.download` takes beyond it is the price of these.

    python -m benchmarks.bare_download BUNDLE LIST DIRECTORY [journal] [imports]

    journal   three statements of SQLite for each file, in one transaction
    imports   the modules that a program with `bulk.download` loads
"""

from __future__ import annotations

import os
import selectors
import socket
import sqlite3
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httptools

__all__ = ["main"]

_CONNECTIONS = 32


class _Journal:
    """What becomes of each file, as a run that can be gone on with has to note it."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("create table files (url text primary key, state int, size int)")

    def note(self, url: str, size: int) -> None:
        """Note that a file is wanted, received, and has its name."""
        run = self._database.execute
        run("insert into files values (?, 0, null)", (url,))
        run("update files set state = 1, size = ? where url = ?", (size, url))
        run("update files set state = 2 where url = ?", (url,))

    def close(self) -> None:
        """Commit."""
        self._database.commit()
        self._database.close()


class _Connection:
    """One connection, and the file that comes over it."""

    def __init__(self, sock: ssl.SSLSocket, host: str, out: str, journal: _Journal | None) -> None:
        self.sock = sock
        self._host = host
        self._out = out
        self._journal = journal

    def ask(self, path: str) -> None:
        """Send the request for a file."""
        self._path, self._pieces, self._is_complete = path, list[bytes](), False
        self._parser = httptools.HttpResponseParser(self)
        self.sock.send(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def read(self) -> bool:
        """Read what has come; return whether the file was complete, and is stored."""
        try:
            self._parser.feed_data(self.sock.recv(65536))
        except ssl.SSLWantReadError:
            return False
        if self._is_complete:
            self._store()
        return self._is_complete

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body; the parser calls this."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Take the end of the response; the parser calls this."""
        self._is_complete = True

    def _store(self) -> None:
        part, name = f"{self._out}/.part-{self._path[1:]}", self._out + self._path
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        size = sum(os.write(fd, piece) for piece in self._pieces)
        os.close(fd)
        os.link(part, name)  # which replaces no other file
        os.unlink(part)
        if self._journal is not None:
            self._journal.note(self._path, size)


def _connections(
    bundle: str, url: str, out: str, journal: _Journal | None
) -> Iterator[_Connection]:
    context = ssl.create_default_context(cafile=bundle)
    parts = urlsplit(url)
    assert parts.hostname is not None
    for _ in range(_CONNECTIONS):
        sock = socket.create_connection((parts.hostname, parts.port or 443))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(sock, server_hostname=parts.hostname)
        secure.setblocking(False)
        yield _Connection(secure, parts.netloc, out, journal)


def main(bundle: str, listed: str, out: str, *options: str) -> None:
    """Download all URLs of a list, which are those of one host."""
    if "imports" in options:
        from pooledhttp import bulk

        bulk.download  # noqa: B018  # which loads what it needs
    urls = Path(listed).read_text().split()
    journal = _Journal(f"{out}/journal.sqlite3") if "journal" in options else None
    paths = (urlsplit(url).path for url in urls)
    selector = selectors.DefaultSelector()
    for connection in _connections(bundle, urls[0], out, journal):
        connection.ask(next(paths))
        selector.register(connection.sock, selectors.EVENT_READ, connection)
    while selector.get_map():
        for key, _ in selector.select():
            if not key.data.read():
                continue
            path = next(paths, None)
            if path is None:
                selector.unregister(key.fileobj)
                key.data.sock.close()
            else:
                key.data.ask(path)
    if journal is not None:
        journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
