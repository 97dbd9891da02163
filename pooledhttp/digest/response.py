"""The `Authorization` field that meets a digest challenge (RFC 7616, section 3.4)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pooledhttp.exceptions import InvalidHeader

__all__ = ["digest_field", "is_supported", "request_target"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _hash_named(algorithm: str | None) -> Callable[[bytes], Any] | None:
    match (algorithm or "MD5").upper().removesuffix("-SESS"):
        case "MD5":
            return lambda data: hashlib.md5(data, usedforsecurity=False)
        case "SHA":
            return lambda data: hashlib.sha1(data, usedforsecurity=False)
        case "SHA-256":
            return hashlib.sha256
        case "SHA-512":
            return hashlib.sha512
    return None


def _offers_auth(qop: str) -> bool:
    return "auth" in (offer.strip().lower() for offer in qop.split(","))


def is_supported(challenge: Mapping[str, str | None]) -> bool:
    """Whether a challenge has a realm and a nonce, and an algorithm and a `qop` known here."""
    qop = challenge.get("qop")
    return (
        challenge.get("realm") is not None
        and challenge.get("nonce") is not None
        and _hash_named(challenge.get("algorithm")) is not None
        and (not qop or _offers_auth(qop))
    )


def digest_field(
    challenge: Mapping[str, str | None],
    *,
    username: str,
    password: str,
    method: str,
    target: str,
    count: int,
    cnonce: str,
) -> str:
    """Return the value of an `Authorization` field (RFC 7616, section 3.4).

    Args:
        challenge: The parameters of the challenge; it has to be supported.
        username: As text.
        password: As text.
        method: The method of the request.
        target: Path and query of the request, as in its request line.
        count: How often the nonce has been used, this time included.
        cnonce: A nonce of the client.

    Raises:
        InvalidHeader: The user name or the challenge holds a control character.
    """
    number = f"{count:08x}"
    response = _digest(challenge, (username, password), (method, target), number, cnonce)
    fields = [
        f"username={_quoted(username)}",
        f"realm={_quoted(challenge['realm'] or '')}",
        f"nonce={_quoted(challenge['nonce'] or '')}",
        f"uri={_quoted(target)}",
        f'response="{response}"',
    ]
    for name in ("opaque", "algorithm"):
        text = challenge.get(name)
        if text:
            fields.append(f"{name}={_quoted(text)}")
    if challenge.get("qop"):
        # RFC 7616 writes `auth` without quotes. Some servers insist on them, none refuses them.
        fields.append(f'qop="auth", nc={number}, cnonce="{cnonce}"')
    return "Digest " + ", ".join(fields)


def _digest(
    challenge: Mapping[str, str | None],
    account: tuple[str, str],
    asked: tuple[str, str],
    number: str,
    cnonce: str,
) -> str:
    """Return the digest that proves the password (RFC 7616, section 3.4.1).

    Args:
        challenge: Its parameters.
        account: User name and password.
        asked: Method and target of the request.
        number: How often the nonce has been used, as it is sent.
        cnonce: A nonce of the client.
    """
    algorithm = challenge.get("algorithm")
    hashed = _hash_named(algorithm)
    assert hashed is not None  # the challenge is supported

    def digest(*parts: str) -> str:
        return str(hashed(":".join(parts).encode("utf-8")).hexdigest())

    realm, nonce = challenge["realm"] or "", challenge["nonce"] or ""
    username, password = account
    secret = digest(username, realm, password)
    if (algorithm or "").upper().endswith("-SESS"):
        secret = digest(secret, nonce, cnonce)
    if challenge.get("qop"):
        return digest(secret, nonce, number, cnonce, "auth", digest(*asked))
    return digest(secret, nonce, digest(*asked))


def _quoted(value: str) -> str:
    """Write a value as a quoted string; a quote left bare would begin a parameter of its own."""
    if _CONTROL.search(value):
        raise InvalidHeader(
            "Digest credentials cannot be sent: the user name, or the server's challenge, holds a "
            "control character."
        )
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def request_target(url: str) -> str:
    """Return path and query as the request line has them; the field has to repeat them."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path
