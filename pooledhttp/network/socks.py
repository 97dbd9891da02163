"""Asks a SOCKS proxy for a connection. socksio makes and reads the messages.

    SOCKS 4, 4a     request ──> <── 8 bytes
    SOCKS 5, 5h     methods ──> <── 2 bytes, perhaps name and password ──> <── 2 bytes,
                    request ──> <── 4 bytes, then an address as long as its type says, then a port

No more bytes are read than a reply has: the bytes behind the last one come from the origin.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pooledhttp.network.route import Proxy
    from pooledhttp.network.stream import Stream
    from pooledhttp.timing import Deadline

__all__ = ["SocksRefused", "load_socksio", "open_tunnel"]

#: SOCKS carries the length of names, user names and passwords in one byte.
MAX_TEXT_BYTES = 255

_IPV4, _NAME, _IPV6 = 1, 3, 4

_GRANTED_4, _GRANTED_5 = 0x5A, 0

#: What the codes of a refusal mean in SOCKS 4.
_REFUSALS_4 = {
    0x5B: "request rejected or failed",
    0x5C: "request rejected: it cannot reach identd on this machine",
    0x5D: "request rejected: identd on this machine reports another user",
}

#: What the codes of a refusal mean in SOCKS 5 (RFC 1928, section 6).
_REFUSALS_5 = {
    1: "general SOCKS server failure",
    2: "connection not allowed by ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


class SocksRefused(OSError):
    """The proxy refused, or its reply was not SOCKS."""


def load_socksio() -> Any:
    """Import the library, which is an extra.

    Raises:
        SocksRefused: It is not installed; the text names what to install.
    """
    try:
        import socksio
    except ImportError:
        raise SocksRefused("SOCKS proxies need the package socksio: pip install socksio") from None
    return socksio


def open_tunnel(
    stream: Stream, proxy: Proxy, target: Callable[[], str], port: int, deadline: Deadline
) -> None:
    """Ask the proxy to connect `stream` to the origin.

    Args:
        stream: Connected to the proxy.
        proxy: Its scheme is the version of SOCKS; its username and password are sent.
        target: Returns the name or address to connect to; called when it is needed.
        port: TCP port.
        deadline: When to give up.

    Raises:
        SocksRefused: The proxy refused or does not speak SOCKS.
        TimeoutError: It did not reply in time.
        OSError: The connection to it broke.
    """
    socksio = load_socksio()
    try:
        if proxy.scheme.startswith("socks5"):
            _open_5(socksio, stream, proxy, target, port, deadline)
        else:
            _open_4(socksio, stream, proxy, target(), port, deadline)
    except socksio.SOCKSError as error:
        raise SocksRefused(f"its reply is not {proxy.scheme.upper()}: {error}") from error


def _open_4(
    socksio: Any, stream: Stream, proxy: Proxy, host: str, port: int, deadline: Deadline
) -> None:
    user = _text(proxy.username or "", "user name")
    # In SOCKS 4 a text ends at its first NUL. Bytes behind it would be read as another field.
    if b"\0" in user or "\0" in host:
        raise SocksRefused("a NUL cannot be sent in SOCKS 4")
    command = socksio.SOCKS4Command.CONNECT
    if _is_ipv4(host):
        request = socksio.SOCKS4Request.from_address(command, (host, port), user)
    elif proxy.scheme == "socks4":
        raise SocksRefused("SOCKS 4 knows IPv4 addresses only; use socks4a, socks5 or socks5h")
    else:
        # Not `from_address`: it would pack an IPv6 address into the name, NUL bytes included.
        request = socksio.SOCKS4ARequest(command, port, host.encode("utf-8"), user)
    machine = socksio.SOCKS4Connection(user_id=user)
    machine.send(request)
    stream.send(machine.data_to_send(), deadline)
    head = _read_exactly(stream, 2, deadline)
    if head[0] != 0:
        raise SocksRefused("its reply is not SOCKS 4")
    if head[1] != _GRANTED_4:
        raise SocksRefused(_refusal_text(head[1], _REFUSALS_4))
    machine.receive_data(head + _read_exactly(stream, 6, deadline))


def _open_5(
    socksio: Any,
    stream: Stream,
    proxy: Proxy,
    target: Callable[[], str],
    port: int,
    deadline: Deadline,
) -> None:
    machine = socksio.SOCKS5Connection()
    _authenticate_5(socksio, machine, stream, proxy, deadline)
    host = target()
    if ":" not in host:
        _text(host, "host name")
    command = socksio.SOCKS5Command.CONNECT
    machine.send(socksio.SOCKS5CommandRequest.from_address(command, (host, port)))
    stream.send(machine.data_to_send(), deadline)
    machine.receive_data(_read_reply_5(stream, deadline))


def _authenticate_5(
    socksio: Any, machine: Any, stream: Stream, proxy: Proxy, deadline: Deadline
) -> None:
    methods = [socksio.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if proxy.username is not None:
        methods.append(socksio.SOCKS5AuthMethod.USERNAME_PASSWORD)
    machine.send(socksio.SOCKS5AuthMethodsRequest(methods))
    stream.send(machine.data_to_send(), deadline)
    reply = _read_exactly(stream, 2, deadline)
    if reply[0] != 5:
        raise SocksRefused("its reply is not SOCKS 5")
    chosen = machine.receive_data(reply).method
    if chosen not in methods:
        if proxy.username is None:
            raise SocksRefused("it wants a user name and password; put them into the proxy's URL")
        raise SocksRefused("it accepts none of our ways to authenticate")
    if chosen is socksio.SOCKS5AuthMethod.USERNAME_PASSWORD:
        user = _text(proxy.username or "", "user name")
        password = _text(proxy.password or "", "password")
        machine.send(socksio.SOCKS5UsernamePasswordRequest(user, password))
        stream.send(machine.data_to_send(), deadline)
        if not machine.receive_data(_read_exactly(stream, 2, deadline)).success:
            raise SocksRefused("it does not accept the user name and password")


def _read_reply_5(stream: Stream, deadline: Deadline) -> bytes:
    """Read the reply to the request, which grants it.

    The first two bytes of a refusal say why. Some proxies send nothing behind them, so nothing is
    read there.
    """
    head = _read_exactly(stream, 2, deadline)
    if head[0] != 5:
        raise SocksRefused("its reply is not SOCKS 5")
    if head[1] != _GRANTED_5:
        raise SocksRefused(_refusal_text(head[1], _REFUSALS_5))
    head += _read_exactly(stream, 2, deadline)
    kind = head[3]
    if kind not in (_IPV4, _NAME, _IPV6):
        raise SocksRefused("its reply is not SOCKS 5")
    if kind == _NAME:
        length = _read_exactly(stream, 1, deadline)[0]
    else:
        length = 4 if kind == _IPV4 else 16
    _read_exactly(stream, length + 2, deadline)
    # The address that the proxy has bound is not used, and some proxies send a wrong one.
    return head[:3] + bytes((_IPV4, 0, 0, 0, 0, 0, 0))


def _read_exactly(stream: Stream, count: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data), deadline)
        if not piece:
            raise SocksRefused("it closed the connection in the middle of the negotiation")
        data += piece
    return data


def _text(value: str, what: str) -> bytes:
    encoded = value.encode("utf-8")
    if len(encoded) > MAX_TEXT_BYTES:
        raise SocksRefused(f"the {what} is longer than SOCKS allows ({MAX_TEXT_BYTES} bytes)")
    return encoded


def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return False
    return True


def _refusal_text(code: int, texts: dict[int, str]) -> str:
    """Return what a refusal says; some proxies have codes of their own, as Tor has."""
    return f"{texts.get(code, 'refused')} (code 0x{code:02x})"
