"""Remembered TLS sessions: what makes the second handshake with a server cheap.

A resumed handshake skips the certificate, and with it OpenSSL's check of the host name. A session
therefore proves only what was proven when it was made, and is offered only where exactly the same
would be asked again: same context object, name, port, assertions, client certificate, and way
there. `SessionKey` holds all of that; a ticket of host A is never shown to host B at the same
address.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from pooledhttp.runtime import ShortLock, register_fork_reset

__all__ = ["SessionKey", "SessionStore"]

#: Sessions hold a certificate chain each, some 10 KiB; a thousand are as many origins as are
#: reused.
MAX_SESSIONS = 1024
#: Sessions a server may refuse in a row before we take fewer of them.
REFUSALS = 2
#: Connections after which a server that refuses all its sessions is given another chance.
MOST_SKIPS = 64


class SessionKey(NamedTuple):
    """Everything a session's proof depends on.

    Attributes:
        context: The context itself; sessions cannot move from one to another.
        strictness: How the context verified at the time; a caller may have changed it since. None
            for a context that no caller has.
        server_hostname: The name that was checked and sent in SNI.
        port: The origin's port.
        assert_hostname: The name demanded in place of the host's.
        assert_fingerprint: The digest demanded.
        client_identity: The client certificate shown.
        way: The proxy in between; None for none.
    """

    context: ssl.SSLContext
    strictness: tuple[ssl.VerifyMode, bool] | None
    server_hostname: str | None
    port: int
    assert_hostname: str | bool | None
    assert_fingerprint: str | None
    client_identity: object
    way: object


class _Entry:
    """A session, and what is known of its server's ways with it."""

    __slots__ = (
        "accepted",
        "expires_at",
        "is_single_use",
        "refusals",
        "renew_at",
        "session",
        "skips",
    )

    def __init__(self) -> None:
        self.is_single_use = False
        #: Sessions refused in a row.
        self.refusals = 0
        #: Connections whose session is not worth taking.
        self.skips = 0
        self.session: ssl.SSLSession | None = None
        self.expires_at = self.renew_at = 0.0

    def hold(self, session: ssl.SSLSession) -> None:
        self.session = session
        #: How often the server has taken it.
        self.accepted = 0
        # For servers that say nothing, OpenSSL's own idea of a session's life stands.
        lifetime = min(session.ticket_lifetime_hint or session.timeout, session.timeout)
        self.expires_at = float(session.time + lifetime)
        self.renew_at = session.time + lifetime / 2

    def was_refused(self) -> None:
        # Refused the second time: single use. Refused after many, or at first sight: the server has
        # new keys, or is one of several that do not share them, and its next session may do.
        self.is_single_use |= self.accepted == 1
        self.refusals += 1
        if self.refusals > REFUSALS:
            self.session = None
            self.skips = min(2**self.refusals, MOST_SKIPS)


class SessionStore:
    """One session per key, least recently used first to go.

    Python copies a session whenever it is taken off a connection, which costs a quarter of a
    handshake; with TLS 1.3 that is more than resumption saves. So one that works is used again, and
    a new one is taken when half its life is over, or from every connection where a server took a
    session once and refused it the second time. From servers that refuse one session after the
    other, fewer and fewer are taken. The price: RFC 8446, appendix C.4, would have each
    ticket used once, so that an observer cannot tell that two connections come from one client.
    Here they come from one process, mostly from one address, and strict servers enforce it.

    Args:
        max_sessions: How many are kept.
        now: The time of day in seconds, by which OpenSSL dates sessions.
    """

    def __init__(
        self, max_sessions: int = MAX_SESSIONS, now: Callable[[], float] = time.time
    ) -> None:
        self._max_sessions = max_sessions
        self._now = now
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start empty, with a lock of our own: a thread of the parent may hold the old one."""
        self._lock = ShortLock()  # guards the map, for the length of a dict operation
        self._sessions: OrderedDict[SessionKey, _Entry] = OrderedDict()

    def get(self, key: SessionKey) -> ssl.SSLSession | None:
        """The session to offer, or None. One whose life is over is not worth its copying."""
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                return None
            self._sessions.move_to_end(key)
            return entry.session if self._now() < entry.expires_at else None

    def put(self, key: SessionKey, session: ssl.SSLSession) -> None:
        """Keep `session` as the one to offer next."""
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                entry = self._sessions[key] = _Entry()
            entry.hold(session)
            self._sessions.move_to_end(key)
            while len(self._sessions) > self._max_sessions:
                self._sessions.popitem(last=False)

    def wants_another(self, key: SessionKey, was_offered: bool, was_resumed: bool) -> bool:
        """Whether the session of a new connection is to be kept when its response comes.

        Args:
            key: What the connection was made under.
            was_offered: Whether a session was offered.
            was_resumed: Whether it was accepted.
        """
        with self._lock:
            entry = self._sessions.get(key)
            if entry is None:
                return True
            if not was_resumed:
                if was_offered:
                    entry.was_refused()
                if entry.skips:
                    entry.skips -= 1
                    return False
                return True
            entry.accepted += 1
            entry.refusals = entry.skips = 0
            if entry.is_single_use:
                return True
            if self._now() < entry.renew_at:
                return False
            # Asked once: TLS 1.2 servers need not issue another, and the old one would come back.
            entry.renew_at = entry.expires_at
            return True

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
