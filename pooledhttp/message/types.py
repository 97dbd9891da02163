"""The types of the arguments that make a request, one alias per argument.

Functions all over the package take these arguments, and each names its type by the alias. The
aliases say what is accepted, as requests 2.34 types it, and what this package accepts in addition:

    headers   None as a value removes the field of the session
    timeout   `pooledhttp.Timeout` and urllib3's
    files     a value may be anything that a multipart field can hold

The types of `auth` and `hooks` name `PreparedRequest` and `Response`. They stand beside these
classes, in `message.prepared` and in `pooledhttp.hooks`, so that no import makes a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from http.cookiejar import CookieJar
from typing import Any, Protocol, TypeAlias, TypeVar

import urllib3

from pooledhttp import exceptions
from pooledhttp.timing import Timeout

__all__ = [
    "Body",
    "CookiesInput",
    "DataInput",
    "FilesInput",
    "FormInput",
    "HeadersInput",
    "JsonInput",
    "ParamsInput",
    "ProxiesInput",
    "Readable",
    "TimeoutInput",
    "UrlInput",
]

T_co = TypeVar("T_co", covariant=True)
K_co = TypeVar("K_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Readable(Protocol[T_co]):
    """Anything with `read`, such as an open file."""

    def read(self, length: int = ..., /) -> T_co:
        """Return up to `length` bytes or characters; empty at the end."""


class HasItems(Protocol[K_co, V_co]):
    """Anything with `items`, such as a dictionary."""

    def items(self) -> Iterable[tuple[K_co, V_co]]:
        """Return pairs of name and value."""


UrlInput: TypeAlias = str | bytes

_Scalar: TypeAlias = str | bytes | int | float
_ParamValue: TypeAlias = _Scalar | Iterable[_Scalar] | None

#: Parameters for the query: a mapping, pairs, or text that is already encoded.
ParamsInput: TypeAlias = (
    HasItems[str, _ParamValue]
    | HasItems[bytes, _ParamValue]
    | HasItems[_Scalar, _ParamValue]
    | Iterable[tuple[_Scalar, _ParamValue]]
    | str
    | bytes
    | None
)

#: A form: names and values, each of which `str()` turns into text. `Any` is requests' own choice:
#: a mapping is invariant in its key, so `dict[str, int]` would match no narrower type.
FormInput: TypeAlias = HasItems[Any, Any] | Iterable[tuple[Any, Any]]

#: A body before it is encoded: a form, text, bytes, a file, or an iterable of pieces.
DataInput: TypeAlias = (
    FormInput
    | Iterable[str | bytes]
    | Readable[str | bytes]
    | str
    | bytes
    | bytearray
    | memoryview
    | None
)

#: A body in the form in which it is sent.
Body: TypeAlias = bytes | str | Iterable[bytes | str] | Readable[bytes | str] | None

HeadersInput: TypeAlias = (
    Mapping[str, str | bytes | None]
    | Mapping[bytes, str | bytes | None]
    | Mapping[str | bytes, str | bytes | None]
    | None
)

CookiesInput: TypeAlias = CookieJar | Mapping[str, str] | None

_FileContent: TypeAlias = Readable[str | bytes] | str | bytes | bytearray
_File: TypeAlias = (
    _FileContent
    | tuple[str | None, _FileContent]
    | tuple[str | None, _FileContent, str | None]
    | tuple[str | None, _FileContent, str | None, Mapping[str, str]]
)

#: Files to upload: the name of the field, and content, `(file name, content)`, or the same with the
#: content type and further fields of the part.
FilesInput: TypeAlias = Mapping[str, _File] | Iterable[tuple[str, _File]] | None

#: Seconds for each step, `(connect, read)`, or limits. Type checkers take `pooledhttp.Timeout(...)`
#: for the exception of that name, which it is when it is not called with limits.
TimeoutInput: TypeAlias = (
    float
    | tuple[float | None, float | None]
    | Timeout
    | urllib3.Timeout
    | exceptions.Timeout
    | None
)

#: URL of a proxy by scheme, or by `scheme://host`.
ProxiesInput: TypeAlias = MutableMapping[str, str] | Mapping[str, str] | None

#: What JSON can express.
JsonInput: TypeAlias = "str | int | float | Sequence[JsonInput] | Mapping[str, JsonInput] | None"
