"""Versions for a bug report: `python -m pooledhttp.help` prints them as JSON.

The libraries are attributes of this module (`help.idna`), which can be replaced. They are imported
on first access: some of them are large, and a program may never need them.
"""

from __future__ import annotations

import json
import platform
import ssl
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from pooledhttp.__version__ import __version__ as pooledhttp_version
from pooledhttp.message.headers import FOLLOWED_RELEASE as requests_version

__all__ = ["info", "main"]

#: Name in this module to the module that it is. None of them has to be installed.
_LIBRARIES = {
    "OpenSSL": "OpenSSL",
    "chardet": "chardet",
    "charset_normalizer": "charset_normalizer",
    "cryptography": "cryptography",
    "greenlet": "greenlet",
    "h11": "h11",
    "idna": "idna",
    "pyopenssl": "urllib3.contrib.pyopenssl",
    "urllib3": "urllib3",
}


def __getattr__(name: str) -> ModuleType | None:
    if name not in _LIBRARIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module(_LIBRARIES[name])
    except ImportError:
        return None


def _library(name: str) -> Any:
    """Return a library, or what was put in its place, or `None`."""
    return globals()[name] if name in globals() else __getattr__(name)


def _version_of(name: str, missing: str | None = "") -> dict[str, str | None]:
    return {"version": getattr(_library(name), "__version__", missing)}


def _implementation() -> dict[str, str]:
    """Return name and version of the Python this runs on."""
    name = platform.python_implementation()
    if name != "PyPy":
        return {"name": name, "version": platform.python_version()}
    level: Any = getattr(sys, "pypy_version_info", sys.version_info)
    version = f"{level.major}.{level.minor}.{level.micro}"
    return {"name": name, "version": version + ("" if level.releaselevel == "final" else level[3])}


def _openssl() -> dict[str, str | None]:
    """Return the version of pyOpenSSL, and of the OpenSSL it brings, where urllib3 can use it."""
    if _library("pyopenssl") is None or _library("OpenSSL") is None:
        return {"version": None, "openssl_version": ""}
    number = _library("OpenSSL").SSL.OPENSSL_VERSION_NUMBER
    return {**_version_of("OpenSSL", None), "openssl_version": f"{number:x}"}


def info() -> dict[str, Any]:
    """Return the versions of everything that takes part in a request.

    `requests` is the release whose behaviour is followed, not one that is installed.
    """
    return {
        "platform": {"system": platform.system(), "release": platform.release()},
        "implementation": _implementation(),
        "system_ssl": {"version": f"{ssl.OPENSSL_VERSION_NUMBER:x}"},
        "using_pyopenssl": _library("pyopenssl") is not None,
        "using_charset_normalizer": _library("chardet") is None,
        "pyOpenSSL": _openssl(),
        "urllib3": _version_of("urllib3"),
        "chardet": _version_of("chardet", None),
        "charset_normalizer": _version_of("charset_normalizer"),
        "cryptography": _version_of("cryptography"),
        "idna": _version_of("idna"),
        "requests": {"version": requests_version},
        "pooledhttp": {"version": pooledhttp_version},
        "h11": _version_of("h11"),
        "greenlet": _version_of("greenlet"),
    }


def main() -> None:
    """Print `info()` as JSON."""
    print(json.dumps(info(), sort_keys=True, indent=2))


if __name__ == "__main__":
    main()
