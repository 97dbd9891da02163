r"""The server side of TLS in memory: a test decides which bytes of which record go out, and when.

`ScriptedServer(handler)` without `tls=`, whose handler makes one::

    tls = RecordPeer.over(peer.sock, context)
    tls.handshake()
    request = tls.read()
    record = tls.encrypt(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.send(record[:7])

With `RecordPeer(outer.read, outer.send, context)` it is TLS in TLS.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from tests.support.scripted import PeerGone

__all__ = ["RecordPeer"]


class RecordPeer:
    """Speaks TLS as a server.

    Args:
        receive: Waits for ciphertext of the client; `b""` at its end.
        transmit: Sends ciphertext.
        context: A server-side context.
    """

    def __init__(
        self,
        receive: Callable[[], bytes],
        transmit: Callable[[bytes], None],
        context: ssl.SSLContext,
    ) -> None:
        self._receive, self._transmit = receive, transmit
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    @classmethod
    def over(cls, sock: socket.socket, context: ssl.SSLContext) -> RecordPeer:
        """Speak TLS over a plain socket."""
        return cls(lambda: sock.recv(65536), sock.sendall, context)

    def handshake(self) -> bytes:
        """Do the handshake.

        Returns:
            The session tickets of TLS 1.3, which are not sent: they go out before anything else.
        """
        self._run(self._tls.do_handshake)
        last = self._outgoing.read()
        if self._tls.version() == "TLSv1.3":
            return last
        self._transmit(last)
        return b""

    def read(self) -> bytes:
        """Wait for bytes of the client."""
        data: list[bytes] = []
        self._run(lambda: data.append(self._tls.read(65536)))
        if not data[0]:
            raise PeerGone("the client closed TLS")
        return data[0]

    def encrypt(self, data: bytes) -> bytes:
        """Make a record, and send nothing."""
        self._tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Send bytes in a record."""
        self._transmit(self.encrypt(data))

    def _run(self, act: Callable[[], object]) -> None:
        while True:
            try:
                act()
                return
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    self._transmit(self._outgoing.read())
                data = self._receive()
                if not data:
                    raise PeerGone("the client closed the connection") from None
                self._incoming.write(data)
