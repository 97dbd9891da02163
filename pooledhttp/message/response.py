"""What comes back: status, headers, and a body that is read at most once from `raw`.

    _content is False, not consumed     nothing read yet (or a stream is under way)
    _content is False, consumed         read as a stream and gone
    _content is bytes (or None)         kept; every accessor works from it

`raw` is urllib3's response or anything with part of its interface, down to an open file. It
raises urllib3's errors; readers of a body get requests' errors instead (see
`error_translation.BodyErrors`).

The attributes can all be set by hand, and tools that record and replay traffic do so: no method
relies on how the object was made.
"""

from __future__ import annotations

import datetime
import io
import json
import json as complexjson
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

from urllib3.exceptions import DecodeError
from urllib3.exceptions import HTTPError as TransportError
from urllib3.response import HTTPResponse

from pooledhttp.cookie_rules import Asked, ShownPolicy, default_policy, is_default_original
from pooledhttp.cookies import RequestsCookieJar, extract_cookies_to_jar
from pooledhttp.message.arrival import Arrival
from pooledhttp.message.charset import (
    get_encoding_from_headers,
    guess_json_utf,
    iter_slices,
    stream_decode_response_unicode,
)
from pooledhttp.message.error_translation import OURS, BodyErrors, translation_for
from pooledhttp.message.headers import parse_header_links
from pooledhttp.message.lazy import LazyAttributes, attributes_of, lazy, set_attributes
from pooledhttp.message.lines import LineSplitter
from pooledhttp.message.raw import RawResponse, drain
from pooledhttp.message.urls import without_credentials
from pooledhttp.records import described
from pooledhttp.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.message.prepared import PreparedRequest

__all__ = [
    "CONTENT_CHUNK_SIZE",
    "ITER_CHUNK_SIZE",
    "REDIRECT_STATI",
    "Response",
    "discard_body",
    "response_class_for",
]

#: Statuses that, with a `Location`, mean "ask there".
REDIRECT_STATI = (301, 302, 303, 307, 308)

#: What `discard_body` ignores when it reads a body that no one asked for.
_UNREADABLE = (TransportError, OSError, RuntimeError, ValueError)

#: Bytes asked of `raw` at a time when the whole body is wanted, and by `iter_lines`.
CONTENT_CHUNK_SIZE = 10 * 1024
ITER_CHUNK_SIZE = 512


