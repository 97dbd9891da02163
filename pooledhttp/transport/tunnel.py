"""CONNECT: asks an HTTP proxy to open a tunnel (RFC 9110, section 9.3.6).

A `Connection` sends the request and reads the response, as for any other exchange. It is dropped
afterwards, because the bytes behind a 2xx head belong to the tunnel. The stream stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from pooledhttp.exceptions import DialTimeout, ProxyFault
from pooledhttp.faults import RAISE_CONNECT
from pooledhttp.http1 import ByteStream, Connection, ResponseLimits, State, WireRequest
from pooledhttp.timing import TimeoutPlan

if TYPE_CHECKING:
    from pooledhttp.network import Proxy
    from pooledhttp.timing import Deadline

__all__ = ["open_tunnel"]


def open_tunnel(
    stream: ByteStream,
    proxy: Proxy,
    host: str,
    port: int,
    deadline: Deadline,
    *,
    limits: ResponseLimits | None = None,
) -> None:
    """Ask `proxy` to connect `stream` to `host`; afterwards the stream leads to the target.

    Args:
        stream: Connected to the proxy.
        proxy: Its headers, credentials among them, go into the CONNECT request and nowhere else.
        host: Name or address of the target, without brackets.
        port: The target's port.
        deadline: When to give up.
        limits: Bounds on the response of the proxy, unless `proxy` has its own; `None` for the
            defaults.

    Raises:
        ProxyFault: The proxy refused, or its response is not HTTP.
        DialTimeout: The proxy did not respond in time.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = [("Host", target), *proxy.headers]
    request = WireRequest(
        method=b"CONNECT",
        target=target.encode("ascii"),
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
        url=target,
    )
    plan = TimeoutPlan(None, None, None, None, deadline)
    limits = limits or ResponseLimits()
    if isinstance(proxy.response_limits, ResponseLimits):
        limits = proxy.response_limits.over(limits)
    connection = Connection(stream, proxy.origin, limits)
    try:
        connection.send(request, plan)
        head = connection.read_head(plan)
    except HTTPError as error:
        if deadline.expired:
            text = f"The proxy {proxy.origin} did not open a tunnel to {target} in time."
            raise DialTimeout(f"{text} {RAISE_CONNECT}", origin=target, phase="tunnel") from error
        raise _refused(proxy, target, OSError(str(error))) from error
    if connection.state is not State.SWITCHED or head.status == 101:  # 101 opens no tunnel
        cause = OSError(f"Tunnel connection failed: {head.status} {head.reason}")
        raise _refused(proxy, target, cause, head.status)
    if connection.leftover():
        raise _refused(proxy, target, OSError("the proxy sent bytes before the tunnel was used"))


def _refused(proxy: Proxy, target: str, cause: OSError, status: int = 0) -> ProxyFault:
    text = f"Unable to connect to proxy: {proxy.origin} did not open a tunnel to {target}: {cause}"
    if status == 407:
        text += ". Put the proxy's user name and password into its URL."
    elif status:
        text += ". Ask the proxy's operator whether it may connect there, or set `no_proxy`."
    return ProxyFault(text, cause, origin=target, phase="tunnel")
