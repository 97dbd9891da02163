"""The keyword arguments of the methods of `AsyncSession`, as types.

They are those of `Session`, except that a body may also be an async iterable or an async file, a
file of a form also an async file, and that `hooks` and `auth` may be coroutine functions.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

from pooledhttp.client import CommonOptions
from pooledhttp.message import (
    AuthInput,
    DataInput,
    JsonInput,
    ParamsInput,
    PreparedRequest,
    Readable,
)

__all__ = [
    "AsyncAuthInput",
    "AsyncCallOptions",
    "AsyncDataInput",
    "AsyncFilesInput",
    "AsyncGetOptions",
    "AsyncPostOptions",
    "AsyncPutOptions",
    "AsyncRequestOptions",
    "AsyncReadable",
]


class AsyncReadable(Protocol):
    """Anything with an awaited `read`, such as an open file of aiofiles or anyio."""

    def read(self, length: int = ..., /) -> Awaitable[bytes | str]:
        """Return up to `length` bytes or characters; empty at the end."""


#: A body: what `Session` takes, or pieces that are awaited.
AsyncDataInput: TypeAlias = DataInput | AsyncIterable[bytes] | AsyncIterable[str] | AsyncReadable

_FileContent: TypeAlias = Readable[str | bytes] | AsyncReadable | str | bytes | bytearray
_File: TypeAlias = (
    _FileContent
    | tuple[str | None, _FileContent]
    | tuple[str | None, _FileContent, str | None]
    | tuple[str | None, _FileContent, str | None, Mapping[str, str]]
)

#: Files of a form: what `Session` takes, where a file may also be one whose `read` is awaited.
AsyncFilesInput: TypeAlias = Mapping[str, _File] | Iterable[tuple[str, _File]] | None

#: Credentials: what `Session` takes, or a function that is awaited with the prepared request.
AsyncAuthInput: TypeAlias = "AuthInput | Callable[[PreparedRequest], Awaitable[PreparedRequest]]"


class AsyncCallOptions(CommonOptions, total=False):
    """What every method takes."""

    auth: AsyncAuthInput
    files: AsyncFilesInput


class AsyncRequestOptions(AsyncCallOptions, total=False):
    """What `request`, `options`, `head` and `delete` take besides the URL and `stream`."""

    params: ParamsInput
    data: AsyncDataInput
    json: JsonInput


class AsyncGetOptions(AsyncCallOptions, total=False):
    """What `get` takes besides the URL, `params` and `stream`."""

    data: AsyncDataInput
    json: JsonInput


class AsyncPostOptions(AsyncCallOptions, total=False):
    """What `post` takes besides the URL, `data`, `json` and `stream`."""

    params: ParamsInput


class AsyncPutOptions(AsyncCallOptions, total=False):
    """What `put` and `patch` take besides the URL, `data` and `stream`."""

    params: ParamsInput
    json: JsonInput
