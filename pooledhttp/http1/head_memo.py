"""Response heads that were parsed before, and what was made of them.

Servers repeat themselves: within one second even the Date field of a page is the same. A head that
is the same to the byte is parsed, checked and described once; the next time its `Head` is found
here. That is right only because a `Head` depends on nothing but

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

A `Head` is never changed, so threads can share one. The table is a plain dict, and each access to
it is a single operation: without a lock, the worst that threads can do is to parse a head twice.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.parsers import ParserLibrary
    from pooledhttp.http1.response_head import Head

__all__ = ["HEAD_END", "MOST_HEAD_BYTES", "MOST_HEADS", "HeadMemo", "HeadMemos"]

HEAD_END = b"\r\n\r\n"

#: The largest head that is kept, and how many are. When there are more, all are dropped: a server
#: whose heads never repeat then costs one insertion a head, and no order has to be maintained.
MOST_HEAD_BYTES = 4096
MOST_HEADS = 256

#: Pairs of parser and limits. A pool has one pair, or one for each adapter that shares it.
MOST_MEMOS = 16


class HeadMemo:
    """The heads that one parser has read within the same limits.

    Args:
        library: Tells whether its parser is still the original.
    """

    __slots__ = ("_heads", "_library")

    def __init__(self, library: ParserLibrary) -> None:
        self._library = library
        self._heads: dict[tuple[bytes, bytes, int], Head] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, start: bytes, method: bytes) -> Head | None:
        """Return what was made of a head; `None` if it is not known.

        Args:
            start: The head without its blank line.
            method: The method of the request.
        """
        most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        head = self._heads.get((start, method, most))
        return head if head is None or self._library.is_original() else None

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
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()
        most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        self._heads[start, method, most] = head


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
            memo = self._memos[key] = HeadMemo(library)
        return memo
