"""Credentials from the user's netrc file.

The file is read each time: programs and tests change it, and the variable that names it, between
two requests. The host that is looked up is the one that the request goes to, as urllib3's parser
reads the URL. Another reading could be made to name a host to which no connection is made:
`http://example.com:@evil.example/` begins with one name and goes to another.
"""

from __future__ import annotations

import os
import re
import sys
from netrc import NetrcParseError, netrc
from typing import Final
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

__all__ = ["NETRC_FILES", "get_netrc_auth"]

#: Names looked for in the home directory, in this order, when `NETRC` is not set.
NETRC_FILES: Final = (".netrc", "_netrc")

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
    host = _host_of(url.decode("utf-8", "replace") if isinstance(url, bytes) else url)
    if host is None:
        return None
    try:
        entry = netrc(path).authenticators(host)
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
    named = os.environ.get("NETRC")
    candidates = [named] if named is not None else [f"~/{name}" for name in NETRC_FILES]
    for candidate in candidates:
        path = os.path.expanduser(candidate)
        if os.path.exists(path):
            return path
    return None


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
