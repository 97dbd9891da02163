"""Response heads that were parsed before, and what was made of them.

Servers repeat themselves: within one second even the Date field of a page is the same. A head that
is the same to the byte is parsed, checked and described once; the next time its `Head` is found
here. Later the head differs in few values: another Date, another ETag, another length. Then the
`Head` is the old one with these values (`_Sample`).

That is right only because a `Head` depends on nothing but

    the bytes of the head     the key
    the method                in the key: a response to HEAD has no body (RFC 9112, section 6.3)
    `http.client._MAXHEADERS` in the key: programs change it, see `ResponseLimits.max_fields`
    the parser, the limits    each connection has the memo for its own (`HeadMemos`)
    how it arrived            whole and first: in the first bytes of the exchange, with its blank
                              line; both when it is kept and when it is found

Not kept is what is not plain: interim responses, a switch of protocols, CONNECT, heads that were
repaired or leave any doubt, chunked and close-delimited bodies, heads that another parser than the
chosen one has read, and large heads. While a program has replaced the parser, nothing is kept or
found.

A value decides nothing else if its field is none of `FRAMING_FIELDS`. It is taken only if no parser
could see anything but one value in it: visible ASCII and blanks, behind the same name, a colon and
one space. Of a Keep-Alive, the number of requests may differ (`max`). A Content-Length decides
nothing but the length of the body, where there is one: another number is taken if it has only
digits, and no zero before them. Any other difference is left to the parser.

A `Head` is never changed, so threads can share one. The table is a plain dict, and each access to
it is a single operation: without a lock, the worst that threads can do is to parse a head twice.
"""

from __future__ import annotations

import http.client
import re
from itertools import compress, count
from operator import ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.parsers import ParserLibrary
    from pooledhttp.http1.response_head import Head

__all__ = [
    "FRAMING_FIELDS",
    "HEAD_END",
    "MOST_HEADS",
    "MOST_HEAD_BYTES",
    "PLAIN_LENGTH",
    "PLAIN_VALUE",
    "HeadMemo",
    "HeadMemos",
    "plain_values",
]

HEAD_END = b"\r\n\r\n"

#: The largest head that is kept, and how many are. When there are more, all are dropped: a server
#: whose heads never repeat then costs one insertion a head, and no order has to be maintained.
MOST_HEAD_BYTES = 4096
MOST_HEADS = 256

#: Samples in one memo, for status lines and numbers of fields; all are dropped when there are more.
MOST_SAMPLES = 32

#: Fields that decide on the body or the connection, or to which a parser gives a meaning.
FRAMING_FIELDS = frozenset(
    {
        *(b"content-length", b"transfer-encoding", b"connection", b"keep-alive"),
        *(b"proxy-connection", b"upgrade"),
    }
)
#: A value that all parsers read as it is.
PLAIN_VALUE = re.compile(rb"[!-~]+(?:[ \t]+[!-~]+)*")
#: A length that all parsers read as the same number.
PLAIN_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")

#: As Apache counts down how many requests a connection has left, which decides nothing here.
_KEEP_ALIVE = re.compile(rb"timeout=([0-9]{1,9}), max=[0-9]{1,9}")

#: Pairs of parser and limits. A pool has one pair, or one for each adapter that shares it.
MOST_MEMOS = 16


#: A head without its blank line, the method of the request, and `http.client._MAXHEADERS`.
_Key = tuple[bytes, bytes, int]


class HeadMemo:
    """The heads that one parser has read within the same limits.

    Args:
        library: Tells whether its parser is still the original.
        limits: Those of the parser.
    """

    __slots__ = ("_heads", "_last", "_library", "_most_bytes", "_samples", "_seen_once")

    def __init__(self, library: ParserLibrary, limits: ResponseLimits) -> None:
        self._library = library
        #: Larger heads are not made from others: whether they are refused is for the parser to say.
        self._most_bytes = limits.head_bytes - len(HEAD_END)
        self._heads: dict[_Key, Head] = {}
        #: The one found last: most heads are like the one before, and comparing costs no hash.
        self._last: tuple[_Key, Head] | tuple[None, None] = (None, None)
        #: The last head with a status line and a number of lines, for a method.
        self._samples: dict[tuple[bytes, int, bytes, int], _Sample] = {}
        #: Hashes of heads that were found by a sample, and are kept when they come again.
        self._seen_once: set[int] = set()

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, start: bytes, method: bytes) -> Head | None:
        """Return what was made of a head; `None` if it is not known.

        Args:
            start: The head without its blank line.
            method: The method of the request.
        """
        most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        key = start, method, most
        last_key, head = self._last
        if not self._library.is_original():
            return None
        if key != last_key:
            head = self._heads.get(key)
            if head is None:
                return self._find_alike(key)
            self._last = key, head
        return head

    def _find_alike(self, key: _Key) -> Head | None:
        """Return the `Head` of a head that is like a sample; keep it if it comes again.

        Many heads never do: each file has its own length and ETag.
        """
        start, method, most = key
        if len(start) > self._most_bytes:
            return None
        lines = start.split(b"\r\n")
        sample = self._samples.get((lines[0], len(lines), method, most))
        head = None if sample is None else sample.with_values_of(lines)
        if head is not None:
            seen = self._seen_once
            mark = hash(start)
            if mark in seen:
                self._add(key, head)
            else:
                if len(seen) >= MOST_HEADS:
                    seen.clear()
                seen.add(mark)
        return head

    def keep(self, start: bytes, method: bytes, head: Head) -> None:
        """Keep what was made of a head that arrived whole, unless it is not plain.

        Args:
            start: The head without its blank line.
            method: The method of the request.
            head: What the parser and `HeadReader` have made of it.
        """
        is_plain = (
            head.body_length is not None
            and not (head.is_chunked or head.is_switch or head.is_doubtful or head.repairs)
            and head.parser == self._library.name
            and method != b"CONNECT"
        )
        if not is_plain or not self._library.is_original():
            return
        most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        self._add((start, method, most), head)
        lines = start.split(b"\r\n")
        if len(self._samples) >= MOST_SAMPLES:
            self._samples.clear()
        self._samples[lines[0], len(lines), method, most] = _Sample(lines, head, method)

    def _add(self, key: _Key, head: Head) -> None:
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()
        self._heads[key] = head


