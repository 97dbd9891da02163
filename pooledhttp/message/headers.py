"""Header fields: the ones every session begins with, which may be sent, and how some are read.

`check_header_validity` is the gate. A field whose name or value could end the line early, or begin
one of its own, is refused before anything is prepared: a name is a token of RFC 9110, a value
holds no control character but the tab and does not begin with white space. (White space at the
*end* of a value is let through, as requests lets it through; it is no part of the value, and the
wire leaves it off.)

The default `User-Agent` names requests and the release of it that is followed here, because
servers that look at it at all know that one, and a program that changes its client should see no
other responses.
"""

from __future__ import annotations

import re
from typing import Final

from urllib3.util import make_headers

from pooledhttp.exceptions import InvalidHeader
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import CREDENTIALS, TOKEN

__all__ = [
    "DEFAULT_ACCEPT_ENCODING",
    "FOLLOWED_RELEASE",
    "HEADER_VALIDATORS",
    "check_header_validity",
    "default_headers",
    "default_user_agent",
    "parse_content_type",
    "parse_header_links",
]

#: The release of requests whose behaviour this package follows.
FOLLOWED_RELEASE: Final = "2.34.2"

#: What can be decoded, and so may be asked for: gzip, deflate, and br and zstd where installed.
DEFAULT_ACCEPT_ENCODING: Final = ", ".join(
    coding.strip() for coding in make_headers(accept_encoding=True)["accept-encoding"].split(",")
)

_NAME = rf"{TOKEN}\Z"
_VALUE = r"(?:[^\x00-\x20\x7f][^\x00-\x08\x0a-\x1f\x7f]*)?\Z"

_STR_VALIDATORS = (re.compile(_NAME), re.compile(_VALUE))
_BYTES_VALIDATORS = (re.compile(_NAME.encode()), re.compile(_VALUE.encode()))

#: By type, the patterns a name and a value have to match.
HEADER_VALIDATORS: Final = {bytes: _BYTES_VALIDATORS, str: _STR_VALIDATORS}

#: Fields whose values must not get into logs with the text of an error.
_NOT_SHOWN = CREDENTIALS | {"x-api-key"}

# Where one `<url>` of a Link field ends and the next begins.
_BETWEEN_LINKS = re.compile(r",\s*<")
_PADDING = " '\""


def default_user_agent(name: str = "python-requests") -> str:
    """Return a `User-Agent`: `name`, and the release of requests that is followed here."""
    return f"{name}/{FOLLOWED_RELEASE}"


def default_headers() -> CaseInsensitiveDict[str | bytes]:
    """Return the header fields a session begins with, in the order in which they are sent."""
    return CaseInsensitiveDict(
        {
            "User-Agent": default_user_agent(),
            "Accept-Encoding": DEFAULT_ACCEPT_ENCODING,
            "Accept": "*/*",
            "Connection": "keep-alive",
        }
    )


def check_header_validity(header: tuple[str | bytes, str | bytes]) -> None:
    """Refuse a header field that is none, or that would be more than one on the wire.

    Args:
        header: Name and value.

    Raises:
        InvalidHeader: The name is not a token, the value begins with white space or holds a control
            character, or one of them is neither str nor bytes.
    """
    name, value = header
    if isinstance(name, str) and isinstance(value, str):
        if _STR_VALIDATORS[0].match(name) and _STR_VALIDATORS[1].match(value):
            return
    for what, part, index in (("name", header[0], 0), ("value", header[1], 1)):
        if isinstance(part, str):
            is_sound = _STR_VALIDATORS[index].match(part) is not None
        elif isinstance(part, bytes):
            is_sound = _BYTES_VALIDATORS[index].match(part) is not None
        else:
            raise InvalidHeader(
                f"Header part ({part!r}) from {header!r} must be of type str or bytes, "
                f"not {type(part)}"
            )
        if not is_sound:
            raise InvalidHeader(
                "Invalid leading whitespace, reserved character(s), or return character(s) "
                f"in header {what}: {_shown_part(what, part, name)}"
            )


def _shown_part(what: str, part: str | bytes, name: object) -> str:
    """Return a part of a field for a message; a value that is a credential is not shown."""
    if what == "name":
        return repr(part)
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    shown = "(not shown)" if text.lower() in _NOT_SHOWN else repr(part)
    return f"{shown}, in {text!r}. Remove line breaks, for example by strip()"


def parse_header_links(value: str) -> list[dict[str, str]]:
    """Read a `Link` field.

    Args:
        value: As in `<https://x/2>; rel=next, <https://x/9>; rel=last`.

    Returns:
        For each link its target as `url`, and its parameters by name, without quotes.
    """
    links: list[dict[str, str]] = []
    value = value.strip(_PADDING)
    if not value:
        return links
    for entry in _BETWEEN_LINKS.split(value):
        target, _, parameters = entry.partition(";")
        link = {"url": target.strip(f"<>{_PADDING}")}
        for parameter in parameters.split(";"):
            pair = parameter.split("=")
            if len(pair) != 2:  # not one name and one value: nothing after it can be trusted
                break
            name, content = (part.strip(_PADDING) for part in pair)
            link[name] = content
        links.append(link)
    return links


def parse_content_type(header: str) -> tuple[str, dict[str, str]]:
    """Read a `Content-Type` field.

    Args:
        header: As in `text/html; charset=utf-8`.

    Returns:
        The media type, and the parameters with their names in lower case. Quotes of either kind
        around a name or value are dropped, and so is a parameter without a value.
    """
    media_type, *rest = header.split(";")
    parameters: dict[str, str] = {}
    for parameter in rest:
        name, equals, value = parameter.partition("=")
        if equals:
            parameters[name.strip(_PADDING).lower()] = value.strip(_PADDING)
    return media_type.strip(), parameters
