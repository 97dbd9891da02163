"""How a challenge is written in a header: items between commas, some in quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.request import parse_http_list

__all__ = ["challenges_in", "parse_dict_header", "parse_list_header", "unquote_header_value"]

# A challenge begins with a scheme. What follows tells it from a parameter.
_SCHEME = re.compile(r"([!#$%&'*+.^_`|~\w-]+)(?:[ \t]+(?![ \t=])(.*))?\Z", re.DOTALL)


def unquote_header_value(value: str, is_filename: bool = False) -> str:
    r"""Take the quotes off a header value, and the escapes inside them.

    Args:
        value: The value as it stood in the header; without quotes around it, it comes back
            unchanged.
        is_filename: Whether it names a file: a UNC path (`\\server\share`) then keeps its
            backslashes, because browsers send those unescaped.
    """
    if not value or value[0] != '"' or value[-1] != '"':
        return value
    inner = value[1:-1]
    if is_filename and inner.startswith("\\\\"):
        return inner
    return inner.replace("\\\\", "\\").replace('\\"', '"')


def parse_list_header(value: str) -> list[str]:
    """Split a header value at the commas outside quotes, and unquote quoted items."""
    return [unquote_header_value(item) for item in parse_http_list(value)]


def parse_dict_header(value: str) -> dict[str, str | None]:
    """Read `name=value` pairs between commas; a name that stands alone gets `None`."""
    pairs: dict[str, str | None] = {}
    for item in parse_http_list(value):
        name, equals, content = item.partition("=")
        pairs[name] = unquote_header_value(content) if equals else None
    return pairs


def challenges_in(header: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield scheme, in lower case, and parameters of each challenge in a `WWW-Authenticate` field.

    Commas separate both challenges and their parameters. A part that begins with a word and a
    space, or that is a single word, begins a new challenge.
    """
    scheme, parameters = "", dict[str, str | None]()
    for part in parse_http_list(header):
        beginning = _SCHEME.match(part)
        if beginning:
            if scheme:
                yield scheme, parameters
            scheme, parameters = beginning[1].lower(), {}
            part = beginning[2] or ""
        name, equals, value = part.partition("=")
        if equals:
            parameters[name.strip().lower()] = unquote_header_value(value.strip())
    if scheme:
        yield scheme, parameters
