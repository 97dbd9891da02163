"""`Set-Cookie` lines, in the form in which `http.cookiejar` reads them as RFC 6265 does.

    a=b; Max-Age=soon; Path=here      ->  a=b                     the attributes make no sense
    a=b; Max-Age="60"; Domain="c.d"   ->  a=b                     quotes are part of a value
    a=b; Domain=one.d; Domain=two.d   ->  a=b; Domain=two.d       the last one counts

`http.cookiejar` drops the cookie in the first two cases and takes the first `Domain` in the third.
A line with a control character is left out as a whole (RFC 6265bis, section 5.6): a cookie made
from it would spoil every later request to that server.
"""

from __future__ import annotations

import re
from http.cookiejar import http2time  # type: ignore[attr-defined]
from typing import Any

__all__ = ["CONTROL", "ReadableFields", "attributes_of"]

#: Control characters but for the tab, which may stand between the parts of a field.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: RFC 6265, section 5.2.2: a digit or a minus first, and digits behind it.
_SECONDS = re.compile(r"-?[0-9]+")

#: A line that needs no change: every attribute well-formed, and none of those below twice.
_COMMON = re.compile(
    r"[^;]*(?:; ?(?:Secure|HttpOnly|SameSite=[A-Za-z]+))*(?:; ?Max-Age=-?[0-9]+)?"
    r"(?:; ?Domain=[^;\s\"]+)?(?:; ?Path=/[^;]*)?(?:; ?(?:Secure|HttpOnly|SameSite=[A-Za-z]+))*"
)

#: Attributes of which only the last one counts.
_LAST_COUNTS = frozenset({"domain", "path", "max-age", "expires"})


class ReadableFields:
    """Header fields whose `get_all` gives `Set-Cookie` lines in the form described above.

    Args:
        fields: An `email.message.Message`, or something else with its `get_all`.
    """

    def __init__(self, fields: Any) -> None:
        self._fields = fields
        self._read: dict[str, Any] = {}

    def get_all(self, name: str, default: Any = None) -> Any:
        """Return every value of a field, or `default` if there is none."""
        if name in self._read:
            found = self._read[name]
        else:
            found = self._read[name] = self._values(name)
        return default if found is None else found

    def _values(self, name: str) -> Any:
        values = self._fields.get_all(name, None)
        if values is None:
            return None
        values = [value for value in values if not CONTROL.search(str(value))]
        return [_in_form(str(value)) for value in values] if name == "Set-Cookie" else values

    def any(self) -> bool:
        """Return whether there is a cookie to be read at all."""
        return bool(self.get_all("Set-Cookie") or self.get_all("Set-Cookie2"))


def attributes_of(line: str) -> tuple[str, dict[str, str]]:
    """Return the cookie's name, and its attributes by name in lower case; the last one counts."""
    pair, *attributes = line.split(";")
    pairs = (attribute.partition("=") for attribute in attributes)
    return pair.partition("=")[0].strip(), {
        name.strip().lower(): value.strip() for name, _, value in pairs
    }


def _in_form(line: str) -> str:
    # Most lines are: at most one attribute of each kind, each with a value that makes sense.
    if _COMMON.fullmatch(line):
        return line
    pair, *attributes = line.split(";")
    kept: list[str] = []
    seen: set[str] = set()
    for attribute in reversed(attributes):
        name, _, value = attribute.partition("=")
        name, value = name.strip().lower(), value.strip()
        if name not in _LAST_COUNTS:
            kept.append(attribute)
            continue
        is_void = _is_void(name, value)
        # A path without sense stands for the default path, and so replaces one before it.
        if name not in seen and not is_void:
            kept.append(attribute)
        if not is_void or name == "path":
            seen.add(name)
    return line if len(kept) == len(attributes) else ";".join([pair, *reversed(kept)])


def _is_void(name: str, value: str) -> bool:
    """Whether an attribute is to be ignored (RFC 6265, sections 5.2.2 to 5.2.4)."""
    if name == "domain":
        return not value or value.startswith('"')
    if name == "max-age":
        return not _SECONDS.fullmatch(value)
    if name == "expires":
        return http2time(value.strip('"')) is None
    return not value.startswith("/")
