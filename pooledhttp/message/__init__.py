"""Requests and responses as values: what is sent, what came back, and how both are read.

No socket is touched here. A body is read through `Response.raw`.
"""

from __future__ import annotations

from pooledhttp.message.arrival import Arrival
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
from pooledhttp.message.decoding import IncompleteCoding
from pooledhttp.message.error_translation import (
    OURS,
    BodyErrors,
    ErrorTranslation,
    translation_for,
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
from pooledhttp.message.insides import BodyFile, OriginalResponse, read_line
from pooledhttp.message.lazy import attributes_of
from pooledhttp.message.lines import LineSplitter
from pooledhttp.message.mistakes import check_prepared, check_unprepared, wrong_method
from pooledhttp.message.payload import (
    can_rewind,
    dict_to_sequence,
    encode_files,
    encode_json,
    encode_params,
    from_key_val_list,
    guess_filename,
    is_stream,
    rewind_body,
    super_len,
    to_key_val_list,
)
from pooledhttp.message.prepared import (
    AuthInput,
    PreparedRequest,
    RequestEncodingMixin,
    RequestHooksMixin,
    blank_request,
    copy_of_valid,
    fill_request,
    is_preparing_as_defined,
)
from pooledhttp.message.raw import (
    MAX_DRAIN_BYTES,
    RawResponse,
)
from pooledhttp.message.reader import Reader
from pooledhttp.message.request import Request
from pooledhttp.message.response import (
    CONTENT_CHUNK_SIZE,
    ITER_CHUNK_SIZE,
    REDIRECT_STATI,
    Response,
    discard_body,
    response_class_for,
)
from pooledhttp.message.types import (
    Body,
    CookiesInput,
    DataInput,
    FilesInput,
    FormInput,
    HeadersInput,
    JsonInput,
    ParamsInput,
    ProxiesInput,
    Readable,
    TimeoutInput,
    UrlInput,
)
from pooledhttp.message.urls import (
    DEFAULT_PORTS,
    UNRESERVED_SET,
    canonical_target,
    canonical_url,
    check_authority,
    check_host,
    get_auth_from_url,
    prepend_scheme_if_needed,
    requote_uri,
    unquote_unreserved,
    urldefragauth,
    without_credentials,
)

__all__ = [
    "Arrival",
    "BodyFile",
    # decoding
    "IncompleteCoding",
    # error_translation
    "OURS",
    "BodyErrors",
    "ErrorTranslation",
    "translation_for",
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
    # payload
    "can_rewind",
    "dict_to_sequence",
    "encode_files",
    "encode_json",
    "encode_params",
    "from_key_val_list",
    "guess_filename",
    "is_stream",
    "rewind_body",
    "super_len",
    "to_key_val_list",
    # lazy, lines
    "attributes_of",
    "LineSplitter",
    # mistakes
    "check_prepared",
    "check_unprepared",
    "wrong_method",
    # raw
    "MAX_DRAIN_BYTES",
    "OriginalResponse",
    "RawResponse",
    "Reader",
    # request, prepared, response
    "CONTENT_CHUNK_SIZE",
    "ITER_CHUNK_SIZE",
    "REDIRECT_STATI",
    "PreparedRequest",
    "Request",
    "RequestEncodingMixin",
    "RequestHooksMixin",
    "Response",
    "blank_request",
    "copy_of_valid",
    "fill_request",
    "discard_body",
    "is_preparing_as_defined",
    "read_line",
    "response_class_for",
    # types
    "AuthInput",
    "Body",
    "CookiesInput",
    "DataInput",
    "FilesInput",
    "FormInput",
    "HeadersInput",
    "JsonInput",
    "ParamsInput",
    "ProxiesInput",
    "Readable",
    "TimeoutInput",
    "UrlInput",
    # urls
    "DEFAULT_PORTS",
    "UNRESERVED_SET",
    "canonical_target",
    "canonical_url",
    "check_authority",
    "check_host",
    "get_auth_from_url",
    "prepend_scheme_if_needed",
    "requote_uri",
    "unquote_unreserved",
    "urldefragauth",
    "without_credentials",
]
