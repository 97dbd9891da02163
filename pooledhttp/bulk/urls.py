"""Reads the parts of URLs: origin, host, path and query. Fast, because lists have millions.

Nearly every URL of a list is plain: printable ASCII, a host without user and brackets, no fragment.
Such a one is cut at its separators, at a tenth of the cost of `urlsplit`. Everything else goes the
general way. Both ways give the same result.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from pooledhttp.message import DEFAULT_PORTS

__all__ = ["kept_query", "network_location", "origin_of", "path_and_query", "plain_parts"]

_VALUE = re.compile("=[^&]*")

#: Scheme, network location, path and query of a plain URL.
_PLAIN = re.compile(
    r"(https?)://([A-Za-z0-9.\-]+(?::[0-9]{1,5})?)((?:/[!-\"$->@-~]*)?)(?:\?([!-\"$-~]*))?"
)

#: Query parameters that sign a request or carry a credential. They say nothing about the file.
_SIGNING_PREFIXES = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "x-bce-")
_SIGNING = frozenset(
    "signature sig token access_token auth_token awsaccesskeyid googleaccessid ossaccesskeyid"
    " key-pair-id hmac hdnea hdnts __gda__ __token__ jwt apikey api_key api-key"
    " q-sign-algorithm q-ak q-sign-time q-key-time q-header-list q-url-param-list"
    " q-signature".split()
)
#: Words that mean this only beside one of the others: expiry times, and Azure's two letters.
_BESIDE_SIGNING = frozenset(
    "expires policy security-token sv ss srt se st sp spr sip sr si skoid sktid skt ske sks skv"
    " saoid suoid scid sdd".split()
)


def plain_parts(url: str) -> tuple[str, str, str, str] | None:
    """Return scheme, network location, path and query of a plain URL, else None."""
    found = _PLAIN.fullmatch(url)
    return None if found is None else found.groups("")  # type: ignore[return-value]  # four


#: The origins of plain URLs by their beginning, up to the path: what follows does not change them.
_origins: dict[str, str] = {}
_MOST_ORIGINS = 4096

#: Several functions ask about the same URL, one after the other.
_plain_parts = lru_cache(maxsize=64)(plain_parts)


def path_and_query(url: str) -> tuple[str, str] | None:
    """Return path and query of a URL; None for what is no URL."""
    plain = _plain_parts(url)
    if plain is not None:
        return plain[2], plain[3]
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return parts.path, parts.query


def network_location(url: str) -> str:
    """Return the host of a URL, with the port as it is written; empty for what is no URL."""
    plain = _plain_parts(url)
    if plain is not None:
        return plain[1]
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc.rpartition("@")[2] if parts.scheme else ""


def origin_of(url: str) -> str:
    """Return `scheme://host:port` of a URL; empty for one that has no host."""
    if isinstance(url, str):
        path_at = url.find("/", 8)
        if path_at > 0 and (known := _origins.get(url[:path_at])) is not None:
            return known
        plain = _plain_parts(url)
        if plain is not None:
            return _plain_origin(plain[0], plain[1])
    try:
        parts = urlsplit(url.strip())
        hostname, number = parts.hostname, parts.port
    except (ValueError, AttributeError):
        return ""  # a bad URL fails when it is sent, with an error that says why
    scheme = parts.scheme.lower()
    if not hostname:
        return ""
    return f"{scheme}://{hostname}:{number or DEFAULT_PORTS.get(scheme, 0)}"


def _plain_origin(scheme: str, location: str) -> str:
    host, _, digits = location.partition(":")
    port = int(digits or 0) or DEFAULT_PORTS[scheme]
    origin = f"{scheme}://{host.lower()}:{port}" if port < 65536 else ""
    if len(_origins) >= _MOST_ORIGINS:
        _origins.clear()
    _origins[f"{scheme}://{location}"] = origin
    return origin


def kept_query(query: str) -> str:
    """Decode a query and leave out what only signs the request."""
    is_coded = "%" in query
    if not is_coded and not _has_signing(_VALUE.sub("", query)):
        return query
    fields = query.split("&")
    names = [field.partition("=")[0] for field in fields]
    if is_coded:
        names = [unquote(name) for name in names]
    for name in names:
        if _is_signing(name):
            break
    else:
        return unquote(query, errors="replace")
    kept = [
        field
        for field, name in zip(fields, names, strict=True)
        if not (_is_signing(name) or name.lower() in _BESIDE_SIGNING)
    ]
    return unquote("&".join(kept), errors="replace")


@lru_cache(maxsize=1024)  # a list has the same few names in all its lines
def _has_signing(names: str) -> bool:
    """Whether one of the names, with `&` between them, signs the request."""
    return any(map(_is_signing, names.split("&")))


@lru_cache(maxsize=1024)
def _is_signing(name: str) -> bool:
    name = name.lower()
    return name in _SIGNING or name.startswith(_SIGNING_PREFIXES)
