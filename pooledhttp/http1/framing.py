"""The fields that say where a body ends, read by h11's rules (RFC 9112, section 6).

Whichever parser has read a head, its framing is decided from here, so that it is decided once. The
rules are strict, because two readers that find different ends of a body also find different next
responses.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Framing", "FramingError", "has_close", "read_framing"]

#: More digits are no length of a real body, and converting very many of them takes long.
MAX_LENGTH_DIGITS = 20


class FramingError(ValueError):
    """The fields contradict each other, or say what cannot be read."""


class Framing:
    """What the fields of a message say about its body.

    The defaults are those of the class, so that making one sets nothing.

    Attributes:
        length: Content-Length; `None` without one.
        is_chunked: Whether the message has `Transfer-Encoding: chunked`.
        keep_alive: The value of the last `Keep-Alive`; `None` without one.
        says_close: Whether `Connection` contains `close`.
        repeats_length: Whether Content-Length is given more than once, with equal numbers.
        names: The names of all fields, in lower case.
    """

    names: set[bytes]

    length: int | None = None
    is_chunked = False
    keep_alive: bytes | None = None
    says_close = False
    repeats_length = False


def read_framing(fields: Iterable[tuple[bytes, bytes]]) -> Framing:
    """Read the framing fields of a head or of a trailer.

    Raises:
        FramingError: The lengths differ or are no numbers, or the transfer coding is not just
            `chunked`.
    """
    framing = Framing()
    names = framing.names = set()
    length: bytes | None = None
    for name, value in fields:
        name = name.lower()
        names.add(name)
        if name not in _FRAMING_NAMES:
            continue
        if name == b"content-length":
            framing.repeats_length = length is not None or b"," in value
            length = _one_length(length, value)
        elif name == b"transfer-encoding":
            if framing.is_chunked:
                raise FramingError("multiple Transfer-Encoding headers")
            if value.lower() != b"chunked":
                raise FramingError("Only Transfer-Encoding: chunked is supported")
            framing.is_chunked = True
        elif name == b"connection":
            framing.says_close = framing.says_close or has_close(value)
        elif name == b"keep-alive":
            framing.keep_alive = value
    if length is not None:
        framing.length = int(length)
    return framing


_FRAMING_NAMES = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive"))


def _one_length(earlier: bytes | None, value: bytes) -> bytes:
    """Return the length that a Content-Length gives; a list of equal numbers is one number."""
    if b"," in value:
        lengths = {part.strip() for part in value.split(b",")}
        if len(lengths) != 1:
            raise FramingError("conflicting Content-Length headers")
        value = lengths.pop()
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise FramingError("bad Content-Length")
    if earlier is not None and earlier != value:
        raise FramingError("conflicting Content-Length headers")
    return value


def has_close(connection: bytes) -> bool:
    """Tell whether the value of a Connection field contains `close`."""
    value = connection.lower()
    return value == b"close" or (
        b"close" in value and b"close" in [part.strip() for part in value.split(b",")]
    )
