"""Lists of URLs, as files hold them.

A line has a URL. White space around it does not count, nor does what follows a tab: a list of
failures has its reasons there. Blank lines and lines that begin with `#` do not count either. A byte
order mark before the first URL is skipped.

A list is read as bytes. Bytes that are not UTF-8 are percent-encoded one by one, so that the server
gets exactly what stands in the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["read_urls"]


def read_urls(lines: Iterable[bytes] | Iterable[str]) -> Iterator[str]:
    """Yield the URLs of a list.

    Args:
        lines: Its lines, as an open file yields them.
    """
    for line in lines:
        text = _decoded(line) if isinstance(line, bytes) else line
        url = text.lstrip("\ufeff").partition("\t")[0].strip()
        if url and not url.startswith("#"):
            yield url


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in line)
