"""One connected byte stream: a TCP or Unix socket, with or without TLS.

    Stream                     the socket itself, without TLS
    └── SecureStream           the base class of streams with TLS           tls.stream
        ├── TlsStream          TLS on a socket (`ssl.SSLSocket`)            tls.stream
        └── NestedTlsStream    TLS inside another stream                    tls.nested

Every socket is non-blocking. To wait, the code calls the runtime with a deadline, so the same code
runs on threads and in greenlets. `send` tries before it waits, because the send buffer is nearly
always empty. Reading is in the base class, `ReadSide`.

One exchange at a time uses a stream, so it has no lock. A timeout is the builtin TimeoutError.
Other errors of the socket or of TLS are raised unchanged, and `http1` translates them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from pooledhttp.network.stream_reading import ReadSide

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["Buffer", "Stream", "close_socket"]

Buffer = bytes | bytearray | memoryview


class Stream(ReadSide):
    """A connected, non-blocking byte stream.

    Args:
        sock: A connected, non-blocking socket; the stream owns it from now on.
        runtime: How this thread or greenlet waits.
    """

    __slots__ = ()

    is_tls = False

    def send(self, data: Buffer, deadline: Deadline) -> None:
        """Write all of `data`; wait while the send buffer is full.

        Args:
            data: What to write; small data is written in one call.
            deadline: When to stop waiting.

        Raises:
            TimeoutError: Not all of it was accepted in time.
            OSError: The connection broke.
            ssl.SSLError: TLS failed.
        """
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data), deadline, False, sent)

    def send_until_response(self, data: Buffer, deadline: Deadline) -> int:
        """Write `data`; stop when the write would block and bytes have arrived.

        A server may respond before it has read the whole request, and then stop reading. A client
        that only writes would wait forever.

        Args:
            data: What to write.
            deadline: When to stop waiting.

        Returns:
            How many bytes were accepted; fewer than `len(data)` means there is something to read,
            a response or the end.

        Raises:
            TimeoutError: The write blocked, and no bytes arrived, until the deadline.
            OSError: The connection broke before any byte was accepted.
            ssl.SSLError: TLS failed.
        """
        self._tries_left -= 1
        if not self._tries_left:  # an upload to a peer that is as fast
            self._pause()
        try:
            sent = self.sock.send(data)  # mostly a head, for which the send buffer has room
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent == len(data):
            return sent
        return self._send_rest(memoryview(data), deadline, True, sent)

    def _send_rest(
        self, view: memoryview, deadline: Deadline, stops_at_response: bool, done: int
    ) -> int:
        """Write what the first write has not sent.

        Args:
            view: All bytes to write.
            deadline: When to stop waiting.
            stops_at_response: Stop if bytes have arrived, or on an error after some were sent.
            done: How many bytes the first write has sent.

        Returns:
            How many bytes were accepted, with those of the first write.
        """
        sock, total = self.sock, len(view)
        while done < total:
            try:
                done += sock.send(view[done:])
                continue
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                if stops_at_response and done:
                    return done
                raise
            readable, writable = self._wait(sock, stops_at_response, True, deadline)
            if stops_at_response and readable:
                return done
            if deadline.expired or not writable:
                raise TimeoutError("the peer took nothing more in time")
        return done

    def _write_now(self, data: Buffer) -> int:
        """Write what the send buffer has room for; raise if it has none."""
        return self.sock.send(data)

    def has_data_or_eof(self) -> bool:
        """Tell, without waiting, whether an idle connection cannot carry another request.

        Returns:
            True for data, an end of stream or an error. False if nothing has arrived.
        """
        poll = self._poll
        if poll is None or self.is_closed or self.sock.fileno() != self._descriptor:
            return self.is_closed or not self._is_socket_quiet()
        return bool(poll.poll(0))  # the lines of `_is_socket_quiet`, repeated here to save a call

    def _has_part_of_record(self) -> bool:
        """Whether a record of TLS has begun to arrive, and its rest has not; without TLS, none."""
        return False

    def _received(self) -> int | None:
        """How many bytes of TLS have come; `None` where that is not known, or does not matter."""
        return None

    def remember_session(self) -> None:
        """Keep the TLS session, which shortens the handshake of the next connection.

        To be called after the first bytes of a response: TLS 1.3 tickets come just before them.
        """

    @property
    def socket_for_users(self) -> Any:
        """The socket as programs read it from a response: peer address, certificate, cipher."""
        return self.sock

    @property
    def tls_version(self) -> str | None:
        """The version of TLS, such as `TLSv1.3`; None without TLS."""
        return None

    @property
    def cipher(self) -> str | None:
        """OpenSSL's name of the cipher; None without TLS."""
        return None

    @property
    def alpn(self) -> str | None:
        """The protocol chosen by ALPN; None for none."""
        return None

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake was shortened by an earlier session."""
        return False

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the peer's certificate, as `ssl.SSLSocket.getpeercert` does; None without TLS."""
        return None

    def close(self) -> None:
        """Close at once. Never waits, never raises; a second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self._close_notify()
        close_socket(self.sock, self.runtime)

    def _close_notify(self) -> None:
        """Send close_notify, if that is possible without waiting."""

    def abandon(self) -> None:
        """Close the descriptor without sending anything.

        For a forked child: the connection belongs to the parent, so nothing may be sent on it, and
        the parent's selector must not be touched.
        """
        if self.is_closed:
            return
        self.is_closed = True
        with contextlib.suppress(OSError, ValueError):
            descriptor = self.sock.detach()
            if descriptor >= 0:
                os.close(descriptor)

    def __repr__(self) -> str:
        kind = self.tls_version or "plain" if not self.is_closed else "closed"
        return f"<{type(self).__name__} {kind}>"


def close_socket(sock: socket.socket, runtime: Runtime) -> None:
    """Close a socket, and let the runtime forget it. Errors of closing are ignored.

    Args:
        sock: The socket.
        runtime: The runtime that has waited for it.
    """
    with contextlib.suppress(OSError):
        runtime.close_socket(sock)
