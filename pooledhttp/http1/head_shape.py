"""What the heads of one host have in common, as a pattern that finds the next one in its bytes.

A client that fetches many small files from one host gets the same head again and again: other
dates, lengths and tags, in the same fields. `head_memo` makes a `Head` of such a head. Who needs
no `Head`, only the length of the body and its validators, finds them here by one match.

A shape is made from a head that the parser has read. It fits bytes under the rules of `head_memo`:
the length has a plain number, and the other fields have values that decide the same. The names,
their order and the status line are the same. What does not fit is left to the parser.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING

from pooledhttp.http1.head_memo import (
    HEAD_END,
    MOST_HEAD_BYTES,
    PLAIN_LENGTH,
    plain_values,
)

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.parsers import ParserLibrary
    from pooledhttp.http1.response_head import Head

__all__ = ["HeadShape", "HeadShapes"]

#: Field names and the groups of their values.
_GROUPS = {
    b"content-length": b"length",
    b"etag": b"etag",
    b"last-modified": b"modified",
}

#: Fields that say more than what the body is.
_ACTED_ON = frozenset({b"content-encoding", b"set-cookie", b"set-cookie2"})

#: The most shapes that are kept of one host, and how many heads in a row may have none of them.
_MOST_SHAPES = 4
_MOST_MISSES = 8

#: Groups that a head may lack: these match nothing.
_MISSING = b"(?:(?P<%s>(?!)))?"


class HeadShape:
    """The shape of heads of small files.

    They have the status 200 and a Content-Length, say nothing that needs to be acted on, as a
    cookie or a coding does, and allow another exchange.

    Attributes:
        pattern: What those heads match.
        keep_seconds: How long the server keeps an idle connection, if it says so.
        reason: The reason phrase.
    """

    __slots__ = (
        *("_library", "_match", "_most_bytes", "_most_fields", "_sample"),
        *("keep_seconds", "pattern", "reason"),
    )

    def __init__(
        self, head: Head, pattern: bytes, library: ParserLibrary, limits: ResponseLimits
    ) -> None:
        """Make the shape of a head, with its pattern; `fits` has returned true for it."""
        self.pattern = pattern
        self.keep_seconds = head.keep_seconds
        self.reason = head.reason
        self._sample = head
        self._library = library
        self._most_bytes = min(limits.head_bytes, MOST_HEAD_BYTES)
        self._most_fields = _most_fields()
        self._match = re.compile(self.pattern).match

    @staticmethod
    def fits(head: Head, library: ParserLibrary) -> bool:
        """Whether there is a shape of a head: it is plain, leaves no doubt, and repeats no field.

        Args:
            head: A head in response to a GET.
            library: The parser that is in use.
        """
        return (
            head.status == 200
            and head.version == 11
            and head.body_length is not None
            and not head.is_chunked
            and not head.repairs
            and head.allows_reuse
            and head.parser == library.name
            and len(head.by_name) == len(head.fields)
            and head.by_name.get(b"content-length", b"").isdigit()
            and head.reason.isascii()
            and _ACTED_ON.isdisjoint(head.by_name)
        )

    def find(self, data: bytes) -> re.Match[bytes] | None:
        """Return the head at the beginning of a response; `None` if it is of another shape.

        Args:
            data: What has arrived.

        Returns:
            A match with the groups `length`, `etag` and `modified`, of which those are `None` that
            the head does not have. The body begins at its end.
        """
        if _most_fields() != self._most_fields or not self._library.is_original():
            return None
        found = self._match(data)
        return found if found is not None and found.end() <= self._most_bytes else None

    def head_of(self, data: bytes) -> Head:
        """Return what a parser would have made of a head.

        Args:
            data: The bytes that `find` has matched.
        """
        sample = self._sample
        lines = data[: -len(HEAD_END)].split(b"\r\n")[1:]
        fields = tuple(
            (name, line[len(name) + 2 :])
            for (name, _), line in zip(sample.fields, lines, strict=True)
        )
        by_name = {name.lower(): value for name, value in fields}
        return sample.with_fields(fields, by_name, int(by_name[b"content-length"]))


class HeadShapes:
    """The shapes of the heads of one host. Threads can share them.

    Attributes:
        may_fit: Whether to look for shapes at all: the last heads have not all been odd ones.
    """

    __slots__ = ("_misses", "_shapes", "may_fit")

    def __init__(self) -> None:
        #: The one that was found last comes first.
        self._shapes: tuple[HeadShape, ...] = ()
        self._misses = 0
        self.may_fit = True

    def __bool__(self) -> bool:
        return self._shapes != ()

    def find(self, data: bytes) -> tuple[re.Match[bytes], HeadShape] | None:
        """Return the head at the beginning of a response and its shape; see `HeadShape.find`."""
        shapes = self._shapes
        for shape in shapes:
            found = shape.find(data)
            if found is not None:
                if shape is not shapes[0]:
                    self._put_first(shape)
                self._misses = 0
                return found, shape
        return None

    def learn(self, head: Head, library: ParserLibrary, limits: ResponseLimits) -> None:
        """Keep the shape of a head that the parser has read, if there is one.

        Args:
            head: A head in response to a GET.
            library: The parser.
            limits: Those of the parser.
        """
        if HeadShape.fits(head, library):
            pattern = _pattern(head)
            if any(pattern == known.pattern for known in self._shapes):
                return  # others were under way when it was learned, or the body was a large one
            self._put_first(HeadShape(head, pattern, library, limits))
        self._misses += 1
        self.may_fit = self._misses < _MOST_MISSES

    def try_again(self) -> None:
        """Look for shapes again: the next heads may be others."""
        self._misses, self.may_fit = 0, True

    def _put_first(self, shape: HeadShape) -> None:
        others = [other for other in self._shapes if other is not shape]
        self._shapes = (shape, *others[: _MOST_SHAPES - 1])


def _most_fields() -> int:
    most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
    return most


def _pattern(head: Head) -> bytes:
    """Return the pattern of all heads that have the shape of this one."""
    lines = [b"HTTP/1\\.1 200 " + re.escape(head.reason.encode("ascii"))]
    missing = set(_GROUPS.values())
    for name, value in head.fields:
        lower = name.lower()
        group = _GROUPS.get(lower)
        if group == b"length":
            wanted = PLAIN_LENGTH.pattern
        else:
            plain = plain_values(lower, value)
            wanted = re.escape(value) if plain is None else plain.pattern
        if group is not None:
            missing.discard(group)
            wanted = b"(?P<%s>%s)" % (group, wanted)
        # What has matched a value is not tried again in another way: no value holds a line end.
        lines.append(re.escape(name) + b": (?>" + wanted + b")")
    return b"\r\n".join(lines) + HEAD_END + b"".join(_MISSING % group for group in sorted(missing))
