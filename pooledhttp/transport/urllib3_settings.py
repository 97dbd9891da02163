"""Translates the settings of a request into those of urllib3's pools and of `network`.

    verify=, cert=    -> keyword arguments for urllib3's managers   `tls_keywords`
                      -> attributes of the pools they return        `verify_attributes`
    URL of a proxy    -> `Proxy`                                    `proxy_of`
    timeout=          -> urllib3's, for urllib3's own pools         `urllib3_timeout`

`verify_attributes` also checks that the files exist, so that a wrong path is an error before a
connection is dialled.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.poolmanager import PoolManager
from urllib3.util import parse_url

from pooledhttp.certs import extract_zipped_paths
from pooledhttp.exceptions import InvalidProxyURL, InvalidSchema
from pooledhttp.message import DEFAULT_PORTS, prepend_scheme_if_needed, without_credentials
from pooledhttp.network import SOCKS_SCHEMES, Proxy, TlsSettings
from pooledhttp.timing import Timeout, plan_timeout, total_left

__all__ = [
    "SOCKSProxyManager",
    "key_of_socket",
    "proxy_of",
    "proxy_url",
    "require_socks",
    "tls_keywords",
    "urllib3_timeout",
    "verify_attributes",
]


def tls_keywords(verify: Any, cert: Any) -> dict[str, Any]:
    """Return `verify` and `cert` as keyword arguments of urllib3's pools.

    Args:
        verify: As users give it. A path is not checked, only whether it is a directory.
        cert: As users give it.
    """
    settings: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED"}
    # The manager chooses the pool by these keywords. So they must contain everything that
    # `verify_attributes` sets on a pool, or two requests with other settings would share one.
    if not verify:
        settings["cert_reqs"] = "CERT_NONE"
    elif isinstance(verify, str | bytes | os.PathLike):
        name = "ca_cert_dir" if os.path.isdir(verify) else "ca_certs"
        settings[name] = os.fsdecode(verify)
    elif hasattr(verify, "wrap_socket"):
        settings = {"ssl_context": verify}
    settings.update(_cert_keywords(cert))
    return settings


def _cert_keywords(cert: Any) -> dict[str, Any]:
    # Programs hand on what is not configured: "", False or a pair of empty paths.
    if not cert or (isinstance(cert, tuple | list) and not cert[0]):
        return {}
    if not isinstance(cert, tuple | list):
        if not isinstance(cert, str | bytes | os.PathLike):
            raise TypeError(f"cert must be a path or a tuple (certificate, key), not {cert!r}")
        return {"cert_file": cert}
    return dict(zip(("cert_file", "key_file", "key_password"), cert, strict=False))


def verify_attributes(is_secure: bool, verify: Any, cert: Any, bundle: str) -> dict[str, Any]:
    """Return `verify` and `cert` as attributes of a pool; check that the files exist.

    Args:
        is_secure: Whether the pool uses TLS.
        verify: As users give it.
        cert: As users give it.
        bundle: Path of the certificates that `verify=True` trusts.

    Raises:
        OSError: A file named by `verify` or `cert` does not exist.
        TypeError: `verify` is none of what it can be.
    """
    found: dict[str, Any] = {}
    if is_secure and hasattr(verify, "wrap_socket"):
        found["ssl_context"] = verify
    elif is_secure and verify:
        bundle = extract_zipped_paths(bundle if verify is True else _path_of(verify))
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
            path = found.get(name)
            if path and not os.path.exists(path):
                raise OSError(f"Could not find the TLS {what} file, invalid path: {path}")
    return found


def _path_of(verify: Any) -> str:
    try:
        return os.fsdecode(verify)
    except TypeError:
        raise TypeError(
            "verify must be True, False, the path of a CA bundle or an ssl.SSLContext, not "
            f"{verify!r}"
        ) from None


def key_of_socket(key_of: Callable[[dict[str, Any]], Any], context: dict[str, Any]) -> Any:
    """Return urllib3's key for the pool of a Unix socket.

    The path of the socket is in the place of the host, which urllib3 would change to lower case.

    Args:
        key_of: urllib3's own function, which makes a key of a pool's settings.
        context: The settings of the pool.
    """
    return key_of({**context, "host": os.fsencode(context["host"]).hex()})


def urllib3_timeout(timeout: Any) -> urllib3.Timeout:
    """Turn the value of `timeout=` into a `urllib3.Timeout`.

    Raises:
        ValueError: It is no timeout.
    """
    if isinstance(timeout, urllib3.Timeout):
        return timeout
    plan = plan_timeout(timeout)
    total = total_left(timeout) if isinstance(timeout, Timeout) else None
    return urllib3.Timeout(total=total, connect=plan.connect, read=plan.read)


def proxy_url(proxy: str) -> str:
    """Return a proxy's URL with a scheme, `http` if it has none.

    Raises:
        InvalidProxyURL: It has no host.
        TypeError: It is no text.
    """
    if not isinstance(proxy, str):
        raise TypeError(
            f"the values of proxies must be URLs, such as 'http://proxy:3128', not {proxy!r}"
        )
    url = prepend_scheme_if_needed(proxy, "http")
    if not parse_url(url).host:
        raise InvalidProxyURL(
            "Please check proxy URL. It is malformed and could be missing the host: "
            f"{without_credentials(proxy)!r}. Look at proxies= and at the *_PROXY variables."
        )
    return url


class SOCKSProxyManager(PoolManager):
    """Returns pools whose connections go through a SOCKS proxy.

    Args:
        proxy_url: `socks5h://user:password@host:port`, or another SOCKS version.
        username: `None` for the one in the URL.
        password: `None` for the one in the URL.
        **settings: As urllib3's `PoolManager` takes them.
    """

    def __init__(
        self,
        proxy_url: str,
        username: str | None = None,
        password: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.proxy_url = proxy_url
        self.username = username
        self.password = password


def require_socks() -> None:
    """Check that the library for SOCKS is installed.

    Raises:
        InvalidSchema: It is not.
    """
    try:
        import socksio  # noqa: F401
    except ImportError as error:
        raise InvalidSchema(
            "Missing dependencies for SOCKS support: pip install socksio"
        ) from error


def proxy_of(url: str, manager: Any) -> Proxy:
    """Return the proxy of a urllib3 manager as the network takes it.

    Args:
        url: Its URL.
        manager: urllib3's `ProxyManager`, or a `SOCKSProxyManager`.
    """
    parts = parse_url(url)
    scheme = (parts.scheme or "http").lower()
    host = (parts.host or "").strip("[]").lower()
    if scheme in SOCKS_SCHEMES:
        return Proxy(
            scheme, host, parts.port or 1080, manager.username or None, manager.password or None
        )
    return Proxy(
        scheme,
        host,
        parts.port or DEFAULT_PORTS.get(scheme, 80),
        headers=tuple((manager.proxy_headers or {}).items()),
        tls=_proxy_tls(getattr(manager, "proxy_config", None)),
    )


def _proxy_tls(config: Any) -> TlsSettings | None:
    """Return the settings of TLS that a manager has for its proxy alone; None if it has none.

    Args:
        config: urllib3's `ProxyConfig`: `proxy_ssl_context`, `proxy_assert_hostname` and
            `proxy_assert_fingerprint` of the manager.
    """
    if config is None or config[:1] + config[2:] == (None, None, None):
        return None
    context = config.ssl_context
    return TlsSettings(
        ssl_context=context,
        # A context that verifies nothing says so; the settings of the origin do not apply.
        context_rules=getattr(context, "verify_mode", None) == ssl.CERT_NONE,
        assert_hostname=config.assert_hostname,
        assert_fingerprint=config.assert_fingerprint,
    )
