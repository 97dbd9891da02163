"""What a bug report should say: `python -m pooledhttp.help` prints it as JSON."""

from __future__ import annotations

import json
import platform
import ssl
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import charset_normalizer
import h11
import idna
import urllib3

from pooledhttp.__version__ import __version__ as pooledhttp_version
from pooledhttp.message.headers import FOLLOWED_RELEASE as requests_version

__all__ = ["info", "main"]


def _optional(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


chardet = _optional("chardet")
cryptography = _optional("cryptography")
greenlet = _optional("greenlet")
pyopenssl = _optional("urllib3.contrib.pyopenssl")
OpenSSL = _optional("OpenSSL") if pyopenssl is not None else None


def _implementation() -> dict[str, str]:
    """Return name and version of the Python this runs on."""
    name = platform.python_implementation()
    if name != "PyPy":
        return {"name": name, "version": platform.python_version()}
    level: Any = getattr(sys, "pypy_version_info", sys.version_info)
    version = f"{level.major}.{level.minor}.{level.micro}"
    return {"name": name, "version": version + ("" if level.releaselevel == "final" else level[3])}


def _version_of(module: object, missing: str | None = "") -> dict[str, str | None]:
    return {"version": getattr(module, "__version__", missing)}


def info() -> dict[str, Any]:
    """Return versions of everything that takes part in a request.

    `requests` is the release whose behaviour is followed, not one that is installed.
    """
    openssl = _version_of(OpenSSL, None)
    openssl["openssl_version"] = (
        f"{OpenSSL.SSL.OPENSSL_VERSION_NUMBER:x}" if OpenSSL is not None else ""
    )
    return {
        "platform": {"system": platform.system(), "release": platform.release()},
        "implementation": _implementation(),
        "system_ssl": {"version": f"{ssl.OPENSSL_VERSION_NUMBER:x}"},
        "using_pyopenssl": pyopenssl is not None,
        "using_charset_normalizer": chardet is None,
        "pyOpenSSL": openssl,
        "urllib3": _version_of(urllib3),
        "chardet": _version_of(chardet, None),
        "charset_normalizer": _version_of(charset_normalizer),
        "cryptography": _version_of(cryptography),
        "idna": _version_of(idna),
        "requests": {"version": requests_version},
        "pooledhttp": {"version": pooledhttp_version},
        "h11": _version_of(h11),
        "greenlet": _version_of(greenlet),
    }


def main() -> None:
    """Print `info()` as JSON."""
    print(json.dumps(info(), sort_keys=True, indent=2))


if __name__ == "__main__":
    main()
