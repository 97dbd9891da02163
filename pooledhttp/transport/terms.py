"""From the words of requests' callers to those of urllib3's pools and of the network.

`verify=` and `cert=` become keyword arguments for urllib3's managers, and attributes of the pools
they hand out; URLs of proxies become `Proxy`; timeouts become urllib3's, for the pools that a
subclass brings. Files that are named are looked for here, so that a wrong path is an error before
anything is dialled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.util import parse_url

from pooledhttp.certs import extract_zipped_paths
from pooledhttp.exceptions import InvalidProxyURL, InvalidSchema
from pooledhttp.message import prepend_scheme_if_needed
from pooledhttp.network import SOCKS_SCHEMES, Proxy, TlsSettings
from pooledhttp.timing import Timeout, plan_timeout

__all__ = [
    "key_of_socket",
    "proxy_of",
    "proxy_url",
    "require_socks",
    "tls_keywords",
    "urllib3_timeout",
    "verify_attributes",
]


def tls_keywords(verify: Any, cert: Any) -> dict[str, Any]:
    """`verify` and `cert` as keyword arguments of urllib3's pools; paths are not looked at."""
    settings: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED"}
    # What `verify_attributes` will put onto a pool has to be told apart here: two requests that
    # differ in it must not get the same one.
    if not verify:
        settings["cert_reqs"] = "CERT_NONE"
    elif isinstance(verify, str | bytes | os.PathLike):
        name = "ca_cert_dir" if os.path.isdir(verify) else "ca_certs"
        settings[name] = os.fsdecode(verify)
    elif hasattr(verify, "wrap_socket"):
        settings = {"ssl_context": verify}
    if cert is not None:
        settings.update(_cert_keywords(cert))
    return settings


def _cert_keywords(cert: Any) -> dict[str, Any]:
    if not isinstance(cert, tuple | list):
        return {"cert_file": cert}
    return dict(zip(("cert_file", "key_file", "key_password"), cert, strict=False))


def verify_attributes(is_secure: bool, verify: Any, cert: Any, bundle: str) -> dict[str, Any]:
    """`verify` and `cert` as attributes of a pool, with the files they name looked for.

    Args:
        is_secure: Whether there is anything to verify.
        verify: As users give it.
        cert: As users give it.
        bundle: Path of the certificates that `verify=True` trusts.

    Raises:
        OSError: A file that is named there does not exist.
    """
    found: dict[str, Any] = {}
    if is_secure and hasattr(verify, "wrap_socket"):
        found["ssl_context"] = verify
    elif is_secure and verify:
        bundle = extract_zipped_paths(bundle if verify is True else os.fsdecode(verify))
        if not bundle or not os.path.exists(bundle):
            raise OSError(
                f"Could not find a suitable TLS CA certificate bundle, invalid path: {bundle}"
            )
        is_directory = os.path.isdir(bundle)
        found["cert_reqs"] = "CERT_REQUIRED"
        found["ca_cert_dir" if is_directory else "ca_certs"] = bundle
    else:
        found.update(cert_reqs="CERT_NONE", ca_certs=None, ca_cert_dir=None)
    if cert:
        found.update({"key_file": None, **_cert_keywords(cert)})
        for name, what in (("cert_file", "certificate"), ("key_file", "key")):
            path = found[name]
            if path and not os.path.exists(path):
                raise OSError(f"Could not find the TLS {what} file, invalid path: {path}")
    return found


def key_of_socket(key_of: Callable[[dict[str, Any]], Any], context: dict[str, Any]) -> Any:
    """urllib3's key of a pool, for a path: urllib3 would put it, as a host, into lower case."""
    return key_of({**context, "host": os.fsencode(context["host"]).hex()})


def urllib3_timeout(timeout: Any) -> urllib3.Timeout:
    """Whatever users give as `timeout=`, as urllib3's pools take it."""
    if isinstance(timeout, urllib3.Timeout):
        return timeout
    if isinstance(timeout, Timeout):
        left = timeout.deadline.remaining() if timeout.deadline else timeout.total
        return urllib3.Timeout(total=left, connect=timeout.connect, read=timeout.read)
    plan = plan_timeout(timeout)
    return urllib3.Timeout(connect=plan.connect, read=plan.read)


def proxy_url(proxy: str) -> str:
    """Complete a proxy's URL, which may come without a scheme.

    Raises:
        InvalidProxyURL: It has no host.
    """
    url = prepend_scheme_if_needed(proxy, "http")
    if not parse_url(url).host:
        raise InvalidProxyURL(
            "Please check proxy URL. It is malformed and could be missing the host."
        )
    return url


def require_socks() -> None:
    """Raise `InvalidSchema` where the library for SOCKS is not installed."""
    try:
        import socksio  # noqa: F401
    except ImportError as error:
        raise InvalidSchema(
            "Missing dependencies for SOCKS support. Install pooledhttp[socks]."
        ) from error


def proxy_of(url: str, manager: Any) -> Proxy:
    """The proxy of a manager, in the network's terms."""
    parts = parse_url(url)
    scheme = (parts.scheme or "http").lower()
    host = (parts.host or "").strip("[]").lower()
    if scheme in SOCKS_SCHEMES:
        return Proxy(
            scheme, host, parts.port or 1080, manager.username or None, manager.password or None
        )
    context = getattr(getattr(manager, "proxy_config", None), "ssl_context", None)
    return Proxy(
        scheme,
        host,
        parts.port or (443 if scheme == "https" else 80),
        headers=tuple((manager.proxy_headers or {}).items()),
        tls=None if context is None else TlsSettings(ssl_context=context),
    )
