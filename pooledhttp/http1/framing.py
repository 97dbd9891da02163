"""The fields that say where a body ends, read by h11's rules (RFC 9112, section 6).

Whichever parser has read a head, its framing is decided from here, so that it is decided once. The
rules are strict, because two readers that find different ends of a body also find different next
responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Framing", "FramingError", "has_close", "read_framing", "read_unrepeated"]

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
    """

    length: int | None = None
    is_chunked = False
    keep_alive: bytes | None = None
    says_close = False
    repeats_length = False

    _length: bytes | None = None

    @property
    def request_bytes(self) -> int | None:
        """Bytes of the body if these are the fields of a request; `None` for one in chunks."""
        return None if self.is_chunked else self.length or 0

    def read_length(self, value: bytes) -> None:
        """Read a Content-Length; a list of equal numbers is one number.

        Raises:
            FramingError: It is no number, or another one than before.
        """
        if not value.isdigit() and b"," in value:
            lengths = {part.strip() for part in value.split(b",")}
            if len(lengths) != 1:
                raise FramingError("conflicting Content-Length headers")
            value = lengths.pop()
            self.repeats_length = True
        if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
            raise FramingError("bad Content-Length")
        if self._length is not None:
            if self._length != value:
                raise FramingError("conflicting Content-Length headers")
            self.repeats_length = True
        self._length = value
        self.length = int(value)

    def read_coding(self, value: bytes) -> None:
        """Read a Transfer-Encoding.

        Raises:
            FramingError: It is not `chunked`, or the field is repeated.
        """
        if self.is_chunked:
            raise FramingError("multiple Transfer-Encoding headers")
        if value.lower() != b"chunked":
            raise FramingError("Only Transfer-Encoding: chunked is supported")
        self.is_chunked = True

    def read_connection(self, value: bytes) -> None:
        """Read a Connection field."""
        self.says_close = self.says_close or has_close(value)

    def read_keep_alive(self, value: bytes) -> None:
        """Read a Keep-Alive field."""
        self.keep_alive = value


_RULES = {
    b"content-length": Framing.read_length,
    b"transfer-encoding": Framing.read_coding,
    b"connection": Framing.read_connection,
    b"keep-alive": Framing.read_keep_alive,
}


def read_framing(fields: Iterable[tuple[bytes, bytes]]) -> Framing:
    """Read the framing fields of a head or of a trailer.

    Raises:
        FramingError: The lengths differ or are no numbers, or the transfer coding is not just
            `chunked`.
    """
    framing = Framing()
    for name, value in fields:
        rule = _RULES.get(name.lower())
        if rule is not None:
            rule(framing, value)
    return framing


def read_unrepeated(fields: Mapping[bytes, bytes]) -> Framing:
    """Do what `read_framing` does for fields of which none is repeated, by lower-case name."""
    framing, get = Framing(), fields.get
    if (value := get(b"content-length")) is not None:
        framing.read_length(value)
    if (value := get(b"transfer-encoding")) is not None:
        framing.read_coding(value)
    if (value := get(b"connection")) is not None:
        framing.read_connection(value)
    if (value := get(b"keep-alive")) is not None:
        framing.read_keep_alive(value)
    return framing


def has_close(connection: bytes) -> bool:
    """Tell whether the value of a Connection field contains `close`."""
    value = connection.lower()
    return value == b"close" or (
        b"close" in value and b"close" in [part.strip() for part in value.split(b",")]
    )
