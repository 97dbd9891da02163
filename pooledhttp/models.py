"""`Request`, `PreparedRequest` and `Response`, under the name of the module they have in requests.

Each is defined in a module of `pooledhttp.message`. What is patched here takes effect there.
"""

from __future__ import annotations

import datetime
import json as complexjson
from http import cookiejar as cookielib
from io import UnsupportedOperation
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunparse

from urllib3.exceptions import (
    DecodeError,
    LocationParseError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata
from urllib3.util import parse_url

from pooledhttp._internal_utils import share_patches, to_native_string, unicode_is_ascii
from pooledhttp.auth import HTTPBasicAuth
from pooledhttp.cookies import _copy_cookie_jar, cookiejar_from_dict, get_cookie_header
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ContentDecodingError,
    HTTPError,
    InvalidJSONError,
    InvalidURL,
    JSONDecodeError,
    MissingSchema,
    StreamConsumedError,
)
from pooledhttp.exceptions import SSLError as RequestsSSLError
from pooledhttp.hooks import default_hooks
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.message import payload, prepared, request, response, urls
from pooledhttp.message.charset import guess_json_utf, iter_slices, stream_decode_response_unicode
from pooledhttp.message.headers import check_header_validity, parse_header_links
from pooledhttp.message.payload import guess_filename, super_len, to_key_val_list
from pooledhttp.message.prepared import PreparedRequest, RequestEncodingMixin, RequestHooksMixin
from pooledhttp.message.request import Request
from pooledhttp.message.response import (
    CONTENT_CHUNK_SIZE,
    ITER_CHUNK_SIZE,
    REDIRECT_STATI,
    Response,
)
from pooledhttp.message.urls import get_auth_from_url, requote_uri
from pooledhttp.sessions import DEFAULT_REDIRECT_LIMIT
from pooledhttp.status_codes import codes
from pooledhttp.structures import CaseInsensitiveDict

__all__ = [
    "PreparedRequest",
    "Request",
    "RequestEncodingMixin",
    "RequestHooksMixin",
    "Response",
    # settings
    "CONTENT_CHUNK_SIZE",
    "DEFAULT_REDIRECT_LIMIT",
    "ITER_CHUNK_SIZE",
    "REDIRECT_STATI",
    # known to `requests.models`, and imported or replaced there
    "CaseInsensitiveDict",
    "ChunkedEncodingError",
    "ConnectionError",
    "ContentDecodingError",
    "DecodeError",
    "HTTPBasicAuth",
    "HTTPError",
    "InvalidJSONError",
    "InvalidURL",
    "JSONDecodeError",
    "LocationParseError",
    "MissingSchema",
    "ProtocolError",
    "ReadTimeoutError",
    "RequestField",
    "RequestsSSLError",
    "SSLError",
    "StreamConsumedError",
    "UnsupportedOperation",
    "_copy_cookie_jar",
    "check_header_validity",
    "codes",
    "complexjson",
    "cookiejar_from_dict",
    "cookielib",
    "datetime",
    "default_hooks",
    "encode_multipart_formdata",
    "get_auth_from_url",
    "get_cookie_header",
    "guess_filename",
    "guess_json_utf",
    "iter_slices",
    "parse_header_links",
    "parse_url",
    "requote_uri",
    "stream_decode_response_unicode",
    "super_len",
    "to_key_val_list",
    "to_native_string",
    "unicode_is_ascii",
    "urlencode",
    "urlsplit",
    "urlunparse",
]

share_patches(__name__, payload, urls, prepared, request, response)


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
