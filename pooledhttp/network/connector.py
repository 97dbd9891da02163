"""Makes a connected stream for a route, step by step.

    direct        resolve ─> race ─────────────────────────────────> [TLS]
    http proxy    resolve ─> race ─> (forwarded) | CONNECT ────────> [TLS]
    https proxy   resolve ─> race ─> TLS to it ─> (as above) ──────> [TLS in TLS]
    socks proxy   resolve ─> race ─> SOCKS (resolve target) ───────> [TLS]

All steps share one deadline. When a step fails, by an error, the deadline, Ctrl-C or a
cancellation, the socket is closed before the error is raised. Errors are faults (`exceptions`) that
name the origin, the step, and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from pooledhttp.exceptions import DialError, DialTimeout, Fault, ProxyFault, ResolveError
from pooledhttp.faults import RAISE_CONNECT
from pooledhttp.network.addresses import Address, Resolver, literal
from pooledhttp.network.dial import connect_by, connect_unix
from pooledhttp.network.happy_eyeballs import ATTEMPT_DELAY, AllFailed, race
from pooledhttp.network.overrides import is_getaddrinfo_replaced, replaced_create_connection
from pooledhttp.network.resolve import SystemResolver, default_resolver
from pooledhttp.network.route import UNIX_SCHEME, Proxy, Route, TlsSettings
from pooledhttp.network.socks import open_tunnel
from pooledhttp.network.stream import Stream
from pooledhttp.network.tls.handshake import TlsPeer, handshake_fault, start_tls
from pooledhttp.network.tls.sessions import SessionStore
from pooledhttp.network.tls.verification import read_trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pooledhttp.network.overrides import CreateConnection
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["Connector", "OnStep", "TunnelFn"]

#: Sends CONNECT over the stream and reads the response: (stream, proxy, host, port, deadline).
TunnelFn = Callable[[Stream, Proxy, str, int, "Deadline"], None]

#: Called with the name of each step when the step begins, to account for the time it takes.
OnStep = Callable[[str], None]

LOOKING_UP, DIALLING = "looking up", "connecting"
TUNNELLING, HANDSHAKING = "opening the tunnel", "TLS handshake"

_CHECK_SERVER = "Check that the server runs and that the port is right."
_CHECK_NETWORK = "Check the address, and that this machine's network leads there."
_FREE_DESCRIPTORS = (
    "Close responses, set PoolConfig(max_total=...), or raise the limit of open files (ulimit -n)."
)

#: What to do about a failed dial, by its error; for all others `_CHECK_SERVER`.
_ADVICE = {
    errno.ENETUNREACH: _CHECK_NETWORK,
    errno.EHOSTUNREACH: _CHECK_NETWORK,
    errno.ENETDOWN: _CHECK_NETWORK,
    errno.EMFILE: _FREE_DESCRIPTORS,
    errno.ENFILE: _FREE_DESCRIPTORS,
    errno.EADDRNOTAVAIL: "Check source_address. Without one, this machine may have no free port: "
    "use one Session, which reuses connections.",
}

#: What else a lookup may raise while the interpreter ends: no thread, no import, no codec.
_WHILE_ENDING = (RuntimeError, ImportError, LookupError)


def _ignore_step(step: str) -> None:
    """No-op step callback."""


class Connector:
    """Makes a connected stream for a route: lookup, connect, tunnel, handshake.

    Args:
        runtime: How to wait.
        resolver: Looks names up for routes without a resolver. None asks the system.
        tunnel: Sends CONNECT to HTTP proxies. It needs an HTTP parser, which this package must not
            import. It raises a `Fault` or `OSError` if the proxy refuses. None allows no tunnels.
        sessions: Keeps TLS sessions. None makes a store for this connector alone.
        attempt_delay: Seconds between the starts of attempts at the addresses of a host.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        resolver: Resolver | None = None,
        tunnel: TunnelFn | None = None,
        sessions: SessionStore | None = None,
        attempt_delay: float = ATTEMPT_DELAY,
    ) -> None:
        self.runtime = runtime
        self.resolver: Resolver = default_resolver() if resolver is None else resolver
        self.sessions = SessionStore() if sessions is None else sessions
        self._tunnel = tunnel
        self._attempt_delay = attempt_delay

    def prepare(self, route: Route) -> None:
        """Read the files that a route trusts, before the time for connecting begins.

        A bundle takes some 50 ms of this machine's time, and far more on a busy one. No server can
        do anything about that. What is read is kept; an error is raised again by the handshake.
        """
        proxy = route.proxy
        for settings in (route.tls, None if proxy is None else proxy.tls):
            if settings is not None:
                with contextlib.suppress(OSError, ValueError):
                    read_trust(settings)

    def connect(self, route: Route, deadline: Deadline, on_step: OnStep | None = None) -> Stream:
        """Connect to the origin of a route, with its settings.

        Args:
            route: The origin and the settings.
            deadline: Limits all steps together.
            on_step: Called with the name of each step when the step begins. `None` calls
                nothing.

        Returns:
            A stream on which the request can be written.

        Raises:
            ResolveError: The name has no address.
            DialError: No address accepted the connection.
            DialTimeout: The deadline came first; `phase` names the step.
            TlsError: The handshake failed or the certificate was not accepted.
            ProxyFault: The proxy could not be reached or refused; `original_error` says why.
        """
        on_step = on_step or _ignore_step
        stream = self._reach(route, deadline, on_step)
        if route.tls is None:
            return stream
        on_step(HANDSHAKING)
        return self._add_tls(stream, route, route.host, route.port, route.tls, deadline)

    def _reach(self, route: Route, deadline: Deadline, on_step: OnStep) -> Stream:
        """Return a stream to the origin without TLS; for a forwarded route, to the proxy."""
        if route.scheme == UNIX_SCHEME:
            on_step(DIALLING)
            return self._dial_unix(route, deadline)
        if route.proxy is None:
            return self._dial(route, route.host, route.port, deadline, on_step)
        stream = self._dial_proxy(route, route.proxy, deadline, on_step)
        try:
            on_step(TUNNELLING)
            self._open_tunnel(stream, route, route.proxy, deadline)
        except BaseException:
            stream.close()
            raise
        return stream

    # ------------------------------------------------------------------- TCP and Unix

    def _dial(
        self, route: Route, host: str, port: int, deadline: Deadline, on_step: OnStep
    ) -> Stream:
        if (create_connection := replaced_create_connection()) is not None:
            on_step(DIALLING)
            return self._dial_by(create_connection, route, host, port, deadline)
        on_step(LOOKING_UP)
        addresses = self._resolve(route, host, port, deadline)
        on_step(DIALLING)
        try:
            sock = race(addresses, route.options, self.runtime, deadline, self._attempt_delay)
        except TimeoutError as error:
            raise _timed_out(route, f"connecting to {host}", "connect", len(addresses)) from error
        except AllFailed as error:
            failures = [failure for _, failure in error.failures]
            raise _not_connected(route, host, port, failures or [error]) from error
        return Stream(sock, self.runtime)

    def _dial_by(
        self,
        create_connection: CreateConnection,
        route: Route,
        host: str,
        port: int,
        deadline: Deadline,
    ) -> Stream:
        """Connect with a replacement of urllib3's function, which also looks the name up."""
        try:
            sock = connect_by(create_connection, host, port, route.options, self.runtime, deadline)
        except TimeoutError as error:
            raise _timed_out(route, f"connecting to {host}", "connect", 1) from error
        except socket.gaierror as error:
            raise _unresolved(route, host, str(error)) from error
        except OSError as error:
            raise _not_connected(route, host, port, [error]) from error
        return Stream(sock, self.runtime)

    def _dial_unix(self, route: Route, deadline: Deadline) -> Stream:
        try:
            sock = connect_unix(route.host, route.options, self.runtime, deadline)
        except TimeoutError as error:
            raise _timed_out(route, f"connecting to {route.host}", "connect", 1) from error
        except (OSError, ValueError) as error:
            raise DialError(
                f"Failed to establish a new connection to the Unix socket {route.host}: {error}. "
                "Check that its server runs and that you may write to it.",
                route,
                origin=route.origin,
            ) from error
        return Stream(sock, self.runtime)

    def _resolve(self, route: Route, host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        try:
            resolver = self.resolver if route.resolver is None else route.resolver
            # A replaced getaddrinfo gets addresses too: it may forbid or redirect them.
            if not (isinstance(resolver, SystemResolver) and is_getaddrinfo_replaced()):
                if (address := literal(host, port)) is not None:
                    return (address,)
            addresses = resolver.resolve(host, port, deadline, self.runtime)
        except TimeoutError as error:
            raise _timed_out(route, f"looking up {host}", "resolve", 0) from error
        except (OSError, UnicodeError, *_WHILE_ENDING) as error:
            # A program has replaced getaddrinfo, perhaps by a function that raises on purpose.
            if is_getaddrinfo_replaced() and not isinstance(error, (OSError, UnicodeError)):
                raise
            raise _unresolved(route, host, str(error)) from error
        if not addresses:
            raise _unresolved(route, host, "the name has no address")
        return addresses

    # ------------------------------------------------------------------------ proxies

    def _dial_proxy(
        self, route: Route, proxy: Proxy, deadline: Deadline, on_step: OnStep
    ) -> Stream:
        try:
            stream = self._dial(route, proxy.host, proxy.port, deadline, on_step)
            if proxy.scheme != "https":
                return stream
            on_step(HANDSHAKING)
            settings = proxy.tls if proxy.tls is not None else TlsSettings()
            return self._add_tls(stream, route, proxy.host, proxy.port, settings, deadline)
        except Fault as error:
            if proxy.is_socks and isinstance(error, DialTimeout):
                raise  # requests raises a timeout here, too
            raise ProxyFault(
                f"Unable to connect to proxy {proxy.origin}: {error}", error, origin=route.origin
            ) from error

    def _target(self, route: Route, proxy: Proxy, deadline: Deadline) -> str:
        """Return the host to ask the proxy for: the name, or an address if it looks no names up."""
        if not proxy.is_socks:
            return route.host.partition("%")[0]
        # As in urllib3: names in SOCKS are absolute, and some proxies refuse the dot.
        name = route.host.removesuffix(".")
        if proxy.resolves_names:
            return name.partition("%")[0]
        addresses = self._resolve(route, name, route.port, deadline)
        # It is not known which families the proxy can reach. IPv4 is the better guess.
        texts = sorted((str(one.sockaddr[0]) for one in addresses), key=lambda text: ":" in text)
        if proxy.scheme == "socks4" and ":" in texts[0]:
            raise _unresolved(route, route.host, "SOCKS 4 takes IPv4 addresses only, it has none")
        return texts[0]

    def _open_tunnel(self, stream: Stream, route: Route, proxy: Proxy, deadline: Deadline) -> None:
        if route.is_forwarded:
            return
        try:
            if proxy.is_socks:
                # Looked up after the proxy has accepted the client, as PySocks does.
                def target() -> str:
                    return self._target(route, proxy, deadline)

                open_tunnel(stream, proxy, target, route.port, deadline)
            elif self._tunnel is not None:
                host = self._target(route, proxy, deadline)
                self._tunnel(stream, proxy, host, route.port, deadline)
            else:
                raise OSError("this connector was made without tunnels")
        except Fault:
            raise
        except TimeoutError as error:
            what = f"waiting for proxy {proxy.origin} to connect to {route.host}"
            raise _timed_out(route, what, "tunnel", 0) from error
        except (OSError, ValueError) as error:
            raise _not_tunnelled(route, proxy, error) from error

    # ---------------------------------------------------------------------------- TLS

    def _add_tls(
        self,
        stream: Stream,
        route: Route,
        host: str,
        port: int,
        settings: TlsSettings,
        deadline: Deadline,
    ) -> Stream:
        """Return TLS over `stream`; close the stream if that fails."""
        proxy = route.proxy if (host, port) == (route.host, route.port) else None
        peer = TlsPeer(host, port, settings, proxy, self.sessions)
        try:
            return start_tls(stream, peer, deadline)
        except BaseException as error:
            stream.close()
            if isinstance(error, TimeoutError):
                raise _timed_out(route, f"in the TLS handshake with {host}", "tls", 0) from error
            if isinstance(error, (OSError, ValueError)):
                raise handshake_fault(error, route.origin, host, port, settings) from error
            raise


def _unresolved(route: Route, host: str, why: str) -> ResolveError:
    return ResolveError(
        f"Failed to resolve '{host}' ({why}). Check the spelling of the host and that this machine "
        "has a working name server.",
        route,
        origin=route.origin,
    )


def _not_connected(route: Route, host: str, port: int, failures: Sequence[OSError]) -> DialError:
    """Return the error for a host of which no address could be connected to.

    Args:
        route: What was to be connected.
        host: The host that was dialled, which may be a proxy.
        port: Its port.
        failures: At least one.
    """
    why = "; ".join(dict.fromkeys(map(str, failures)))  # each text once
    advice = {_ADVICE.get(failure.errno or 0, _CHECK_SERVER) for failure in failures}
    # One address that refused says more than another one that cannot be reached.
    what_to_do = advice.pop() if len(advice) == 1 else _CHECK_SERVER
    return DialError(
        f"Failed to establish a new connection to {host} port {port}: {why}. {what_to_do}",
        route,
        origin=route.origin,
    )


def _not_tunnelled(route: Route, proxy: Proxy, error: Exception) -> ProxyFault:
    text = f"Proxy {proxy.origin} made no connection to {route.host} port {route.port}: {error}"
    reason = error
    if proxy.is_socks:
        # In urllib3 a SOCKS proxy that fails is a failure to connect, so `Retry(connect=...)`
        # bounds it. As any other error it would have no bound but the total.
        reason = DialError(text, route, origin=route.origin, phase="tunnel")
        reason.__cause__ = error
    return ProxyFault(text, reason, origin=route.origin, phase="tunnel")


def _timed_out(route: Route, doing: str, phase: str, addresses: int) -> DialTimeout:
    tried = f" ({addresses} addresses tried)" if addresses > 1 else ""
    return DialTimeout(
        f"Connection to {route.origin} timed out {doing}{tried}. {RAISE_CONNECT}",
        origin=route.origin,
        phase=phase,
    )