class _Sample:
    """A head that was parsed, and its lines, to compare others with.

    It becomes the last head that was like it: two that follow each other have more values in
    common, such as the Date of the same second.

    Args:
        lines: The lines of the head.
        head: What was made of them.
        method: The method of the request.
    """

    __slots__ = ("_last", "_method", "_places")

    def __init__(self, lines: list[bytes], head: Head, method: bytes) -> None:
        #: In one attribute, so that threads see lines with their own head.
        self._last = lines, head
        self._method = method
        #: Made for the first comparison: a head that differs in everything is never compared.
        self._places: list[_Place] | None = None

    def with_values_of(self, lines: list[bytes]) -> Head | None:
        """Return the `Head` of lines that differ from the sample's in plain values only.

        Args:
            lines: As many as the sample has; the first is the same.

        Returns:
            `None` if they differ in anything else.
        """
        last_lines, head = self._last
        places = self._places
        if places is None:
            places = self._places = _places(last_lines, head, self._method)
        fields, by_name, length = [*head.fields], head.by_name.copy(), head.body_length
        for at in compress(count(), map(ne, lines, last_lines)):
            line = lines[at]
            start, size, name, lower, plain = places[at]
            if plain is None or not line.startswith(start) or not plain.fullmatch(line, size):
                return None
            value = line[size:]
            fields[at - 1] = name, value
            if lower is not None:
                by_name[lower] = value
            if plain is PLAIN_LENGTH:
                length = int(value)
        found = head.with_fields(tuple(fields), by_name, length)
        self._last = lines, found
        return found


#: Of one line: what comes before its value, and the bytes of that; the name of the field; the name
#: in lower case if no later field has the same; and what another value must match, `None` if no
#: other value may take its place.
_Place = tuple[bytes, int, bytes, bytes | None, "re.Pattern[bytes] | None"]

_FIXED: _Place = (b"", 0, b"", None, None)


def _places(lines: list[bytes], head: Head, method: bytes) -> list[_Place]:
    """Tell of each line which other values change nothing but that value."""
    fields = head.fields
    if len(lines) != len(fields) + 1 or not all(
        line.startswith(name + b":") for line, (name, _) in zip(lines[1:], fields, strict=True)
    ):  # a field is folded, or merged with another one
        return [_FIXED] * len(lines)
    has_body = method != b"HEAD" and head.status not in (204, 304)
    last = {name.lower(): place for place, (name, _) in enumerate(fields)}
    places = [_FIXED]  # of the status line
    for place, (name, value) in enumerate(fields):
        lower = name.lower()
        plain = plain_values(lower, value)
        if lower == b"content-length" and has_body:  # a plain head has it once
            plain = PLAIN_LENGTH
        start = name + b": "
        is_last = last[lower] == place
        places.append((start, len(start), name, lower if is_last else None, plain))
    return places


def plain_values(name: bytes, value: bytes) -> re.Pattern[bytes] | None:
    """Return what the values of a field match that decide nothing, or the same as this one.

    Args:
        name: The name of the field, in lower case; not `content-length`.
        value: Its value in a head that was parsed.

    Returns:
        `None` if another value may decide something else.
    """
    if name not in FRAMING_FIELDS:
        return PLAIN_VALUE
    counted = _KEEP_ALIVE.fullmatch(value) if name == b"keep-alive" else None
    return None if counted is None else re.compile(b"timeout=%s, max=[0-9]{1,9}" % counted[1])


class HeadMemos:
    """The memos of one owner of connections. Heads may hold cookies: they are freed with it."""

    __slots__ = ("_memos",)

    def __init__(self) -> None:
        self._memos: dict[tuple[str, ResponseLimits], HeadMemo] = {}

    def memo_for(self, library: ParserLibrary, limits: ResponseLimits) -> HeadMemo:
        """Return the memo for a parser and limits."""
        key = library.name, limits
        memo = self._memos.get(key)
        if memo is None:
            if len(self._memos) >= MOST_MEMOS:
                self._memos.clear()
            memo = self._memos[key] = HeadMemo(library, limits)
        return memo