class Response(LazyAttributes):
    """The response to a request.

    Attributes:
        status_code: For example 200; None on an object that was made by hand.
        headers: `CaseInsensitiveDict`; fields sent repeatedly are joined with ", ".
        raw: The urllib3-like response the body is read from; None after unpickling.
        url: The URL of the response, after redirects.
        encoding: What `text` decodes with; None lets `text` guess. May be set.
        history: The redirects that led here, oldest first.
        reason: The words after the status.
        cookies: The cookies that this response sets.
        elapsed: The time from sending to the arrival of the head, as a `timedelta`.
        request: The `PreparedRequest` that it belongs to.

    `raw`, `headers`, `encoding`, `cookies` and `elapsed` are made when they are read first.
    """

    #: What pickling keeps.
    __attrs__ = [
        "_content",
        "status_code",
        "headers",
        "url",
        "history",
        "encoding",
        "reason",
        "cookies",
        "elapsed",
        "request",
    ]

    _errors: ClassVar[BodyErrors] = BodyErrors()

    #: The body as it came, where it was read without being asked for; see `_keep_encoded`.
    _encoded: bytes | None = None

    #: What our own transport has received; the lazy attributes are made from it.
    _arrival: Arrival | None = None
    #: What its cookies depend on: the request may be changed before they are looked at.
    _asked: Asked | None = None
    #: When the request was sent, by the clock of the arrival.
    _started_at = 0.0

    #: The adapter that made this response; set by `build_response` only.
    connection: Any

    def __init__(self) -> None:
        self._content: Any = False
        self._content_consumed = False
        self._next: PreparedRequest | None = None
        self.status_code: int = None  # type: ignore[assignment]  # until it is filled in
        self.url: str = None  # type: ignore[assignment]
        self.history: list[Response] = []
        self.reason: str = None  # type: ignore[assignment]
        self.request: PreparedRequest = None  # type: ignore[assignment]

    @classmethod
    def arrived(
        cls, arrival: Arrival, request: PreparedRequest, connection: object, started_at: float
    ) -> Response:
        """Make a response of what our own transport has received."""
        if cls.__init__ is _INIT:
            response = cls.__new__(cls)
            # At once: see `originals.settle_attributes`.
            set_attributes(
                response,
                {
                    "_content": False,
                    "_content_consumed": False,
                    "_next": None,
                    "history": [],
                    "_arrival": arrival,
                    "_started_at": started_at,
                    "status_code": arrival.status,
                    "reason": arrival.reason,
                    "url": request.url,
                    "request": request,
                    "connection": connection,
                },
            )
        else:
            response = cls()
            response._arrival = arrival
            response._started_at = started_at
            response.status_code = arrival.status
            response.reason = arrival.reason
            response.url = request.url
            response.request = request
            response.connection = connection
        if arrival.sets_cookies:
            response._asked = Asked(request.url, {"Host": request.headers.get("Host")})
            if arrival.sets_cookies_of_an_age or not is_default_original():
                # Now, since the age of a cookie counts from its arrival.
                response.cookies  # noqa: B018
        return response

    # --- lazy attributes -------------------------------------------------------------------------

    def _make_raw(self) -> Any:
        return None if self._arrival is None else self._arrival.raw()

    def _make_headers(self) -> CaseInsensitiveDict[str]:
        return CaseInsensitiveDict() if self._arrival is None else self._arrival.make_headers()

    def _make_encoding(self) -> str | None:
        arrival = self._arrival
        if arrival is None:
            return None
        return get_encoding_from_headers(
            {"content-type": ", ".join(arrival.lines(b"content-type"))}
        )

    def _make_cookies(self) -> RequestsCookieJar:
        jar = RequestsCookieJar(default_policy(ShownPolicy))
        arrival = self._arrival
        if arrival is not None and arrival.sets_cookies:
            extract_cookies_to_jar(jar, self._asked or self.request, arrival)
        return jar

    def _make_elapsed(self) -> datetime.timedelta:
        arrival = self._arrival
        seconds = 0.0 if arrival is None else arrival.arrived_at - self._started_at
        return datetime.timedelta(seconds=seconds)

    raw: Any = lazy(_make_raw)
    headers: CaseInsensitiveDict[str] = lazy(_make_headers)
    encoding: str | None = lazy(_make_encoding)
    cookies: RequestsCookieJar = lazy(_make_cookies)
    elapsed: datetime.timedelta = lazy(_make_elapsed)

    @property
    def _may_set_cookies(self) -> bool:
        """Whether the fields of `raw` have to be looked at for cookies."""
        raw = self.raw
        if isinstance(raw, RawResponse):
            return "set-cookie" in raw.headers or "set-cookie2" in raw.headers
        return True

    # --- the object ------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __bool__(self) -> bool:
        """Whether the status is no error: the same as `ok`."""
        return self.ok

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(128)

    def __getstate__(self) -> dict[str, Any]:
        if not self._content_consumed:
            self.content  # noqa: B018  # a pickled response has its body with it
        return {name: getattr(self, name, None) for name in self.__attrs__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes_of(self).update(state)
        self._content_consumed = True
        self._next = None
        self.raw = None

    # --- status ----------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether `raise_for_status` would let this pass: no 4xx and no 5xx."""
        try:
            self.raise_for_status()
        except self._errors.bad_status:  # type: ignore[misc]
            return False
        return True

    def raise_for_status(self) -> None:
        """Do nothing, unless the status says that the request failed.

        Raises:
            HTTPError: The status is 400 to 599. The response is on it.
        """
        status = self.status_code
        if not 400 <= status < 600:
            return
        reason: Any = self.reason
        if isinstance(reason, bytes):
            # Meant to be ASCII; servers put local text there, in one of two encodings.
            try:
                reason = reason.decode("utf-8")
            except UnicodeDecodeError:
                reason = reason.decode("iso-8859-1")
        side = "Client" if status < 500 else "Server"
        shown = without_credentials(self.url) if isinstance(self.url, str) else self.url
        raise self._errors.bad_status(
            f"{status} {side} Error: {reason} for url: {shown}", response=self
        )

    @property
    def is_redirect(self) -> bool:
        """Whether the status and a `Location` field make this a redirect that can be followed."""
        return self.status_code in REDIRECT_STATI and "location" in self.headers

    @property
    def is_permanent_redirect(self) -> bool:
        """Whether the redirect holds for later requests too."""
        return self.status_code in (301, 308) and "location" in self.headers

    @property
    def next(self) -> PreparedRequest | None:
        """The request that following the redirect would send, if redirects were not followed."""
        return self._next

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The `Link` header, by relation, or by URL for links without one."""
        header = self.headers.get("link")
        if not header:
            return {}
        found = parse_header_links(header)
        return {link.get("rel") or link.get("url"): link for link in found}  # type: ignore[misc]

    # --- body ------------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        """The whole body, decoded; read on first use. None if there never was a response.

        Raises:
            RuntimeError: It was read as a stream, and not kept.
            RequestException: Reading failed; the class says how, as with `iter_content`.
        """
        if self._content is False:
            if self._content_consumed:
                raise RuntimeError("The content for this response was already consumed")
            self._content = self._read_whole()
        self._content_consumed = True
        return self._content  # type: ignore[no-any-return]

    def _unread(self) -> Arrival | None:
        """What `raw` would be made of, as long as it has not been asked for or set."""
        return None if "raw" in attributes_of(self) else self._arrival

    def _direct(self) -> Arrival | None:
        """What the body is read from without `raw`; `None` where `raw` is needed for it."""
        arrival = self._unread()
        if arrival is None or b"content-encoding" in arrival.head.by_name:
            return None
        return arrival if self._encoded is None and arrival.is_direct() else None

    def _arriving(self, buffers: BufferPool) -> Iterator[Piece] | None:
        """The body as it arrives, without `raw`; `None` where `raw` is needed for it."""
        arrival = None if self._content_consumed else self._direct()
        if arrival is None or not self._iterates_as_defined():
            return None
        self._content_consumed = True
        return arrival.pieces(buffers)

    @classmethod
    def _reads_as_defined(cls) -> bool:
        """Whether no method by which a body is read was replaced: it may be read without one."""
        return cls.iter_content is _ITER_CONTENT and Arrival.reads_as_defined()

    def _iterates_as_defined(self) -> bool:
        """Whether `content` may read the body without calling `iter_content`."""
        is_ours = type(self).iter_content is _ITER_CONTENT
        return is_ours and "iter_content" not in attributes_of(self)

    def _read_whole(self) -> bytes:
        """Read the whole body; `None` where there never was a response, as `content` has it."""
        if self.status_code == 0:
            return None  # type: ignore[return-value]
        arrival, attributes = self._arrival, attributes_of(self)
        if (  # the lines of `_direct` and `_iterates_as_defined`, without their calls
            arrival is not None
            and "raw" not in attributes
            and b"content-encoding" not in arrival.head.by_name
            and "_encoded" not in attributes
            and type(self).iter_content is _ITER_CONTENT
            and "iter_content" not in attributes
            and arrival.is_direct()
        ):
            try:
                return arrival.read()
            except TransportError as error:
                raise self._errors.translate(error, self.request) from error
        decoded = self._read_decoded()
        if decoded is not None:
            return decoded
        if self._unread() is None and self.raw is None:
            return None  # type: ignore[return-value]
        raw = self._source()
        if not (isinstance(raw, RawResponse) and self._iterates_as_defined()):
            return b"".join(self.iter_content(CONTENT_CHUNK_SIZE))
        if raw.is_switched:
            # There is no body. The bytes of the other protocol are read from `raw`.
            raw.close()
            return b""
        # Our own reader knows best how to read all there is: no generator, one join.
        try:
            return raw.read(decode_content=True)
        except TransportError as error:
            raise self._errors.translate(error, self.request) from error

    def _read_decoded(self) -> bytes | None:
        """Read an encoded body without `raw`; `None`, and nothing is read, where that is needed."""
        arrival = self._unread()
        if arrival is None or self._encoded is not None or not self._iterates_as_defined():
            return None
        if b"content-encoding" not in arrival.head.by_name:
            return None
        try:
            return arrival.read_decoded()
        except TransportError as error:
            raise self._errors.translate(error, self.request) from error

    def _keep_encoded(self, body: bytes) -> None:
        """Take over a body that was read from `raw` without undoing its encoding.

        It is decoded when `content` is read. Few programs read the body of a redirect, and a wrong
        `Content-Encoding` of that body must not make the redirect fail.
        """
        if self.headers.get("content-encoding"):
            self._encoded = body
        else:
            self._content, self._content_consumed = body, True

    def _discard_body(self) -> None:
        """Discard the body; for handlers of authentication, which send the request again."""
        discard_body(self)

    def _source(self) -> Any:
        """What the body is read from: `raw`, or what `_keep_encoded` has kept."""
        if self._encoded is None:
            return self.raw
        fields = {"content-encoding": self.headers["content-encoding"]}
        return HTTPResponse(io.BytesIO(self._encoded), headers=fields, preload_content=False)

    @overload
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: Literal[False] = False
    ) -> Iterator[bytes]: ...
    @overload
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[str | bytes]: ...
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[str | bytes]:
        """Iterate over the body, decoded, as it arrives.

        Args:
            chunk_size: Bytes per piece, at most; a decoded piece may have another size. None gives
                pieces as they come (or all at once, when the body is there already).
            decode_unicode: Whether to yield text, if `encoding` is known.

        Raises:
            TypeError: `chunk_size` is not an int.
            StreamConsumedError: The body was read as a stream already. Also a TypeError.
            ChunkedEncodingError: While iterating: the body ended early or its framing is broken.
            ContentDecodingError: While iterating: it is not compressed as its headers say.
            ConnectionError: While iterating: nothing came within the read timeout.
            SSLError: While iterating: the TLS connection broke.
        """
        if self._content_consumed and isinstance(self._content, bool):
            raise self._errors.consumed(
                f"The body of the response from {without_credentials(str(self.url))} was read as a "
                "stream and not kept. Use response.content instead, or send the request again."
            )
        if chunk_size is not None and not isinstance(chunk_size, int):
            raise TypeError(
                f"chunk_size must be an int (bytes) or None, not {described(chunk_size)}"
            )
        pieces: Any
        if self._content_consumed or (self._unread() is None and self.raw is None):
            pieces = iter_slices(self._content or b"", chunk_size)
        else:
            pieces = self._stream(chunk_size)
        return stream_decode_response_unicode(pieces, self) if decode_unicode else pieces

    def _stream(self, chunk_size: int | None) -> Iterator[Any]:
        arrival = self._direct()
        is_sized = chunk_size is None or chunk_size > 0
        if arrival is not None and is_sized and not arrival.head.is_chunked:
            try:
                yield from arrival.stream(chunk_size)
            except TransportError as error:
                raise self._errors.translate(error, self.request) from error
            self._content_consumed = True
            return
        raw = self._source()
        if isinstance(raw, RawResponse) and raw.is_switched:
            raw.close()  # as `_read_whole` does: a read could wait forever
        elif hasattr(raw, "stream"):
            try:
                yield from raw.stream(chunk_size, decode_content=True)
            except TransportError as error:
                if isinstance(error, DecodeError) and isinstance(raw, RawResponse):
                    raw.close()  # the rest has no meaning, and the response may be kept for long
                raise self._errors.translate(error, self.request) from error
        else:
            while piece := raw.read(chunk_size):
                yield piece
        self._content_consumed = True

    @overload
    def iter_lines(
        self,
        chunk_size: int | None = ITER_CHUNK_SIZE,
        decode_unicode: Literal[False] = False,
        delimiter: bytes | None = None,
    ) -> Iterator[bytes]: ...
    @overload
    def iter_lines(
        self,
        chunk_size: int | None = ITER_CHUNK_SIZE,
        decode_unicode: bool = False,
        delimiter: str | bytes | None = None,
    ) -> Iterator[str | bytes]: ...
    def iter_lines(
        self,
        chunk_size: int | None = ITER_CHUNK_SIZE,
        decode_unicode: bool = False,
        delimiter: str | bytes | None = None,
    ) -> Iterator[str | bytes]:
        r"""Iterate over the lines of the body, without their ends.

        A `"\r\n"` that falls between two pieces counts as two line ends, as in requests.
        One iterator at a time: each keeps the unfinished line for itself.

        Args:
            chunk_size: Bytes to read at a time.
            decode_unicode: Whether to yield text, if `encoding` is known.
            delimiter: What ends a line. None means what `splitlines` takes for an end.

        Raises:
            TypeError: `chunk_size` is not an int.
            RequestException: While iterating, as with `iter_content`.
        """
        splitter = LineSplitter(delimiter)
        for piece in self.iter_content(chunk_size=chunk_size, decode_unicode=decode_unicode):
            yield from splitter.feed(piece)
        yield from splitter.end()

    @property
    def apparent_encoding(self) -> str | None:
        """The encoding the body looks like; slow for large bodies."""
        import charset_normalizer  # takes longer to import than most programs need to start

        if not self.content:
            return "utf-8"
        return charset_normalizer.detect(self.content)["encoding"]

    @property
    def text(self) -> str:
        """The body as text, by `encoding`, or by `apparent_encoding` if that is None.

        What cannot be decoded is replaced. Set `encoding` first if you know better.

        Raises:
            RuntimeError: The body was read as a stream, and not kept.
            RequestException: Reading failed; the class says how, as with `iter_content`.
        """
        content = self.content
        if not content:
            return ""
        # An empty name, from `charset=` with nothing behind it, is no reason to guess.
        encoding = self.apparent_encoding if self.encoding is None else self.encoding
        try:
            return str(content, encoding, errors="replace")  # type: ignore[arg-type]
        except (LookupError, TypeError, UnicodeError):
            # A name that no codec has, or nothing recognisable: UTF-8 is right most often.
            return str(content, errors="replace")

    def json(self, **kwargs: Any) -> Any:
        """Return the body as JSON.

        Args:
            **kwargs: For `json.loads`.

        Raises:
            JSONDecodeError: It is not JSON; also a ValueError.
            RuntimeError: The body was read as a stream, and not kept.
            RequestException: Reading failed; the class says how, as with `iter_content`.
        """
        content = self.content
        if not self.encoding and content and len(content) > 3:
            # JSON without a charset is in one of the UTFs, which its first bytes tell apart.
            encoding = guess_json_utf(content)
            if encoding is not None:
                try:
                    return self._loads(content.decode(encoding), kwargs)
                except UnicodeDecodeError:
                    pass  # sent in something else after all: let `text` find out
        return self._loads(self.text, kwargs)

    def _loads(self, text: str, kwargs: dict[str, Any]) -> Any:
        try:
            return complexjson.loads(text, **kwargs)
        except json.JSONDecodeError as error:
            raise self._errors.not_json(self._about(error.msg), error.doc, error.pos) from None
        except (RecursionError, ValueError) as error:
            # Nested too deeply, or a number with too many digits: also a fault of the server.
            if kwargs or complexjson is not json:
                raise  # perhaps from a function of the caller, such as `object_hook`
            is_deep = isinstance(error, RecursionError)
            problem = "JSON that is nested too deeply" if is_deep else str(error)
            raise self._errors.not_json(self._about(problem), text, 0) from error

    def _about(self, message: str) -> str:
        """Add to what the JSON parser says which response it is about, its status and type."""
        if not isinstance(self.url, str):
            return message
        kind = self.headers.get("content-type", "").partition(";")[0].strip()
        is_other = kind and "json" not in kind.lower()
        suffix = f", which is {kind}, not JSON" if is_other else ""
        is_error = isinstance(self.status_code, int) and self.status_code >= 400
        status = f" with status {self.status_code}" if is_error else ""
        return f"{message} in the response{status} from {without_credentials(self.url)}{suffix}"

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        arrival = self._unread()
        if arrival is not None:
            arrival.close()
            return
        raw = self.raw
        if raw is None:
            return
        if not self._content_consumed:
            raw.close()
        release = getattr(raw, "release_conn", None)
        if release is not None:
            release()


#: What `arrived` need not call, as it sets all attributes itself.
_INIT = Response.__init__

#: A program that replaces it watches or throttles the body.
_ITER_CONTENT = Response.iter_content


def _head_seconds(response: Any) -> float:
    """Return how long the head took; 0 if an adapter of another kind has made the response."""
    arrival = getattr(response, "_arrival", None)
    return 0.0 if arrival is None else arrival.arrived_at - response._started_at


def discard_body(response: Any) -> None:
    """Discard the body of a response that is not the last: a redirect, or a challenge.

    A small body is read, kept for `history`, and its connection returned to the pool. If the body
    is large or cannot be read, the connection is closed.
    """
    body: bytes | None = None
    if response._content is False and not response._content_consumed and response.raw is not None:
        try:
            body = drain(response.raw, _head_seconds(response))
        except _UNREADABLE:
            pass
        if body is None:
            response.close()
            response._content_consumed = True
        elif isinstance(response, Response):
            response._keep_encoded(body)
        else:
            # A class of requests itself, from an adapter written for it.
            response._content_consumed = True
            if not response.headers.get("content-encoding"):
                response._content = body
    response.close()


def response_class_for(request: Any) -> Any:
    """Return the class of the response to a request: requests' own for a request of requests."""
    return Response if translation_for(request) is OURS else sys.modules["requests"].Response
