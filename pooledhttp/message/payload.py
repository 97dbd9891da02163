"""Makes the body of a request from `data`, `json` and `files`.

    data=str/bytes                     sent as it is
    data=mapping or pairs              a form: `a=1&b=2`
    data=file, generator, iterable     a stream; its length is measured, not guessed
    json=anything                      UTF-8 bytes of JSON, when there is no `data`
    files=...  (with data=form)        multipart/form-data, built in memory

A stream can be spent. `can_rewind` says whether a body can be sent a second time at all, and
`rewind_body` puts it back to where it stood; code that sends a request again asks here first,
because a spent stream that is sent anyway looks to the server like an empty upload.

Nothing here sends, and nothing here knows of headers other than those of a multipart section.
"""

from __future__ import annotations

import io
import json
import json as complexjson
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlencode

from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from pooledhttp.exceptions import (
    FileModeWarning,
    InvalidHeader,
    InvalidJSONError,
    UnrewindableBodyError,
)
from pooledhttp.records import described
from pooledhttp.runtime import warn_caller

if TYPE_CHECKING:
    from pooledhttp.message.types import HasItems

__all__ = [
    "FORM",
    "JSON",
    "can_rewind",
    "dict_to_sequence",
    "encode_files",
    "encode_json",
    "encode_params",
    "from_key_val_list",
    "guess_filename",
    "is_stream",
    "rewind_body",
    "super_len",
    "to_key_val_list",
]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

#: Iterables that are values of their own, not streams of pieces to send.
_PLAIN = (str, bytes, list, tuple, Mapping)

#: Characters that stand for themselves in a query and in a form.
_UNQUOTED = re.compile(r"[A-Za-z0-9_.~-]*")

#: What `json.dumps(value, allow_nan=False)` makes each time.
_DUMPS, _JSONEncoder = json.dumps, json.JSONEncoder
_ENCODER = json.JSONEncoder(allow_nan=False)

K = TypeVar("K")
V = TypeVar("V")


class Sendable(Protocol):
    """What this module reads of a prepared request: its body, and the first position in that."""

    body: Any
    _body_position: Any


# --- keys and values -----------------------------------------------------------------------------


def to_key_val_list(
    value: Mapping[K, V] | Iterable[tuple[K, V]] | None,
) -> list[tuple[K, V]] | None:
    """Return the pairs of a mapping, or of something that already is pairs, as a list.

    Args:
        value: A mapping, an iterable of pairs, or `None`, which is returned as it is.

    Raises:
        ValueError: It is a single value (a string, a number), not pairs.
    """
    if value is None:
        return None
    _refuse_scalars(value)
    return list(value.items() if isinstance(value, Mapping) else value)


_PAIRS_OF = to_key_val_list


def from_key_val_list(
    value: Mapping[K, V] | Iterable[tuple[K, V]] | None,
) -> OrderedDict[K, V] | None:
    """Return pairs, or a mapping, as a new ordered dictionary; the later of two equal keys wins.

    Args:
        value: A mapping, an iterable of pairs, or `None`, which is returned as it is.

    Raises:
        ValueError: It is a single value, or its items are not pairs.
    """
    if value is None:
        return None
    _refuse_scalars(value)
    return OrderedDict(value)


def dict_to_sequence(d: HasItems[K, V] | Iterable[tuple[K, V]]) -> Iterable[tuple[K, V]]:
    """Return the items of anything that has `items()`, and everything else unchanged."""
    return d.items() if hasattr(d, "items") else d


def _refuse_scalars(value: object) -> None:
    if isinstance(value, (str, bytes, bool, int)):
        raise ValueError(
            f"cannot encode objects that are not 2-tuples: a mapping or (name, value) pairs are"
            f" needed here, not {described(value)}"
        )


def encode_params(data: Any) -> Any:
    """Encode names and values for a query or a form.

    Args:
        data: A mapping or pairs; a value that is an iterable repeats its name, `None` values are
            left out. Strings, bytes and objects with `read` are returned unchanged.
    """
    if type(data) is dict and to_key_val_list is _PAIRS_OF:
        try:
            if _UNQUOTED.fullmatch("".join([*data, *data.values()])):
                return "&".join(map("=".join, data.items()))
        except TypeError:
            pass  # not text alone
    if isinstance(data, (str, bytes)) or hasattr(data, "read"):
        return data
    if not hasattr(data, "__iter__"):
        return data
    return urlencode([(_utf8(name), _utf8(value)) for name, value in _flat(data)], doseq=True)


