"""Remembered TLS sessions: what makes the second handshake with a server cheap.

A resumed handshake skips the certificate, and with it OpenSSL's check of the host name. A session
therefore proves only what was proven when it was made, and is offered only where exactly the same
would be asked again: same context object, name, port, assertions, client certificate, and way
there. `SessionKey` holds all of that; a ticket of host A is never shown to host B at the same
address.
"""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from collections import OrderedDict
from typing import NamedTuple

__all__ = ["SessionKey", "SessionStore"]

#: Sessions hold a certificate chain each, some 10 KiB; a thousand are as many origins as are
#: reused.
MAX_SESSIONS = 1024


class SessionKey(NamedTuple):
    """Everything a session's proof depends on.

    Attributes:
        context: The context itself; sessions cannot move from one to another.
        strictness: How the context verified at the time; a caller may have changed it since.
        server_hostname: The name that was checked and sent in SNI.
        port: The origin's port.
        assert_hostname: The name demanded in place of the host's.
        assert_fingerprint: The digest demanded.
        client_identity: The client certificate shown.
        way: The proxy in between; None for none.
    """

    context: ssl.SSLContext
    strictness: tuple[ssl.VerifyMode, bool]
    server_hostname: str | None
    port: int
    assert_hostname: str | bool | None
    assert_fingerprint: str | None
    client_identity: object
    way: object


class _Entry:
    """A session, and whether its server takes none twice."""

    __slots__ = ("is_single_use", "session")

    def __init__(self) -> None:
        self.session: ssl.SSLSession | None = None
        self.is_single_use = False


class SessionStore:
    """One session per key, least recently used first to go.

    Python copies a session whenever it is taken off a connection, at the price of a third of a
    handshake. So one that works is kept, and a new one is asked for only where a server has once
    refused it, as those do that accept a ticket only once.

    Args:
        max_sessions: How many are kept.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._lock = threading.Lock()  # guards the map, for the length of a dict operation
        self._sessions: OrderedDict[SessionKey, _Entry] = OrderedDict()
        _stores.add(self)

    def get(self, key: SessionKey) -> ssl.SSLSession | None:
        """The session to offer, or None."""
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                return None
            self._sessions.move_to_end(key)
            return entry.session

    def put(self, key: SessionKey, session: ssl.SSLSession) -> None:
        """Keep `session` as the one to offer next."""
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                entry = self._sessions[key] = _Entry()
            entry.session = session
            self._sessions.move_to_end(key)
            while len(self._sessions) > self._max_sessions:
                self._sessions.popitem(last=False)

    def wants_another(self, key: SessionKey, was_offered: bool, was_resumed: bool) -> bool:
        """Whether the session of a new connection is to be kept when its answer comes.

        Args:
            key: What the connection was made under.
            was_offered: Whether a session was offered.
            was_resumed: Whether it was accepted.
        """
        if not was_offered:
            return True
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                return True
            if not was_resumed:
                entry.is_single_use = True
            return entry.is_single_use

    def forget(self, key: SessionKey) -> None:
        """Offer none under `key` any more."""
        with self._lock:
            self._sessions.pop(key, None)

    def clear(self) -> None:
        """Offer none at all any more."""
        with self._lock:
            self._sessions.clear()

    def __len__(self) -> int:
        return len(self._sessions)

    def _start_over(self) -> None:
        # Another thread of the parent may have held the lock: in the child nobody would free it.
        self._lock = threading.Lock()
        self._sessions = OrderedDict()


_stores: weakref.WeakSet[SessionStore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store._start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
