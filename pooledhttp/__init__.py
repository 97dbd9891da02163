"""pooledhttp: the interface of requests, over connection pools like those of a database client.

    import pooledhttp as requests

    with requests.Session() as session:
        print(session.get("https://example.com/", timeout=10).status_code)

Every name that requests has at this level is here. In addition there are:

    PoolConfig             limits and lifetimes of a session's connections: Session(pool=...)
    HostLimits             the limits of one host among PoolConfig's overrides
    Retry                  a retry policy with jitter and a budget: Session(retries=...)
    Timeout(total=...)     one deadline for a whole request: get(url, timeout=...)
    PoolTimeout, PoolClosed, WriteTimeout, BodyTimeout     errors that requests does not have
    AsyncSession           the same session on an asyncio event loop, loaded when first used
    bulk, monitoring       subpackages, imported when first used

`Timeout` is one name with two uses, since requests took it first. It is the exception that `except
pooledhttp.Timeout` catches; called with limits as keywords it makes the settings of a request.
"""

from __future__ import annotations

import importlib
import logging
from logging import NullHandler
from typing import TYPE_CHECKING, Any

import urllib3 as urllib3  # scripts call `requests.urllib3.disable_warnings()`

from pooledhttp import (
    _internal_utils,
    adapters,
    api,
    auth,
    certs,
    compat,
    cookies,
    exceptions,
    hooks,
    models,
    packages,
    sessions,
    status_codes,
    structures,
    utils,
)
from pooledhttp.api import delete, get, head, options, patch, post, put, request
from pooledhttp.exceptions import (
    BodyTimeout,
    ConnectionError,
    ConnectTimeout,
    FileModeWarning,
    HTTPError,
    JSONDecodeError,
    PoolClosed,
    PoolTimeout,
    ReadTimeout,
    RequestException,
    RequestsDependencyWarning,
    Timeout,
    TooManyRedirects,
    URLRequired,
    WriteTimeout,
)
from pooledhttp.models import PreparedRequest, Request, Response
from pooledhttp.pool import HostLimits, PoolConfig
from pooledhttp.records import unknown_argument as _unknown_argument
from pooledhttp.retry import Retry
from pooledhttp.sessions import Session, session
from pooledhttp.status_codes import codes
from pooledhttp.timing import Timeout as _Limits

# `as` tells type checkers that a name without a place in `__all__` is meant to be used.
# isort: off
from pooledhttp.__version__ import (
    __author__ as __author__,
    __author_email__ as __author_email__,
    __build__ as __build__,
    __cake__ as __cake__,
    __copyright__ as __copyright__,
    __description__ as __description__,
    __license__ as __license__,
    __title__ as __title__,
    __url__ as __url__,
    __version__ as __version__,
)
# isort: on

if TYPE_CHECKING:
    from pooledhttp import bulk, help, monitoring
    from pooledhttp.aio import AsyncSession as AsyncSession

__all__ = (
    # sending
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "Session",
    "Request",
    "PreparedRequest",
    "Response",
    "codes",
    # errors and warnings
    "BodyTimeout",
    "ConnectionError",
    "ConnectTimeout",
    "FileModeWarning",
    "HTTPError",
    "JSONDecodeError",
    "PoolClosed",
    "PoolTimeout",
    "ReadTimeout",
    "RequestException",
    "RequestsDependencyWarning",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "WriteTimeout",
    # settings
    "HostLimits",
    "PoolConfig",
    "Retry",
    # modules
    "packages",
    "utils",
)

#: Subpackages that take time to import and that most programs do not use.
_LOADED_WHEN_USED = ("aio", "bulk", "help", "monitoring", "dropin")

#: Names of which the same is true, and where they are.
_NAMES_LOADED_WHEN_USED = {"AsyncSession": "aio"}

_LIMITS = ("total", "connect", "read", "write", "pool")

#: The keyword arguments of every exception of requests.
_FACTS = ("request", "response")


def _new_timeout(cls: type[Timeout], *args: Any, **keywords: Any) -> Any:
    """Make an instance of the exception, or settings if all arguments are limits."""
    if cls is Timeout and keywords and not args:
        unknown = [name for name in keywords if name not in _LIMITS]
        if not unknown:
            return _Limits(**keywords)
        if unknown[0] not in _FACTS:
            raise _unknown_argument("Timeout", unknown[0], _LIMITS)
    return RequestException.__new__(cls, *args)


Timeout.__new__ = _new_timeout  # type: ignore[method-assign,assignment]

# A library does not log unless the program configures logging.
logging.getLogger(__name__).addHandler(NullHandler())


def __getattr__(name: str) -> Any:
    if name in _NAMES_LOADED_WHEN_USED:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES_LOADED_WHEN_USED[name]}"), name)
    if name in _LOADED_WHEN_USED:
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            # Code that inspects a package expects this class, whatever is not installed.
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}: {error}"
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_WHEN_USED, *_NAMES_LOADED_WHEN_USED})


def check_compatibility(
    urllib3_version: str, chardet_version: str | None, charset_normalizer_version: str | None
) -> None:
    """Check that the versions of the libraries underneath are ones this package works with.

    Args:
        urllib3_version: As `urllib3.__version__`.
        chardet_version: Of chardet, which is not used; None when it is not installed.
        charset_normalizer_version: Of charset-normalizer; None when it is not installed.

    Raises:
        AssertionError: One of them is too old or too new.
    """
    if not (2, 5) <= _numbers(urllib3_version) < (3,):
        raise AssertionError(f"urllib3 {urllib3_version} is not supported; install 2.6 or later")
    guesser = charset_normalizer_version
    if not chardet_version and guesser and not (2,) <= _numbers(guesser) < (4,):
        raise AssertionError(f"charset-normalizer {guesser} is not supported; install 2.x or 3.x")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 8, 0) for `2.8.0.dev1`."""
    leading = []
    for part in version.split(".")[:3]:
        if not part.isdigit():
            break
        leading.append(int(part))
    return tuple(leading)
