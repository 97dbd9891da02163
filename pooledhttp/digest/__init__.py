"""Digest authentication without requests and responses: reading challenges, computing the field.

`pooledhttp.auth` has the class that users name; it keeps the state and sends the request again.
"""

from __future__ import annotations

from pooledhttp.digest.challenge import (
    challenges_in,
    parse_dict_header,
    parse_list_header,
    unquote_header_value,
)
from pooledhttp.digest.response import digest_field, is_supported, request_target
from pooledhttp.digest.state import CallerState, NonceCounts

__all__ = [
    "CallerState",
    "NonceCounts",
    "challenges_in",
    "digest_field",
    "is_supported",
    "parse_dict_header",
    "parse_list_header",
    "request_target",
    "unquote_header_value",
]
