"""The helpers of `requests.utils`, under its names.

Each is defined in the subpackage that uses it. What is patched here takes effect there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from pooledhttp import certs, cookies
from pooledhttp._internal_utils import share_patches
from pooledhttp.certs import DEFAULT_CA_BUNDLE_PATH, atomic_open, extract_zipped_paths
from pooledhttp.client import netrc
from pooledhttp.client.netrc import NETRC_FILES, get_netrc_auth
from pooledhttp.cookies import (
    add_dict_to_cookiejar,
    cookiejar_from_dict,
    dict_from_cookiejar,
)
from pooledhttp.digest import challenge, parse_dict_header, parse_list_header, unquote_header_value
from pooledhttp.exceptions import FileModeWarning, InvalidHeader, InvalidURL, UnrewindableBodyError
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.message import charset, headers, payload, urls
from pooledhttp.message.charset import (
    get_encoding_from_headers,
    get_encodings_from_content,
    get_unicode_from_response,
    guess_json_utf,
    iter_slices,
    stream_decode_response_unicode,
    to_native_string,
)
from pooledhttp.message.headers import (
    DEFAULT_ACCEPT_ENCODING,
    HEADER_VALIDATORS,
    check_header_validity,
    default_headers,
    default_user_agent,
    parse_header_links,
)
from pooledhttp.message.headers import parse_content_type as _parse_content_type_header
from pooledhttp.message.payload import (
    dict_to_sequence,
    from_key_val_list,
    guess_filename,
    rewind_body,
    super_len,
    to_key_val_list,
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
from pooledhttp.network import proxies
from pooledhttp.network.proxies import (
    address_in_network,
    dotted_netmask,
    get_environ_proxies,
    getproxies,
    is_ipv4_address,
    is_valid_cidr,
    proxy_bypass,
    resolve_proxies,
    select_proxy,
    set_environ,
    should_bypass_proxies,
)
from pooledhttp.structures import CaseInsensitiveDict

__all__ = [
    # what a body is made of
    "super_len",
    "guess_filename",
    "to_key_val_list",
    "from_key_val_list",
    "dict_to_sequence",
    "rewind_body",
    # URLs
    "DEFAULT_PORTS",
    "UNRESERVED_SET",
    "get_auth_from_url",
    "prepend_scheme_if_needed",
    "requote_uri",
    "unquote_unreserved",
    "urldefragauth",
    # header fields
    "DEFAULT_ACCEPT_ENCODING",
    "HEADER_VALIDATORS",
    "CaseInsensitiveDict",
    "_parse_content_type_header",
    "check_header_validity",
    "default_headers",
    "default_user_agent",
    "parse_dict_header",
    "parse_header_links",
    "parse_list_header",
    "unquote_header_value",
    # text
    "get_encoding_from_headers",
    "get_encodings_from_content",
    "get_unicode_from_response",
    "guess_json_utf",
    "iter_slices",
    "stream_decode_response_unicode",
    "to_native_string",
    # cookies
    "add_dict_to_cookiejar",
    "cookiejar_from_dict",
    "dict_from_cookiejar",
    # credentials and trust in files
    "DEFAULT_CA_BUNDLE_PATH",
    "NETRC_FILES",
    "atomic_open",
    "extract_zipped_paths",
    "get_netrc_auth",
    # proxies
    "address_in_network",
    "dotted_netmask",
    "get_environ_proxies",
    "getproxies",
    "getproxies_environment",
    "is_ipv4_address",
    "is_valid_cidr",
    "proxy_bypass",
    "proxy_bypass_environment",
    "resolve_proxies",
    "select_proxy",
    "set_environ",
    "should_bypass_proxies",
    # what they raise
    "FileModeWarning",
    "InvalidHeader",
    "InvalidURL",
    "UnrewindableBodyError",
]

share_patches(__name__, payload, urls, headers, charset, challenge, cookies, certs, netrc, proxies)


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
