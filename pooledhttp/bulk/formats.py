"""The formats of lists: text, CSV, TSV and JSON Lines, each also compressed by gzip.

| format | an item |
|---|---|
| `txt` | a line: a URL; what follows a tab does not count, nor do blank and `#` lines |
| `csv`, `tsv` | a row, with the columns that the first row names; else the first is the URL |
| `jsonl` | a line: a string, or an object with the same names |

Names are `url key name headers method data json size sha256 md5`; others do not count. `headers`
is an object, or in a cell also `Name: value` lines. With `data` or `json` and no `method` it is a
POST.

A list is read as bytes. A byte order mark tells UTF-16 from UTF-8; without one, a zero byte beside
the first character does. Bytes that are not UTF-8 are
percent-encoded one by one, so that the server gets exactly what stands in the list.

A line that cannot be understood is a `BadLine` in its place, and no error.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from pooledhttp.bulk.jobs import BadLine, Job

__all__ = [
    "FORMATS",
    "UTF8_MARK",
    "Item",
    "decoded",
    "form_of",
    "format_of",
    "read_items",
    "read_urls",
]

#: What a list has.
Item = str | Job | BadLine

#: The names of columns that are taken as they are.
_TEXTS = ("url", "key", "name", "method", "data", "sha256", "md5")

#: What is raised for a text that is no JSON, for one of its numbers, and for its depth.
_NOT_JSON = (ValueError, RecursionError)

_ENDING_AT_RETURN = re.compile(r"[^\r]*\r\n?|[^\r]+")

#: The byte order mark of UTF-8.
UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MARK = b"\x1f\x8b"


def format_of(path: str) -> str:
    """Return the format that a file's name tells: `txt` unless it is one of the others."""
    name = path.lower().removesuffix(".gz")
    suffix = name.rpartition(".")[2]
    return {"ndjson": "jsonl"}.get(suffix, suffix if suffix in FORMATS else "txt")


def read_items(stream: BinaryIO, format: str) -> Iterator[Item]:
    """Yield the items of a list.

    Args:
        stream: The list, from its start; compressed or not.
        format: One of `FORMATS`.

    Raises:
        OSError: It cannot be read to its end.
    """
    try:
        yield from FORMATS[format](_split_at_returns(_lines(stream)))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        name = getattr(stream, "name", None)
        list_name = name if isinstance(name, str) else "the list"
        raise OSError(f"{list_name} is cut or damaged: {error}") from error


def read_urls(lines: Iterable[bytes] | Iterable[str]) -> Iterator[str]:
    """Yield the URLs of a list in the format `txt`.

    Args:
        lines: Its lines, as an open file yields them.
    """
    for line in lines:
        text = decoded(line) if isinstance(line, bytes) else line
        url = text.lstrip("\ufeff").partition("\t")[0].strip()
        if url and not url.startswith("#"):
            yield url


# ------------------------------------------------------------------ bytes


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a list as text, with their ends."""
    buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(stream)
    start: bytes = buffered.peek(4)
    form = form_of(start)
    if form == "gzip":
        return _lines(io.BufferedReader(gzip.GzipFile(fileobj=buffered)))
    if form != "utf-8":
        return iter(io.TextIOWrapper(buffered, form, "replace", newline=""))
    if start.startswith(UTF8_MARK):
        buffered.read(len(UTF8_MARK))
    return map(decoded, buffered)


def form_of(start: bytes) -> str:
    """Return what the first bytes of a list tell: `"gzip"`, or the encoding of its text."""
    if start.startswith(_GZIP_MARK):
        return "gzip"
    if start.startswith(_UTF16_MARKS):
        return "utf-16"
    if start[1:2] == b"\0" != start[:1]:
        return "utf-16-le"
    if start[:1] == b"\0" != start[1:2]:
        return "utf-16-be"
    return "utf-8"


def _split_at_returns(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; a carriage return ends one as well, with or without a line feed behind it."""
    for line in lines:
        if "\r" in line:
            yield from _ENDING_AT_RETURN.findall(line)
        else:
            yield line


def decoded(line: bytes) -> str:
    """Return a line as text; bytes that are not UTF-8 are percent-encoded."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in line)


# ------------------------------------------------------------------ formats


def _read_csv(lines: Iterator[str]) -> Iterator[Item]:
    return _read_rows(csv.reader(lines, strict=True))


def _read_tsv(lines: Iterator[str]) -> Iterator[Item]:
    return _read_rows(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_rows(rows: Iterator[list[str]]) -> Iterator[Item]:
    names: list[str] = []
    while True:
        first = rows.line_num + 1  # type: ignore[attr-defined]
        try:
            cells = next(rows, None)
        except csv.Error as error:
            last: int = rows.line_num  # type: ignore[attr-defined]
            # A quote that is not closed takes all that is behind it, up to 128 KiB.
            where = f"lines {first} to {last}" if last > first else f"line {last}"
            yield BadLine(where, f"{where}: {error}")
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if not names:
            names = [cell.strip().lower() for cell in cells]
            if "url" in names:
                continue
            names = ["url"]
        fields = {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}
        yield _item(fields, fields.get("url", ",".join(cells)))


def _read_jsonl(lines: Iterator[str]) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except _NOT_JSON as error:
            yield BadLine(line.strip(), f"line {number} is not JSON: {_reason(error)}")
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield _item(value, str(value.get("url") or line.strip()))
        else:
            yield BadLine(line.strip(), f"line {number} is neither a string nor an object")


#: Readers by name.
FORMATS: dict[str, Callable[[Iterator[str]], Iterator[Item]]] = {
    "txt": read_urls,
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
}


# ------------------------------------------------------------------ fields


def _item(fields: Mapping[str, object], text: str) -> Item:
    """Make a job of the fields of a line, or say why it is none."""
    try:
        return _job(fields)
    except (TypeError, *_NOT_JSON) as error:
        return BadLine(text, _reason(error))


def _reason(error: Exception) -> str:
    """Say what is wrong; of the depth each release of Python says something else."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return getattr(error, "msg", None) or str(error)


def _job(fields: Mapping[str, object]) -> Job:
    values: dict[str, object] = {}
    for name in _TEXTS:
        value = fields.get(name)
        if value is None:
            continue
        if name == "key" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a text, not {value!r:.40}")
        values[name] = value if name == "data" else value.strip()
    if not values.get("url"):
        raise ValueError("no URL")
    if fields.get("json") is not None:
        value = fields["json"]
        values["json"] = json.loads(value) if isinstance(value, str) else value
    if "method" not in values and ("data" in values or "json" in values):
        values["method"] = "POST"
    if fields.get("size") is not None:
        values["size"] = _size(fields["size"])
    if fields.get("headers") is not None:
        values["headers"] = _headers(fields["headers"])
    if isinstance(values.get("data"), str):
        values["data"] = str(values["data"]).encode()
    return Job(**values)  # type: ignore[arg-type]


def _size(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"size must be a number of bytes, not {value!r:.40}")


def _headers(value: object) -> dict[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        pairs = [line.partition(":") for line in value.splitlines() if line.strip()]
        if not all(colon and name.strip() for name, colon, _ in pairs):
            raise ValueError(f"headers must be 'Name: value' lines or JSON, not {value!r:.40}")
        return {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"headers must be an object of texts, not {value!r:.40}")
    return value
