"""Checks of what `fetch` and `download` are called with: an error names the argument at once."""

from __future__ import annotations

import hashlib
import os

from pooledhttp.bulk.inputs import is_iterable_of_items
from pooledhttp.bulk.options import Batches

__all__ = [
    "DOWNLOAD_ADVICE",
    "FETCH_ADVICE",
    "check_batches",
    "check_counts",
    "check_digest",
    "check_input",
    "check_path",
    "check_size",
]

_ON_SESSION = "Set it on a Session, and pass that as session=..."

#: What other programs call an argument of `fetch`, and what to do instead.
FETCH_ADVICE = {
    **dict.fromkeys(
        ("workers", "max_workers", "concurrency", "threads", "parallel", "pool_size"), "jobs"
    ),
    **dict.fromkeys(("headers", "auth", "proxies", "cookies", "verify", "cert"), _ON_SESSION),
    "max_retries": "retries",
    "delay": "Use rate or per_host_rate, in requests a second.",
    "urls": "jobs_or_urls",
    "directory": "sink",
}

#: The same of `download`.
DOWNLOAD_ADVICE = {
    **FETCH_ADVICE,
    **dict.fromkeys(("directory", "dir", "out", "output", "dest", "path", "folder"), "directory"),
    **dict.fromkeys(
        ("resume", "continue_", "skip_existing"),
        "There is no need: a second run goes on where the first one ended.",
    ),
    **dict.fromkeys(("checksum", "hash"), "digest"),
    **dict.fromkeys(("filename", "naming"), "names"),
    "sink": "directory",
    "speed_limit": "limit_rate",
}


def check_input(function: str, source: object) -> None:
    """Check the input of a run.

    Args:
        function: What was called, for the text.
        source: What it was given.

    Raises:
        TypeError: It is a single URL or job, the name of a file, or nothing to iterate over.
    """
    if is_iterable_of_items(source):
        return
    text = f"{function} takes an iterable of URLs and Jobs"
    if isinstance(source, (str, bytes)) and b"://" not in os.fsencode(source):
        raise TypeError(f"{text}; read a file that lists them with bulk.UrlList({source!r})")
    if hasattr(source, "__fspath__"):
        raise TypeError(f"{text}; read a file that lists them with bulk.UrlList(...)")
    if isinstance(source, int | float | None):
        raise TypeError(f"{text}, not {source!r}")
    if callable(source):
        raise TypeError(f"{text}, not a function; call it, and pass what it returns")
    raise TypeError(f"{text}; put a single one into a list")


def check_batches(batches: object) -> None:
    """Check how work goes to the workers of an executor; None is allowed.

    Raises:
        TypeError: It is no `Batches`.
    """
    if not isinstance(batches, Batches | None):
        raise TypeError(f"batches must be bulk.Batches(jobs=512), or None, not {batches!r}")


def check_counts(**limits: object) -> None:
    """Check that limits are whole numbers; `jobs` must be one, the others may be None.

    Raises:
        TypeError: One is not.
    """
    for name, value in limits.items():
        if value is None and name != "jobs":
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            or_none = "" if name == "jobs" else ", or None for no limit"
            raise TypeError(f"{name} must be a whole number{or_none}, not {value!r}")


def check_size(name: str, value: object) -> None:
    """Check a number of bytes, or None.

    Raises:
        TypeError: It is neither.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{name} must be a number of bytes, or None for no limit, not {value!r}")


def check_digest(name: object) -> None:
    """Check the name of a digest, or None.

    Raises:
        ValueError: `hashlib` has no such digest, or its length is not fixed, as of shake_128.
    """
    if name is None:
        return
    try:
        is_fixed = name in hashlib.algorithms_available and hashlib.new(str(name)).digest_size > 0
    except (TypeError, ValueError):  # OpenSSL knows some only by name, such as md4
        is_fixed = False
    if not is_fixed:
        raise ValueError(f"digest must be the name of an algorithm such as 'sha256', not {name!r}")


def check_path(name: str, value: object) -> None:
    """Check that an argument can be a path.

    Raises:
        TypeError: It cannot.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, not {value!r}")
