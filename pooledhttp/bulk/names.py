"""Names of files, made from URLs that may come from anywhere.

Everything here is pure: no file is looked at. A name is a path relative to the directory of the
run, with `/` between its parts. Each part

- has no separator, no control character, no character that turns the direction of text, and none
  that Windows refuses;
- does not begin with a dot, so it can hide nothing and cannot meet `.pooledhttp`;
- is no device name of Windows, and does not end with a dot or a space;
- has at most 200 bytes.

Percent escapes are decoded once, before all this is looked at: `%2e%2e%2f` is as harmless as `../`.

The *plain* name of a URL is what a person would call the file: the last segment of the path and the
query. Parameters that only sign a request (`X-Amz-Signature`, `token`) are left out, because they
change with every list. When the plain name is taken, the URL's *mark* (a part of the digest of its
identity) goes before the suffix. A mark depends on the URL alone, so a name does not depend on what
else is in the list.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from email.message import Message
from email.utils import collapse_rfc2231_value
from string import Formatter
from urllib.parse import unquote, urlsplit

from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.urls import kept_query, path_and_query
from pooledhttp.message import DEFAULT_PORTS

__all__ = [
    "Naming",
    "UrlNames",
    "candidates",
    "disposition_name",
    "first_marked",
    "folded",
    "given_name",
    "last_name",
    "marked_name",
    "name_of_parts",
    "naming",
    "plain_name",
    "safe_part",
]

#: Makes a name of a job, before clashes are looked at.
Naming = Callable[[Job], str]

#: File systems allow 255 bytes. The rest is left for what other programs append (`.part`, `.bak`).
MAX_BYTES = 200

_MAX_SUFFIX_BYTES = 16

_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\ud800-\udfff'
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
#: A name of these characters alone is safe unless it ends badly or is a device name.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-.=&,+@~ ]*")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
_DEVICE_STARTS = frozenset("con prn aux nul com lpt".split())

_TEMPLATE_FIELDS = ("host", "dir", "name", "stem", "ext", "query", "key", "mark")


def plain_name(url: str) -> str:
    """Return the name of a URL: the last segment of its path, with its query before the suffix."""
    parts = path_and_query(url)
    return "invalid" if parts is None else name_of_parts(*parts)


def name_of_parts(path: str, query: str) -> str:
    """Return the name of a URL with this path and query."""
    return safe_part(_last(path, query))


def last_name(job: Job) -> str:
    """Return the name of a job's URL: what `naming("last")` names by."""
    return plain_name(job.url)


def safe_part(text: str) -> str:
    """Make one part of a path out of any text."""
    if _HARMLESS.fullmatch(text) and len(text) <= MAX_BYTES and text[-1] not in ". ":
        return "_" + text if _is_device(text) else text
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).strip(" ")
    if name.startswith("."):
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    if _is_device(name):
        name = "_" + name
    return _shortened(name, MAX_BYTES)


def candidates(name: str, identity: bytes) -> Iterator[str]:
    """Yield the names that a job asks for, in this order, until one is free.

    Args:
        name: Its plain name.
        identity: What tells the job from every other one.
    """
    yield name
    yield first_marked(name, identity)
    mark = hashlib.sha256(identity).hexdigest()
    for length in (16, 64):
        yield with_mark(name, mark[:length])


def first_marked(name: str, identity: bytes) -> str:
    """Return the first of the `candidates` with a mark: the second of all."""
    return with_mark(name, hashlib.sha256(identity).hexdigest()[:8])


def marked_name(name: str, identity: bytes) -> str:
    """Return a name that no other job asks for, whatever the list: with the job's mark in it."""
    return with_mark(name, hashlib.sha256(identity).hexdigest()[:16])


def with_mark(name: str, mark: str) -> str:
    """Put a mark before the suffix of the last part of a name."""
    folder, slash, last = name.rpartition("/")
    stem, suffix = _split_suffix(last)
    room = MAX_BYTES - len(suffix.encode()) - len(mark) - 1
    return f"{folder}{slash}{_shortened(stem, room)}-{mark}{suffix}"


def folded(name: str) -> str:
    """Return the form in which two names are the same file on some file system."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def naming(way: str | Naming) -> Naming:
    """Return the function that names jobs.

    Args:
        way: `"last"` for the last segment of the URL, `"tree"` for host and path as directories,
            `"key"` for the job's key, a template such as `"{host}/{name}"`, or a function of the
            caller's. Templates know `host`, `dir`, `name`, `stem`, `ext`, `query`, `key`, `mark`.

    Raises:
        ValueError: The word is none of these, or a template has a field that does not exist.
        TypeError: It is neither a string nor a function.
    """
    if callable(way):
        own = way
        return lambda job: checked(own(job))
    if not isinstance(way, str):
        raise TypeError(f"names must be a string or a function of a Job, not {way!r}")
    if way == "last":
        return last_name
    if way == "tree":
        return _Template("{host}/{dir}/{name}")
    if way == "key":
        return _Template("{key}")
    return _Template(way)


def given_name(name: str) -> str:
    """Return a name that a list gives, each part of it made safe.

    Raises:
        ValueError: It has no part that is not empty.
    """
    parts = [safe_part(part) for part in name.split("/") if part]
    if not parts:
        raise ValueError(f"{name!r} is not the name of a file")
    return "/".join(parts)


def checked(name: str) -> str:
    """Return a name that a caller's function made, if it is one inside the directory.

    Raises:
        ValueError: It is empty, absolute, leads outside, or has a part that begins with a dot.
        TypeError: It is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"a file name must be a str, not {type(name).__name__}")
    if not name or "\0" in name or f"/{name}".find("/.") >= 0 or "//" in f"/{name}/":
        raise ValueError(f"{name!r} is not the name of a file inside the directory")
    return name


