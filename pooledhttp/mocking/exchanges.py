"""What a simulated server gets and sends, as values and as bytes."""

from __future__ import annotations

import json as _json
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pooledhttp.records import record
from pooledhttp.status_codes import codes
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import DEFAULT_PORTS

__all__ = ["FAULTS", "Fault", "Reply", "SentRequest", "parse_request", "place", "response_bytes"]

#: What may go wrong, by name:
#:   refuse                 no connection can be opened
#:   stall                  the server gets the request and says nothing
#:   stall in body          it says nothing more after the first half of the body
#:   reset                  the connection is reset before any byte of the response
#:   cut body               it is closed after the first half of the body
#:   503 with Retry-After   the server is busy, and asks for a pause of 1 s
Fault = Literal["refuse", "stall", "stall in body", "reset", "cut body", "503 with Retry-After"]

FAULTS: tuple[str, ...] = get_args(Fault)


@record
class SentRequest:
    """A request as the server got it.

    Attributes:
        method: The method.
        url: The whole URL.
        headers: The header fields; names in any case.
        body: The body, without chunks.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        size = f", {len(self.body)} bytes" if self.body else ""
        return f"<SentRequest {self.method} {self.url}{size}>"

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return _json.loads(self.body)


@record
class Reply:
    """What one request gets: the bytes of a response, or a fault."""

    data: bytes
    fault: Fault | None


def place(url: str) -> str:
    """Return a URL in one form: with a port and a path, without credentials and fragment.

    Raises:
        ValueError: It has no host.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"url must be a whole URL, such as https://host/path, not {url!r}")
    port = parts.port or DEFAULT_PORTS.get(parts.scheme.lower(), 0)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{host}:{port}{parts.path or '/'}{query}"


def response_bytes(
    method: str, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None
) -> bytes:
    """Return the bytes that the client gets."""
    if fault in ("stall", "reset", "refuse"):
        return b""
    names = codes.__dict__
    reason = next((name for name, code in names.items() if code == status), "")
    has_body = method.upper() != "HEAD" and status not in (204, 304)
    fields = {**headers} if status == 204 else {**headers, "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status} {reason.replace('_', ' ').title()}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if fault in ("cut body", "stall in body"):
        body = body[: len(body) // 2]
    return head + (body if has_body else b"")


def parse_request(origin: str, data: bytes) -> SentRequest | None:
    """Read a request; `None` if its body is still to come."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for field in lines:
        name, _, value = field.partition(":")
        headers[name] = value.strip()
    if "chunked" in headers.get("Transfer-Encoding", ""):
        if not body.endswith(b"0\r\n\r\n"):
            return None
        body = _without_chunks(body)
    elif len(body) < int(headers.get("Content-Length", 0)):
        return None
    return SentRequest(method, target if "://" in target else origin + target, headers, body)


def _without_chunks(data: bytes) -> bytes:
    pieces: list[bytes] = []
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return b"".join(pieces)
        pieces.append(data[:length])
        data = data[length + 2 :]
