"""The errors for what is no request: they say what the call takes.

requests fails with an `AttributeError` from deep inside there. The class is kept, since programs
may catch it. Nothing here is called before something looks unusual, or has failed.
"""

from __future__ import annotations

from collections.abc import Iterable

from pooledhttp.records import described

__all__ = ["check_prepared", "check_unprepared", "wrong_method"]

#: What preparing reads of a request.
_UNPREPARED = (
    "method",
    "url",
    "headers",
    "files",
    "data",
    "json",
    "params",
    "auth",
    "cookies",
    "hooks",
)


def check_prepared(request: object, attributes: Iterable[str]) -> None:
    """Check that an object can be sent.

    Args:
        request: What is to be sent: a `PreparedRequest`, or an object like one.
        attributes: The names of what is read of it.

    Raises:
        AttributeError: An attribute is missing.
    """
    if not all(hasattr(request, name) for name in attributes):
        advice = "; session.get(url) sends a request to a URL" if isinstance(request, str) else ""
        raise AttributeError(
            "send takes a PreparedRequest, such as session.prepare_request(Request('GET', url)), "
            f"not {described(request)}{advice}"
        ) from None


def check_unprepared(request: object) -> None:
    """Check that an object can be prepared: a `Request`, or an object like one.

    Raises:
        AttributeError: An attribute is missing.
    """
    if not all(hasattr(request, name) for name in _UNPREPARED):
        advice = "; send(request) sends it" if hasattr(request, "prepare_url") else ""
        raise AttributeError(
            "prepare_request takes a Request, such as Request('GET', url), not "
            f"{described(request)}{advice}"
        )


def wrong_method(method: object) -> AttributeError:
    """Return the error for a method that is no text."""
    return AttributeError(f"method must be a str, such as 'GET', not {method!r}")
