"""What a session needs around sending: settings, redirects, and credentials kept in files."""

from __future__ import annotations

from pooledhttp.client.arguments import (
    CallOptions,
    CommonOptions,
    GetOptions,
    PostOptions,
    PutOptions,
    RequestOptions,
    name_meant_argument,
    name_meant_setting,
)
from pooledhttp.client.mixed_imports import warn_of_mixed_import
from pooledhttp.client.netrc import NETRC_FILES, get_netrc_auth
from pooledhttp.client.redirects import (
    KEEPS_BODY,
    CallCookies,
    decode_location,
    hooks_elsewhere,
    is_other_origin,
    method_after,
    naming_redirect,
    resolve_location,
    too_many_redirects,
)
from pooledhttp.client.settings import (
    SessionExtras,
    bundle_from_environment,
    merge_hooks,
    merge_setting,
)

__all__ = [
    # arguments
    "CallOptions",
    "CommonOptions",
    "GetOptions",
    "PostOptions",
    "PutOptions",
    "RequestOptions",
    "name_meant_argument",
    "name_meant_setting",
    # mixed imports
    "warn_of_mixed_import",
    # netrc
    "NETRC_FILES",
    "get_netrc_auth",
    # redirects
    "KEEPS_BODY",
    "CallCookies",
    "decode_location",
    "hooks_elsewhere",
    "is_other_origin",
    "method_after",
    "naming_redirect",
    "resolve_location",
    "too_many_redirects",
    # settings
    "SessionExtras",
    "bundle_from_environment",
    "merge_hooks",
    "merge_setting",
]
