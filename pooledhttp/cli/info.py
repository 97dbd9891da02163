"""`pooledhttp info`: versions and settings, for a bug report.

Nothing in it is secret: no value of an environment variable, and no path but that of the CA bundle.
"""

from __future__ import annotations

import argparse
import json
import platform
import ssl
import sys
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]

_REQUIRED = ("h11", "urllib3", "certifi", "idna", "charset-normalizer")

_EXTRAS = {
    "aio": "greenlet",
    "fast": "httptools",
    "socks": "socksio",
    "brotli": "brotli",
    "zstd": "backports.zstd",
    "demo": "trustme",
    "progress": "rich",
    "prometheus": "prometheus-client",
    "opentelemetry": "opentelemetry-api",
    "truststore": "truststore",
}


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "info",
        help="show versions and settings, for a bug report",
        description="Show versions, TLS, CA bundle and the extras that are installed.",
        epilog="Examples: pooledhttp info; pooledhttp info --json > report.json",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def main(args: argparse.Namespace) -> int:
    """Print the report."""
    facts = _facts()
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for part, version in value.items():
                print(f"  {part:<20} {version or 'not installed'}")
        else:
            print(f"{name:<22} {value}")
    return 0


def _facts() -> dict[str, str | dict[str, str | None]]:
    """Collect what a bug report needs."""
    from pooledhttp import certs
    from pooledhttp.__version__ import __version__
    from pooledhttp.http1 import chosen_name

    return {
        "pooledhttp": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "tls": ssl.OPENSSL_VERSION,
        "ca bundle": certs.where(),
        "parser": chosen_name("auto"),
        "file system": sys.getfilesystemencoding(),
        "libraries": {name: _version(name) for name in _REQUIRED},
        "extras": {extra: _version(name) for extra, name in _EXTRAS.items()},
    }


def _version(distribution: str) -> str | None:
    """Return the installed version, or `None` if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
