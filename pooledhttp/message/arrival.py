"""A response of our own transport before anything of it is asked for.

Everything that a `Response` has is made from this value: `raw`, `headers`, `encoding`, `elapsed`.
Most programs look at the status and the body, and the body is read from here as well, as long as
nothing else reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from urllib3.exceptions import DecodeError
from urllib3.response import HTTPResponse

from pooledhttp.message.decoding import make_decoder
from pooledhttp.message.raw import RawResponse
from pooledhttp.originals import Originals
from pooledhttp.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.message.reader import Reader

__all__ = ["Arrival"]

#: The methods by which a body is read through `raw`.
_READING = ("__init__", "read", "stream")
_OURS = Originals(RawResponse, *_READING, "_raw_read", "_fp_read", "_error_catcher")
_THEIRS = Originals(HTTPResponse, *_READING)
_DECODING = Originals(RawResponse, "_init_decoder", "_decode", "_flush_decoder")


class ArrivedHead(Protocol):
    """What a response needs of its head."""

    status: int
    reason: str
    version: int
    fields: list[tuple[bytes, bytes]]
    by_name: dict[bytes, bytes]
    is_chunked: bool

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Name and value pairs as they came, repeats included."""


class Arrival:
    """The head of a response, and its body, not read yet.

    Args:
        reader: The body.
        head: The head.
        request_method: The method of the request.
        request_url: Its target.
        retries: The policy in its state after this request, with its history.
        arrived_at: When the head was there, by `timing.monotonic`.

    Attributes:
        sets_cookies: Whether there is a field that sets a cookie.
    """

    __slots__ = (
        "_body_bytes",
        "_fields",
        "_raw",
        "arrived_at",
        "head",
        "reader",
        "reason",
        "request_method",
        "request_url",
        "retries",
        "sets_cookies",
        "status",
    )

    def __init__(
        self,
        reader: Reader,
        head: ArrivedHead,
        request_method: str,
        request_url: str,
        retries: Retry,
        arrived_at: float,
    ) -> None:
        self.reader = reader
        self.head = head
        self.status = head.status
        self.reason = head.reason
        self.request_method = request_method
        self.request_url = request_url
        self.retries = retries
        self.arrived_at = arrived_at
        self._fields: dict[str, tuple[str, str]] | None = None
        self._raw: RawResponse | None = None
        self._body_bytes = 0
        names = head.by_name
        self.sets_cookies = b"set-cookie" in names or b"set-cookie2" in names

    @property
    def fields(self) -> dict[str, tuple[str, str]]:
        """The fields by lower-case name. Repeats are joined, as in `Response.headers`."""
        if self._fields is None:
            pairs = self.head.headers
            self._fields = {pair[0].lower(): pair for pair in pairs}
            if len(self._fields) < len(pairs):
                self._fields = _joined(pairs)
        return self._fields

    def has_value(self, name: str) -> bool:
        """Whether there is a field of this name, in lower case, that is not empty."""
        return name.encode("latin-1") in self.head.by_name and bool(self.fields[name][1])

    @property
    def _original_response(self) -> ArrivedFields:
        """What stands for http.client's response where cookies are read; see `OriginalResponse`."""
        return ArrivedFields(self)

    def lines(self, name: bytes) -> list[str]:
        """Return each value of the fields of a name, which is in lower case."""
        fields, by_name = self.head.fields, self.head.by_name
        if name not in by_name:
            return []
        if len(by_name) == len(fields):  # none is repeated
            return [by_name[name].decode("latin-1")]
        return [value.decode("latin-1") for field, value in fields if field.lower() == name]

    @property
    def sets_cookies_of_an_age(self) -> bool:
        """Whether it matters when a cookie arrived; `True` as well where that is not clear."""
        names = self.head.by_name
        if b"set-cookie2" in names:
            return True
        lines = ",".join(self.lines(b"set-cookie")).lower()
        return "max-age" in lines or "expires" in lines

    def make_headers(self) -> CaseInsensitiveDict[str]:
        """Return a new table of the fields."""
        table: CaseInsensitiveDict[str] = CaseInsensitiveDict.__new__(CaseInsensitiveDict)
        table._store = self.fields.copy()
        return table

    def raw(self) -> RawResponse:
        """Return the response as urllib3 has it, always the same object."""
        raw = self._raw
        if raw is None:
            head = self.head
            raw = RawResponse(
                self.reader,
                head.headers,
                head.status,
                head.reason,
                head.version,
                request_method=self.request_method,
                request_url=self.request_url,
                is_chunked=head.is_chunked,
                retries=self.retries,
            )
            raw.arrived_at = self.arrived_at
            raw.note_read(self._body_bytes)
            self._raw = raw
        return raw

    # Methods, though they take nothing: properties cost more, and every request asks.

    def is_direct(self) -> bool:
        """Whether the body may be read from here.

        Nothing needs `raw` then, and no method by which it reads a body was replaced.
        """
        return (
            self._raw is None
            and self.status != 101
            and self.request_method != "CONNECT"
            # As `reads_as_defined`, without its call.
            and _OURS.are_in(RawResponse)
            and _THEIRS.are_in(HTTPResponse)
        )

    @staticmethod
    def reads_as_defined() -> bool:
        """Whether no method by which `raw` reads a body was replaced."""
        return _OURS.are_in(RawResponse) and _THEIRS.are_in(HTTPResponse)

    def read(self) -> bytes:
        """Read the whole body as it came; for a response that is direct.

        Raises:
            urllib3.exceptions.HTTPError: It ended early, or its framing is broken.
        """
        body = self.reader.read()
        self._body_bytes += len(body)
        if self._raw is not None:
            self._raw.note_read(len(body))
        return body

    def read_decoded(self) -> bytes | None:
        """Read the whole body and undo its encoding; for a response that is encoded.

        Returns:
            `None` if `raw` has to do it. Nothing is read then.

        Raises:
            urllib3.exceptions.HTTPError: It ended early, or is not encoded as its head says. Later
                reads, which go to `raw`, find the decoder that failed.
        """
        if not (self.is_direct() and _DECODING.are_in(RawResponse)):
            return None
        try:
            decoder = make_decoder(self.fields["content-encoding"][1])
        except DecodeError:
            return None  # a body of no bytes needs no decoder: `raw` knows
        body = self.read()
        if decoder is None or not body:
            return body
        decoded: bytes | None = None
        try:
            decoded = decoder.decompress(body)
            decoder.flush()
        except DecodeError:
            self.raw().resume_with(decoder, has_decoded=decoded is not None)
            raise
        return decoded

    def stream(self, size: int | None) -> Iterator[bytes]:
        """Yield the body in pieces of `size` bytes; for a direct response that has no chunks.

        Args:
            size: At least 1, or `None` for the whole body at once.

        Raises:
            urllib3.exceptions.HTTPError: It ended early.
        """
        reader = self.reader
        while not reader.closed:
            piece = reader.read(size)
            if piece:
                self._count(len(piece))
                yield piece

    def pieces(self, buffers: BufferPool) -> Iterator[Piece]:
        """Yield the body as it arrives, at most a buffer at a time; for a direct response.

        Raises:
            urllib3.exceptions.HTTPError: It ended early, or its framing is broken.
        """
        reader = self.reader
        while piece := reader.read_pooled(buffers):
            self._count(len(piece))
            yield piece
            if reader.closed:  # the last byte has come: no read is needed to learn that
                return

    def close(self) -> None:
        """End the reading: the connection goes back to the pool, or is closed."""
        self.reader.close()

    def _count(self, size: int) -> None:
        """Count bytes of the body that were read from here, also in `raw` where it was made."""
        self._body_bytes += size
        if self._raw is not None:
            self._raw.note_read(size)


class ArrivedFields:
    """The fields of a response as cookie jars read them.

    Args:
        arrival: The response.
    """

    __slots__ = ("_arrival",)

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival

    @property
    def msg(self) -> ArrivedFields:
        """This object, which has the one method of a message that jars call."""
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        """Return every value of a field, or `default` if there is none."""
        return self._arrival.lines(name.lower().encode("latin-1")) or default


def _joined(headers: list[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return the fields by lower-case name, each in the first spelling, joined by commas."""
    fields: dict[str, tuple[str, str]] = {}
    for name, value in headers:
        lower = name.lower()
        known = fields.get(lower)
        fields[lower] = (name, value) if known is None else (known[0], f"{known[1]}, {value}")
    return fields
