"""Keeps TLS sessions, which shorten the second handshake with a server.

A resumed handshake has no certificate, so OpenSSL does not check the host name. A session therefore
proves only what was checked when it was made. It is offered only if exactly the same would be
checked again: with the same context object, name, port, assertions, client certificate and proxy.
`SessionKey` has all of these. A ticket of host A is never sent to host B at the same address.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from pooledhttp.runtime import ShortLock, register_fork_reset

__all__ = ["SessionKeeper", "SessionKey", "SessionStore"]

#: A session has a certificate chain of some 10 KiB. A thousand are more origins than most programs
#: come back to.
MAX_SESSIONS = 1024
#: How many sessions in a row a server may refuse before fewer of them are kept.
REFUSALS = 2
#: The most connections for which no session of a server that refuses them is kept.
MOST_SKIPS = 64


class SessionKey(NamedTuple):
    """Everything that must be equal before a session is offered.

    Attributes:
        context: The context object; a session cannot be used with another one.
        strictness: How the context verified, which a caller may have changed since. None for a
            context of our own.
        server_hostname: The name that was checked and sent in SNI.
        port: The port of the origin.
        assert_hostname: The name that the certificate must have instead of the host.
        assert_fingerprint: The digest that the certificate must have.
        client_identity: The client certificate.
        proxy: The proxy in between; None for none.
    """

    context: ssl.SSLContext
    strictness: tuple[ssl.VerifyMode, bool] | None
    server_hostname: str | None
    port: int
    assert_hostname: str | bool | None
    assert_fingerprint: str | None
    client_identity: object
    proxy: object


class _Entry:
    """A session, and how its server has treated it so far."""

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
        #: For how many connections no session is kept.
        self.skips = 0
        self.session: ssl.SSLSession | None = None
        self.expires_at = self.renew_at = 0.0

    def hold(self, session: ssl.SSLSession) -> None:
        self.session = session
        #: How often the server has accepted it.
        self.accepted = 0
        # OpenSSL's own lifetime applies if the server announces none.
        lifetime = min(session.ticket_lifetime_hint or session.timeout, session.timeout)
        self.expires_at = float(session.time + lifetime)
        self.renew_at = session.time + lifetime / 2

    def was_refused(self) -> None:
        # A session that is refused the second time is for single use. If it is refused at once, or
        # after many uses, the server may have new keys, or be one of several that do not share
        # them: its next session may be accepted.
        self.is_single_use |= self.accepted == 1
        self.refusals += 1
        if self.refusals > REFUSALS:
            self.session = None
            self.skips = min(2**self.refusals, MOST_SKIPS)


class SessionStore:
    """One session per key; the least recently used one is dropped first.

    Python copies a session when it is read from a connection. That costs a quarter of a handshake,
    with TLS 1.3 more than a resumption saves. So an accepted session is used again, and a new one
    is kept when half of its lifetime is over. If a server accepts each session only once, the
    session of every connection is kept. If it refuses one session after the other, fewer and fewer
    are kept.

    RFC 8446, appendix C.4, recommends to use a ticket once, so that an observer cannot tell that
    two connections belong to one client. We do not follow it: here they come from one process, and
    mostly from one address. Servers that want it refuse the second use.

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
        """Start empty, with a new lock: a thread of the parent may hold the old one."""
        self._lock = ShortLock()  # held for the time of a few dict operations
        self._sessions: OrderedDict[SessionKey, _Entry] = OrderedDict()

    def get(self, key: SessionKey) -> ssl.SSLSession | None:
        """Return the session to offer; None if there is none, or its lifetime is over."""
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

    def still_wants(self, key: SessionKey, offered: ssl.SSLSession | None) -> bool:
        """Whether the session of a connection is still wanted when its first response is there.

        Of many connections that are opened at once, the first one that has a session keeps it.

        Args:
            key: The key of the connection.
            offered: The session that it was offered; None for none.
        """
        with self._lock:
            entry = self._sessions.get(key)
            return (
                entry is None
                or entry.session is None
                or entry.session is offered
                or entry.is_single_use
                or self._now() >= entry.renew_at
            )

    def wants_another(self, key: SessionKey, was_offered: bool, was_resumed: bool) -> bool:
        """Whether to keep the session of a new connection.

        Args:
            key: The key of the connection.
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
            # Only once: a server with TLS 1.2 need not issue another, and the old one would come
            # back each time.
            entry.renew_at = entry.expires_at
            return True

    def forget(self, key: SessionKey) -> None:
        """Drop the session of a key."""
        with self._lock:
            self._sessions.pop(key, None)

    def clear(self) -> None:
        """Drop all sessions."""
        with self._lock:
            self._sessions.clear()

    def __len__(self) -> int:
        return len(self._sessions)


class SessionKeeper:
    """Keeps the session of one connection.

    Args:
        store: Where to.
        key: The key of the connection.
        offered: The session that was offered; None for none.
    """

    __slots__ = ("_key", "_offered", "_store")

    def __init__(
        self, store: SessionStore, key: SessionKey, offered: ssl.SSLSession | None
    ) -> None:
        self._store = store
        self._key = key
        self._offered = offered

    def is_needed(self) -> bool:
        """Whether the session is still wanted. To read it from the connection costs far more."""
        return self._store.still_wants(self._key, self._offered)

    def keep(self, session: ssl.SSLSession) -> None:
        """Keep the session."""
        self._store.put(self._key, session)
