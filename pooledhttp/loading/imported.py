"""Names that a module of requests has only because it imports them.

Programs take some of them from there: `requests.utils.quote` is in many of them,
`requests.adapters.SSLError` in some. They are no part of the
promise, so they are in no `__all__`, and are looked up when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

__all__ = ["find_imported"]

#: What the modules of requests import, or define for themselves alone.
_NAMES = {
    "adapters": "ConnectTimeout InvalidHeader ProxyError ReadTimeout RetryError SSLError basestring"
    " SOCKSProxyManager os socket typing _HTTPError _InvalidHeader _ProxyError _SSLError",
    "auth": "basestring hashlib os re str threading time to_native_string urlparse",
    "cookies": "cookielib threading to_native_string urlparse urlunparse",
    "models": "Callable Mapping RequestsJSONDecodeError basestring builtin_str chardet encodings",
    "sessions": "os sys",
    "structures": "OrderedDict",
    "utils": "Mapping OrderedDict _parse_list_header bytes codecs contextlib integer_types io"
    " is_urllib3_1 make_headers os parse_url quote re socket str struct sys tempfile unquote"
    " urlparse urlunparse warnings zipfile",
}

#: Where a name is that is no module by itself.
_PLACES = {
    "Callable": "collections.abc:Callable",
    "Mapping": "collections.abc:Mapping",
    "OrderedDict": "collections:OrderedDict",
    "RequestsJSONDecodeError": "pooledhttp.exceptions:JSONDecodeError",
    "SOCKSProxyManager": "pooledhttp.transport:SOCKSProxyManager",
    "_HTTPError": "urllib3.exceptions:HTTPError",
    "_InvalidHeader": "urllib3.exceptions:InvalidHeader",
    "_ProxyError": "urllib3.exceptions:ProxyError",
    "_SSLError": "urllib3.exceptions:SSLError",
    "_parse_list_header": "urllib.request:parse_http_list",
    "builtin_str": "builtins:str",
    "bytes": "builtins:bytes",
    "chardet": "charset_normalizer",
    "cookielib": "http.cookiejar",
    "make_headers": "urllib3.util.request:make_headers",
    "parse_url": "urllib3.util.url:parse_url",
    "str": "builtins:str",
    "to_native_string": "pooledhttp._internal_utils:to_native_string",
    **{name: f"urllib.parse:{name}" for name in ("quote", "unquote", "urlparse", "urlunparse")},
    **{
        name: f"pooledhttp.compat:{name}"
        for name in ("basestring", "integer_types", "is_urllib3_1")
    },
    **{
        name: f"pooledhttp.exceptions:{name}"
        for name in ("ConnectTimeout", "InvalidHeader", "ProxyError", "ReadTimeout", "RetryError")
    },
    "SSLError": "pooledhttp.exceptions:SSLError",
}


def find_imported(module: str) -> Callable[[str], object]:
    """Return a `__getattr__` that finds what a module has in requests by an import.

    Args:
        module: The `__name__` of the module.
    """
    names = frozenset(_NAMES[module.rpartition(".")[2]].split())

    def __getattr__(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = _PLACES.get(name, name).partition(":")
        found = import_module(place)
        return getattr(found, attribute) if attribute else found

    return __getattr__
