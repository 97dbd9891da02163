"""Names that once hid differences between versions of Python; code still imports them from here.

The supported versions do not differ: each name is that of the standard library.
"""

from __future__ import annotations

import http.cookiejar as cookielib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from http.cookies import Morsel
from io import StringIO
from json import JSONDecodeError
from types import ModuleType
from urllib.parse import (
    quote,
    quote_plus,
    unquote,
    unquote_plus,
    urldefrag,
    urlencode,
    urljoin,
    urlparse,
    urlsplit,
    urlunparse,
)
from urllib.request import (  # type: ignore[attr-defined]
    getproxies,
    getproxies_environment,
    parse_http_list,
    proxy_bypass,
    proxy_bypass_environment,
)

__all__ = [
    "Callable",
    "JSONDecodeError",
    "Mapping",
    "Morsel",
    "MutableMapping",
    "OrderedDict",
    "StringIO",
    "basestring",
    "builtin_str",
    "bytes",
    "chardet",
    "cookielib",
    "getproxies",
    "getproxies_environment",
    "has_simplejson",
    "integer_types",
    "is_py2",
    "is_py3",
    "is_urllib3_1",
    "json",
    "numeric_types",
    "parse_http_list",
    "proxy_bypass",
    "proxy_bypass_environment",
    "quote",
    "quote_plus",
    "str",
    "unquote",
    "unquote_plus",
    "urldefrag",
    "urlencode",
    "urljoin",
    "urlparse",
    "urlsplit",
    "urlunparse",
]

chardet: ModuleType

is_py2 = False
is_py3 = True
is_urllib3_1 = False
has_simplejson = False

builtin_str = str
# Bound here as well, so that `from pooledhttp.compat import str` finds them.
str = str
bytes = bytes
basestring = (str, bytes)
integer_types = (int,)
numeric_types = (int, float)


def __getattr__(name: builtin_str) -> ModuleType:
    # Guessing a charset is rare and its tables are large: they are imported on first access.
    if name == "chardet":
        import charset_normalizer

        return charset_normalizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
