"""What a response means for a download: pure decisions, no socket and no file.

```
asked for          response                              step
the whole          200, 203, what the job accepts        STORE
                   206, 204, 205, 3xx, 4xx, 5xx          REFUSE
what is missing    206 of the same body, from there on   APPEND
                   206 of anything else, 416             RESTART: ask for the whole
                   200, 203                              STORE: the server sends the whole
only if changed    304                                   KEEP
```

A body is continued only on a *strong validator* (RFC 9110, section 8.8.1): an ETag that is not
weak, or a Last-Modified that is at least a minute older than the response. `If-Range` has the
server send the whole when the validator no longer fits. Some servers ignore it, so the 206 is
checked as well: same ETag, same beginning, same length. A 206 may end before the body does (RFC
9110, section 15.3.7), so the part is complete only when it has the length that Content-Range says.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pooledhttp.bulk.report import one_line
from pooledhttp.message import attributes_of
from pooledhttp.records import record

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = [
    "Asked",
    "Decision",
    "Fields",
    "Step",
    "decide",
    "fields_of",
    "length_of",
    "mark_of",
    "stores_coded_form",
    "strong_validator",
    "validators_of",
]

#: RFC 9110, section 8.8.2.2: clocks and file systems are not exact, a minute is.
_STRONG_AGE_SECONDS = 60

_CONTENT_RANGE = re.compile(r"\s*bytes\s+([0-9]+)-([0-9]+)/([0-9]+)\s*", re.ASCII | re.IGNORECASE)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')

#: By name or type the coded form is the file: an archive that a server labels as gzip.
_CODED_SUFFIXES = {
    "gzip": (".gz", ".tgz", ".taz", ".svgz", ".emz", ".gzip", ".vcfz"),
    "br": (".br",),
    "zstd": (".zst", ".zstd", ".tzst"),
    "compress": (".z", ".taz"),
}
_CODED_TYPES = re.compile(
    r"application/(x-)?(gzip|gtar-compressed|tgz|gunzip|gzip-compressed|compressed-tar|tar-gz"
    r"|compress|zstd|brotli)",
    re.IGNORECASE,
)


class Fields(Protocol):
    """The header fields of a response, by name in any case."""

    def get(self, name: str, default: Any = None, /) -> Any:
        """Return the value of a field."""

    def __contains__(self, name: object, /) -> bool: ...


class _Names(dict[str, bytes]):
    """Names of fields as they come; a run asks for the same few of every response."""

    def __missing__(self, name: str) -> bytes:
        found = self[name] = name.lower().encode()
        return found


_as_bytes = _Names()


class _ArrivedFields:
    """The fields of a response as they came; each is decoded when it is asked for."""

    __slots__ = ("body_length", "by_name")

    def __init__(self, by_name: Mapping[bytes, bytes], body_length: int | None) -> None:
        self.by_name = by_name
        #: Bytes of the body, as its framing says; None where that does not.
        self.body_length = body_length

    def get(self, name: str, default: Any = None, /) -> Any:
        value = self.by_name.get(_as_bytes[name])
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: object, /) -> bool:
        return _as_bytes[str(name)] in self.by_name


def validators_of(headers: Fields) -> tuple[str | None, str | None]:
    """Return the ETag and the Last-Modified of a response."""
    if type(headers) is not _ArrivedFields:
        return headers.get("ETag"), headers.get("Last-Modified")
    get = headers.by_name.get
    etag, modified = get(b"etag"), get(b"last-modified")
    return (
        None if etag is None else etag.decode("latin-1"),
        None if modified is None else modified.decode("latin-1"),
    )


def fields_of(response: Response) -> Fields:
    """Return the header fields of a response, without making its `headers` if it need not."""
    arrival = getattr(response, "_arrival", None)  # missing where an adapter makes its own
    if arrival is None or "headers" in attributes_of(response):
        return response.headers
    head = arrival.head
    if len(head.by_name) != len(head.fields):  # some are repeated, and have to be joined
        return response.headers
    return _ArrivedFields(head.by_name, head.body_length)


class Step(Enum):
    """What to do with a response."""

    STORE = "store"
    APPEND = "append"
    RESTART = "restart"
    KEEP = "keep"
    REFUSE = "refuse"


@record
class Asked:
    """What a request asked for.

    Args:
        offset: The first byte that is missing; 0 for the whole.
        total: The length of the whole body, if an earlier response said it.
        validator: What `If-Range` said.
        is_conditional: Whether a 304 would be a fit response.
        has_own_range: Whether the caller's own header fields ask for a range.
        accept: Statuses that count as fetched beside 200 and 203.
    """

    offset: int = 0
    total: int | None = None
    validator: str | None = None
    is_conditional: bool = False
    has_own_range: bool = False
    accept: Collection[int] = ()


class Decision(NamedTuple):
    """The step, the length of the whole body where it is known, and the reason of a refusal."""

    step: Step
    total: int | None = None
    reason: str = ""


def decide(status: int, headers: Fields, asked: Asked, phrase: str = "") -> Decision:
    """Return what to do with a response.

    Args:
        status: Its status.
        headers: Its header fields.
        asked: What was asked for.
        phrase: The reason phrase, for the text of a refusal.
    """
    if asked.offset and status in (206, 416):
        return _decide_on_range(status, headers, asked)
    if status in (200, 203) or status in asked.accept or (status == 206 and asked.has_own_range):
        return Decision(Step.STORE, length_of(headers))
    if status == 304 and asked.is_conditional:
        return Decision(Step.KEEP)
    reasons = {
        204: "the response has no content",
        205: "the response has no content",
        206: "a part that was not asked for",
        304: "not modified, though the request was not conditional",
        300: "several choices and no redirect",
    }
    why = reasons.get(status)
    if why is None and 300 <= status < 400:
        why = "a redirect that cannot be followed"
    text = f"HTTP {status} {one_line(phrase)}".rstrip()
    return Decision(Step.REFUSE, reason=f"{text}: {why}" if why else text)


def _decide_on_range(status: int, headers: Fields, asked: Asked) -> Decision:
    if status == 416:
        return Decision(Step.RESTART, reason="the server has no such range any more")
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None:
        return Decision(Step.RESTART, reason="a part without a usable Content-Range")
    first, last, total = map(int, found.groups())
    if first != asked.offset or not first <= last < total:
        return Decision(Step.RESTART, reason="a part that was not asked for")
    if asked.total is not None and total != asked.total:
        return Decision(Step.RESTART, reason="the length has changed")
    if not _is_same(headers, asked.validator or ""):
        return Decision(Step.RESTART, reason="the part of another version")
    if length_of(headers) not in (None, last + 1 - first):
        return Decision(Step.RESTART, reason="a part of another length than its Content-Range says")
    return Decision(Step.APPEND, total)


def _is_same(headers: Fields, validator: str) -> bool:
    """Whether a 206 belongs to the version that the validator names."""
    if validator.startswith('"'):
        # RFC 9110, section 15.3.7: a 206 has the ETag that the 200 would have had.
        return bool(headers.get("ETag", "").strip() == validator)
    # A Last-Modified may be left out in response to If-Range.
    return bool(headers.get("Last-Modified", validator).strip() == validator)


def strong_validator(headers: Fields, etag: str | None = None) -> str | None:
    """Return the validator with which a body can be continued, or `None`.

    Args:
        headers: The header fields of its response.
        etag: Their ETag, if it was read before.
    """
    etag = (headers.get("ETag", "") if etag is None else etag).strip()
    if etag:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    modified, date = headers.get("Last-Modified", "").strip(), headers.get("Date", "")
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, IndexError):
        return None
    return modified if age.total_seconds() >= _STRONG_AGE_SECONDS else None


def mark_of(validator: str | None) -> str:
    """Return the mark of a validator in the name of a part; empty for none."""
    if validator is None:
        return ""
    return hashlib.sha256(validator.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def stores_coded_form(name: str, headers: Fields, decode: str) -> bool:
    """Whether a body is stored as it was sent although it has a Content-Encoding.

    Args:
        name: The name of the file.
        headers: The header fields of the response.
        decode: `"auto"`, `"never"` or `"always"`.
    """
    named = headers.get("Content-Encoding")
    if named is None:
        return True
    coding = named.strip().lower().removeprefix("x-")
    if not coding or coding == "identity":
        return True
    if decode != "auto":
        return decode == "never"
    kind = headers.get("Content-Type", "").partition(";")[0].strip()
    return name.lower().endswith(_CODED_SUFFIXES.get(coding, ())) or bool(
        _CODED_TYPES.fullmatch(kind)
    )


def length_of(headers: Fields) -> int | None:
    """Return what Content-Length says, unless the body is framed otherwise."""
    if type(headers) is _ArrivedFields and headers.body_length:
        return headers.body_length
    value = headers.get("Content-Length", "").strip()
    if not value.isdecimal() or not value.isascii() or "Transfer-Encoding" in headers:
        return None
    return int(value)