def _flat(data: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of a mapping or of pairs, one for each value of a repeated name."""
    for pair in to_key_val_list(data) or ():
        try:
            name, values = pair
        except (TypeError, ValueError) as error:
            raise _no_pair(pair, error) from None
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            values = (values,)
        for value in values:
            if value is not None:
                yield name, value


def _no_pair(given: object, error: TypeError | ValueError) -> TypeError | ValueError:
    """Return the error for what cannot be unpacked into a name and a value."""
    needed = "a mapping or (name, value) pairs are needed here"
    if isinstance(error, ValueError):
        return ValueError(f"{error}: {needed}")
    return TypeError(f"{needed}, and {given!r:.100} is no pair")


def _utf8(value: Any) -> Any:
    return value.encode("utf-8") if isinstance(value, str) else value


# --- JSON and multipart --------------------------------------------------------------------------


def encode_json(value: Any) -> bytes:
    """Encode a value as JSON in UTF-8, in the spacing of `json.dumps`.

    Raises:
        InvalidJSONError: It holds NaN or an infinity, which JSON cannot express.
        TypeError: It holds an object that JSON has no form for.
    """
    try:
        if complexjson.dumps is _DUMPS and json.JSONEncoder is _JSONEncoder:
            return _ENCODER.encode(value).encode("utf-8")
        body: str | bytes = complexjson.dumps(value, allow_nan=False)
        return body if isinstance(body, bytes) else body.encode("utf-8")
    except ValueError as error:
        raise InvalidJSONError(error) from error


def encode_files(files: Any, data: Any) -> tuple[bytes, str]:
    """Build a multipart body: the form fields first, then the files.

    Args:
        files: A mapping or pairs of field name and file. A file is something with `read`, text,
            bytes, or a tuple `(filename, file[, content_type[, headers]])`; `None` is left out.
        data: Form fields, a mapping or pairs.

    Returns:
        The body, and the content type that names its boundary. The boundary comes from
        `urllib3.filepost.choose_boundary` as it is when this is called.

    Raises:
        ValueError: There are no files, or `data` is a string, which has no field names, or a tuple
            has too few or too many values.
        TypeError: What is given as a file is none.
        AttributeError: A name of a field is no text.
        InvalidHeader: A content type or header of a section would start a line of its own.
    """
    if not files:
        raise ValueError("Files must be provided.")
    if isinstance(data, (str, bytes)):
        raise ValueError("Data must not be a string: it has no field names to go with files.")
    sections: list[Any] = [
        (_text(name), _form_value(value)) for name, value in _flat({} if data is None else data)
    ]
    for pair in to_key_val_list(files) or ():
        try:
            name, given = pair
        except (TypeError, ValueError) as error:
            raise _no_pair(pair, error) from None
        section = _file_section(name, given)
        if section is not None:
            sections.append(section)
    return encode_multipart_formdata(sections)


def _text(name: Any) -> str:
    text: object = name.decode("utf-8") if isinstance(name, bytes) else name
    if not isinstance(text, str):
        raise AttributeError(
            f"the names of fields and of files must be str, such as 'file', not {name!r}"
        )
    return text


def _form_value(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


def _file_section(name: Any, given: Any) -> RequestField | None:
    """One file as a section of a multipart body, or None when there is no file."""
    content_type = headers = None
    if isinstance(given, (tuple, list)):
        if not 2 <= len(given) <= 4:
            raise ValueError(_no_file(name))
        filename, file, *rest = given
        if rest:
            content_type, *more = rest
            if more:
                (headers,) = more
    else:
        filename, file = guess_filename(given) or name, given
    if file is None:
        return None
    content = file.read() if hasattr(file, "read") else file
    if not isinstance(content, (str, bytes, int)):  # a number is written as text
        try:
            memoryview(content)
        except TypeError:
            raise TypeError(f"{_no_file(name)}, not {described(content)}") from None
    section = RequestField(
        name=_text(name),
        data=content,
        filename=None if filename is None else _text(filename),
        headers=_checked(headers),
    )
    _refuse_line_breaks("Content-Type", content_type)
    section.make_multipart(content_type=content_type)
    return section


def _no_file(name: object) -> str:
    return (
        f"the file of the field {name!r} must be a file, its content, or a tuple "
        "(filename, file[, content_type[, headers]])"
    )


def _checked(headers: Any) -> Any:
    for pair in dict_to_sequence(headers or {}):
        try:
            name, value = pair
        except (TypeError, ValueError) as error:
            raise _no_pair(pair, error) from None
        _refuse_line_breaks(name, name)
        _refuse_line_breaks(name, value)
    return dict(dict_to_sequence(headers)) if headers else None


def _refuse_line_breaks(name: Any, value: Any) -> None:
    if isinstance(value, str) and ("\r" in value or "\n" in value):
        raise InvalidHeader(f"A header of a multipart section has a line break in it: {name!r}")


def guess_filename(obj: Any) -> str | None:
    """Return the last part of a file's own name, or None when it has no usable one.

    Names such as `<stdin>` and the numbers of unnamed descriptors do not count.
    """
    name = getattr(obj, "name", None)
    if not isinstance(name, (str, bytes)) or not name:
        return None
    if name[:1] in ("<", b"<") or name[-1:] in (">", b">"):
        return None
    return os.path.basename(name)  # type: ignore[return-value]  # bytes stay bytes


# --- streams -------------------------------------------------------------------------------------


def is_stream(data: Any) -> bool:
    """Whether a body is to be sent piece by piece: an iterable that is not a value of its own.

    `hasattr` rather than `isinstance`, so that wrappers which forward attributes count too.
    """
    return not isinstance(data, _PLAIN) and hasattr(data, "__iter__")


def super_len(o: Any) -> int:
    """Count the bytes that sending `o` would send, from its present position.

    Text counts in UTF-8. 0 also means "cannot tell": such a body is sent in chunks.

    Warns:
        FileModeWarning: A file is open in text mode, so that its size on disk may not be what
            will be read from it.
    """
    if isinstance(o, str):
        return len(o) if o.isascii() else len(o.encode("utf-8"))
    if isinstance(o, io.StringIO):
        return _rest_of_text(o)
    total = _declared_length(o)
    if not hasattr(o, "tell"):
        return max(0, total or 0)
    try:
        position: int = o.tell()
    except OSError:
        # A stream that has a size but no position (stdin, a pipe): all that is certain is that
        # the size does not hold for what is left of it.
        return 0
    if total is None:
        total = _length_by_seeking(o, position)
    return max(0, total - position)


def _declared_length(o: Any) -> int | None:
    """What an object says of its own length: `len()`, `.len`, or the size of its file."""
    if isinstance(o, memoryview):
        return o.nbytes
    if hasattr(o, "__len__"):
        return len(o)
    if hasattr(o, "len"):
        length: int = o.len
        return length
    if not hasattr(o, "fileno"):
        return None
    try:
        size = os.fstat(o.fileno()).st_size
    except (io.UnsupportedOperation, AttributeError):
        # BytesIO has a fileno that refuses; members of a tar archive wrap one that is missing.
        return None
    if "b" not in str(getattr(o, "mode", "b")):
        warn_caller(
            "A file opened in text mode is sent as a body: its length on disk is used, which is"
            ' wrong if reading translates anything. Open it with mode "rb".',
            FileModeWarning,
        )
    return size


def _rest_of_text(o: io.StringIO) -> int:
    # Positions count characters, and bytes are what is sent.
    position = o.tell()
    rest = o.read()
    o.seek(position)
    return super_len(rest)


def _length_by_seeking(o: Any, position: int) -> int:
    if not hasattr(o, "seek"):
        return 0
    try:
        o.seek(0, os.SEEK_END)
        end: int = o.tell()
        o.seek(position or 0)
    except OSError:
        return 0
    return end


def can_rewind(body: Any, position: Any) -> bool:
    """Whether a body that was sent can be sent again, whole.

    Args:
        body: The `body` of a prepared request.
        position: Its `_body_position`: where the stream stood when it was prepared; None when it
            is no stream or has no position.
    """
    if body is None or isinstance(body, (str, bytes, bytearray, memoryview)):
        return True
    if hasattr(body, "seek") and isinstance(position, int):
        seekable = getattr(body, "seekable", None)
        return bool(seekable()) if callable(seekable) else True
    if hasattr(body, "read") or hasattr(body, "__next__"):
        return False
    # An iterable that is no iterator begins again each time: a list, or an object with `__iter__`.
    return position is None and hasattr(body, "__iter__")


def rewind_body(prepared_request: Sendable) -> None:
    """Set a stream back to its position when the request was prepared.

    Raises:
        UnrewindableBodyError: It has no known position, or seeking to it failed.
    """
    seek = getattr(prepared_request.body, "seek", None)
    position = prepared_request._body_position
    if seek is None or not isinstance(position, int):
        raise UnrewindableBodyError(
            "Unable to rewind request body: it was sent once and cannot be read again. Pass bytes,"
            " or a file that can seek, where the request may have to be repeated."
        )
    try:
        seek(position)
    except OSError as error:
        raise UnrewindableBodyError(
            f"An error occurred when rewinding request body to position {position}: {error}"
        ) from error