def disposition_name(value: str | None) -> str | None:
    """Return the name that a Content-Disposition gives, made safe; None when it gives none.

    `filename*` (RFC 6266, section 4.3) comes before `filename`. A path is cut to its last part.
    """
    if value is None:
        return None
    with suppress(UnicodeError):  # a field is read as Latin-1, and many servers send UTF-8
        value = value.encode("latin-1").decode()
    message = Message()
    message["Content-Disposition"] = " ".join(value.split())
    parameters = message.get_params([], "Content-Disposition")
    names = [text for name, text in parameters if name.lower() == "filename"]
    coded = [text for text in names if isinstance(text, tuple)]
    name = collapse_rfc2231_value((coded or names or [""])[0])
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return safe_part(last) if last.strip(".") else None


class _Template:
    """Names after a pattern of fields; every part of the result is made safe."""

    def __init__(self, pattern: str) -> None:
        try:
            fields = [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]
        except ValueError as error:
            raise ValueError(f"names: {pattern!r} is no template: {error}") from None
        unknown = [field for field in fields if field not in _TEMPLATE_FIELDS]
        if unknown or not fields:
            raise ValueError(
                f"names must be 'last', 'tree', 'key' or a template with some of"
                f" {', '.join('{' + field + '}' for field in _TEMPLATE_FIELDS)}, not {pattern!r}"
            )
        try:
            pattern.format_map(dict.fromkeys(_TEMPLATE_FIELDS, "x"))
        except (ValueError, LookupError) as error:  # `{name:d}`
            raise ValueError(f"names: {pattern!r} is no template: {error}") from None
        self._pattern = pattern
        self._needs_key = "key" in fields

    def __call__(self, job: Job) -> str:
        if self._needs_key and job.key is None:
            raise ValueError(f"the job has no key to be named after: {job.url}")
        parts = self._pattern.format_map(self._values(job)).split("/")
        return "/".join(safe_part(part) for part in parts if part)

    def _values(self, job: Job) -> dict[str, str]:
        try:
            parts = urlsplit(job.url.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return dict.fromkeys(_TEMPLATE_FIELDS, "invalid")
        if port is not None and port != DEFAULT_PORTS.get(parts.scheme.lower()):
            host = f"{host}_{port}"
        last = _last(parts.path, parts.query)
        stem, suffix = _split_suffix(last)
        folder = unquote(parts.path.rpartition("/")[0], errors="replace")
        return {
            "host": _flat(host),
            "dir": "/".join(part for part in folder.split("/") if part not in ("", ".", "..")),
            "name": _flat(last),
            "stem": _flat(stem),
            "ext": _flat(suffix[1:]),
            "query": _flat(kept_query(parts.query)),
            "key": "" if job.key is None else str(job.key),
            "mark": hashlib.sha256(job.url.encode("utf-8", "surrogatepass")).hexdigest()[:8],
        }


class UrlNames:
    """Names files after the last segment of the URL's path, each URL a name of its own.

    The first URL that asks for a name gets it. Another URL that would get the same name gets its
    mark; so does one whose name differs only in case or in Unicode form. The same URL always gets
    the same name.

    Args:
        reserved: Names that are not given away.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._owners: dict[str, bytes] = {folded(name): b"" for name in reserved}

    def __call__(self, job: Job, index: int) -> str:
        """Return the file name for a job."""
        identity = job.url.encode("utf-8", "surrogatepass")
        owner = hashlib.sha256(identity).digest()[:16]
        name = ""
        for name in candidates(plain_name(job.url), identity):
            if self._owners.setdefault(folded(name), owner) == owner:
                break
        return name


def _last(path: str, query: str) -> str:
    """Return the last segment of a path, with what matters of the query before the suffix."""
    name = path.rpartition("/")[2]
    if "%" in name:
        name = unquote(name, errors="replace")
    name = name or "index.html"
    query = kept_query(query) if query else ""
    if not query:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_{query}.{suffix}" if dot and stem else f"{name}_{query}"


def _is_device(name: str) -> bool:
    return name[:3].lower() in _DEVICE_STARTS and _DEVICES.match(name) is not None


def _flat(text: str) -> str:
    """Return text that is one part of a path."""
    return text.replace("/", "_")


def _split_suffix(name: str) -> tuple[str, str]:
    """Split `photo.jpg` into `photo` and `.jpg`; what is too long to be a suffix is none."""
    stem, suffix = os.path.splitext(name)
    if suffix and stem.lower().endswith(".tar") and len(stem) > 4:
        stem, suffix = stem[:-4], stem[-4:] + suffix
    return (stem, suffix) if len(suffix.encode()) <= _MAX_SUFFIX_BYTES else (name, "")


def _shortened(name: str, room: int) -> str:
    """Cut a name to a number of bytes, keeping its suffix."""
    if len(name.encode()) <= room:
        return name
    stem, suffix = _split_suffix(name)
    cut = stem.encode()[: room - len(suffix.encode())].decode(errors="ignore")
    return (cut.rstrip(". ") or "_") + suffix
