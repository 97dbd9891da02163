"""Credentials from the user's netrc file.

Programs and tests change the file, and the variable that names it, between two requests. So it is
looked for each time. Of a file that was read before, and has not changed since, only the names of
its hosts are kept: it is read again for a host that it names, so that no password stays in memory.

The host that is looked up is the one that the request goes to, as urllib3's parser
reads the URL. Another reading could be made to name a host to which no connection is made:
`http://example.com:@evil.example/` begins with one name and goes to another.
"""

from __future__ import annotations

import os
import re
import sys
import time
from functools import lru_cache
from netrc import NetrcParseError, netrc
from typing import Final
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from pooledhttp.network import file_state, raw_variables

__all__ = ["NETRC_FILES", "get_netrc_auth"]

#: Names looked for in the home directory, in this order, when `NETRC` is not set.
NETRC_FILES: Final = (".netrc", "_netrc")

#: What is asked of each of them.
_EXISTS: Final = (os.F_OK, os.F_OK)

#: Seconds for which a file that was just written may change again without a change of its state:
#: the clock of a file system moves in steps.
_UNSETTLED_SECONDS = 2.0

#: What the names were at first; a program may replace them.
_EXPANDUSER, _NETRC = os.path.expanduser, netrc

#: The file that was read last: its path and state, and the hosts that it names.
_last_read: tuple[str, object, frozenset[str]] | None = None

_AUTHORITY = re.compile(r"[^:/?#]+://([^/?#]*)")
_NEVER_IN_AN_AUTHORITY = re.compile(r"[\x00-\x20\x7f\\]")


def get_netrc_auth(url: str | bytes, raise_errors: bool = False) -> tuple[str, str] | None:
    """Return the user name and password the netrc file has for a URL's host.

    Args:
        url: The URL. Its port and its own credentials are ignored.
        raise_errors: Whether a file that cannot be read or parsed is an error. Otherwise it counts
            as absent.

    Returns:
        User name (the `account`, if no `login` is given) and password; `None` without an entry for
        the host, or with an entry (`default`, say) that is empty.

    Raises:
        OSError: The file cannot be read, and `raise_errors` is set.
        netrc.NetrcParseError: The file is not a netrc file, and `raise_errors` is set.
    """
    path = _netrc_path()
    if path is None:
        return None
    text = url.decode("utf-8", "replace") if isinstance(url, bytes) else url
    if not isinstance(text, str):
        return None  # an object whose text is a URL: requests finds no host in it either
    # A URL with a password is not kept in memory longer than its request.
    host = _host_of(text) if "@" in text else _remembered_host(text)
    if host is None or not _may_name(path, host):
        return None
    try:
        entry = _read(path).authenticators(host)
    except (NetrcParseError, OSError):
        if raise_errors:
            raise
        return None
    except NameError:
        # The interpreter is ending, and a finalizer makes a request: `open`, by which the standard
        # library reads the file, is gone. The file counts as one that cannot be read.
        if not sys.is_finalizing():
            raise
        if raise_errors:
            raise OSError(f"{path} cannot be read while the interpreter ends") from None
        return None
    if not entry or not any(entry):
        return None
    login, account, password = entry
    return login or account or "", password or ""


def _netrc_path() -> str | None:
    """Return the file to read, if there is one."""
    variables = raw_variables()
    if (
        variables is not None
        and b"NETRC" not in variables  # whose names are bytes, on most systems
        and b"HOME" in variables
        and os.path.expanduser is _EXPANDUSER
    ):
        paths = _remembered_in_home(variables[b"HOME"])
    else:
        named = os.environ.get("NETRC")
        paths = _in_home(None) if named is None else (os.fsencode(os.path.expanduser(named)),)
    # Not `os.path.exists`, which raises and catches an exception for each file that is absent.
    if not any(map(os.access, paths, _EXISTS)):
        return None
    return next((os.fsdecode(path) for path in paths if os.access(path, os.F_OK)), None)


def _in_home(home: bytes | None) -> tuple[bytes, ...]:
    """Return the candidates in the home directory, which `expanduser` finds by itself.

    As bytes, so that no request has to encode them.
    """
    return tuple(os.fsencode(os.path.expanduser(f"~/{name}")) for name in NETRC_FILES)


_remembered_in_home = lru_cache(maxsize=8)(_in_home)


def _may_name(path: str, host: str) -> bool:
    """Whether a file may have an entry for a host: it is not known to have none."""
    known = _last_read
    if known is None or known[0] != path or netrc is not _NETRC or known[1] != file_state(path):
        return True
    return host in known[2] or "default" in known[2]


def _read(path: str) -> netrc:
    """Read a file, and note which hosts it names.

    Raises:
        OSError: It cannot be read.
        netrc.NetrcParseError: It is not a netrc file.
    """
    global _last_read
    state, written = file_state(path), os.stat(path).st_mtime
    found = netrc(path)
    if netrc is _NETRC and time.time() - written > _UNSETTLED_SECONDS:
        _last_read = (path, state, frozenset(found.hosts))
    return found


def _host_of(url: str) -> str | None:
    """Return the host to which a request for `url` goes, or `None` where parsers disagree."""
    url = url.lstrip()
    authority = _AUTHORITY.match(url)
    if authority is None or _NEVER_IN_AN_AUTHORITY.search(authority[1]):
        return None
    try:
        host = parse_url(url).host
        also = urlsplit(url).hostname
    except (LocationParseError, ValueError):
        return None
    if not host or not also:
        return None
    host = host.strip("[]").lower()
    # Two parsers disagree only about a URL that was made to be read in two ways. International
    # names are the exception: one of the parsers gives the spelling used in DNS.
    return host if host == also or not also.isascii() else None


_remembered_host = lru_cache(maxsize=256)(_host_of)
