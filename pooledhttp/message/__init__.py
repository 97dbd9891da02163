"""Requests and responses as values: what is sent, what came back, and how both are read.

No socket is touched here. A body is read through `Response.raw`, whatever stands behind it.
"""

from __future__ import annotations

from pooledhttp.message.charset import (
    get_encoding_from_headers,
    get_encodings_from_content,
    get_unicode_from_response,
    guess_json_utf,
    iter_slices,
    stream_decode_response_unicode,
    to_native_string,
    unicode_is_ascii,
)
from pooledhttp.message.headers import (
    DEFAULT_ACCEPT_ENCODING,
    FOLLOWED_RELEASE,
    HEADER_VALIDATORS,
    check_header_validity,
    default_headers,
    default_user_agent,
    parse_content_type,
    parse_header_links,
)
from pooledhttp.message.urls import (
    DEFAULT_PORTS,
    UNRESERVED_SET,
    get_auth_from_url,
    prepend_scheme_if_needed,
    requote_uri,
    unquote_unreserved,
    urldefragauth,
)

__all__ = [
    # charset
    "get_encoding_from_headers",
    "get_encodings_from_content",
    "get_unicode_from_response",
    "guess_json_utf",
    "iter_slices",
    "stream_decode_response_unicode",
    "to_native_string",
    "unicode_is_ascii",
    # headers
    "DEFAULT_ACCEPT_ENCODING",
    "FOLLOWED_RELEASE",
    "HEADER_VALIDATORS",
    "check_header_validity",
    "default_headers",
    "default_user_agent",
    "parse_content_type",
    "parse_header_links",
    # urls
    "DEFAULT_PORTS",
    "UNRESERVED_SET",
    "get_auth_from_url",
    "prepend_scheme_if_needed",
    "requote_uri",
    "unquote_unreserved",
    "urldefragauth",
]
