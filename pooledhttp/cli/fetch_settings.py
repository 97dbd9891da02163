"""The session that `pooledhttp fetch` sends its requests with, made of its options.

A file or a proxy that no request could use is an error here: else each URL would fail by it, after
retries, and stand in the list of what is not done.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
import warnings
from contextlib import ExitStack
from http.cookiejar import LoadError, MozillaCookieJar
from netrc import NetrcParseError, netrc
from typing import TYPE_CHECKING

from pooledhttp.__version__ import __version__

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest
    from pooledhttp.sessions import Session

__all__ = ["make_session"]

_COOKIES_BEGIN = b"# Netscape HTTP Cookie File\n"

#: As `openssl rehash` names the files of a directory of CAs.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def make_session(args: argparse.Namespace, stack: ExitStack) -> Session:
    """Make the session whose settings the download uses.

    Args:
        args: The options.
        stack: What has to be undone at the end.

    Raises:
        ValueError: A file cannot be read or is not what it should be, or a proxy cannot be used.
            The message names the option.
    """
    from pooledhttp.sessions import Session

    if args.netrc_file:
        _check_netrc(args.netrc_file)
    _set_environment(args, stack)
    session = stack.enter_context(Session())
    session.headers["User-Agent"] = args.user_agent or f"pooledhttp/{__version__}"
    session.headers.update(args.header)
    if any(name.lower() == "authorization" for name, _ in args.header):
        # Without any auth of its own, a session would take what .netrc says.
        session.auth = _as_it_is
    if args.cookies:
        session.cookies.update(_cookies(args.cookies))
    if args.cert:
        session.cert = args.cert
    _check_tls(args)
    _set_trust(session, args, stack)
    if args.proxy:
        _check_proxy(session, args.proxy)
    return session


def _check_netrc(path: str) -> None:
    """Refuse a file that requests could not read: they take an unreadable one for an empty one."""
    try:
        netrc(path)
    except (OSError, NetrcParseError, ValueError) as error:
        raise ValueError(f"--netrc-file: {error}") from None


def _check_tls(args: argparse.Namespace) -> None:
    """Make the contexts that the files of the options give, to see whether they can be used."""
    from pooledhttp.network import TlsSettings, own_context

    for option, path in (("--cacert", args.ca), ("--cacert-only", args.cacert_only)):
        if not path:
            continue
        if os.path.isdir(path):
            if not any(map(_HASHED_NAME.fullmatch, os.listdir(path))):
                raise ValueError(
                    f"{option}: {path} has no certificates under names that OpenSSL looks for; run"
                    f" 'openssl rehash {path}'"
                )
            continue
        try:
            own_context(TlsSettings(ca_certs=path))
        except OSError as error:
            raise ValueError(f"{option}: {error}") from None
    if args.cert:
        cert, key = (args.cert, None) if isinstance(args.cert, str) else args.cert
        try:
            own_context(TlsSettings(cert_file=cert, key_file=key))
        except (OSError, ValueError) as error:
            raise ValueError(f"--cert: {error}") from None


def _check_proxy(session: Session, proxy: str) -> None:
    """Find the connections that requests over a proxy would have, without making one."""
    from urllib3.exceptions import HTTPError

    from pooledhttp.adapters import HTTPAdapter
    from pooledhttp.message import PreparedRequest

    request = PreparedRequest()
    request.prepare_method("GET")
    request.prepare_url("http://pooledhttp.invalid/", None)
    adapter = session.get_adapter(str(request.url))
    assert isinstance(adapter, HTTPAdapter)
    try:
        adapter.route_for(request, True, {"http": proxy}, None)
    except (OSError, ValueError, HTTPError) as error:
        raise ValueError(f"--proxy: {error}") from None


def _set_environment(args: argparse.Namespace, stack: ExitStack) -> None:
    """Say by environment variables what a session reads from them, for as long as the run."""
    changes: dict[str, str | None] = {}
    if args.netrc_file:
        changes["NETRC"] = args.netrc_file
    if args.proxy is not None:  # an empty one means none
        for name in _PROXY_VARIABLES:
            changes[name] = changes[name.upper()] = args.proxy or None
        changes["no_proxy"] = changes["NO_PROXY"] = None
    for name, value in changes.items():
        stack.callback(_set_variable, name, os.environ.get(name))
        _set_variable(name, value)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _cookies(path: str) -> MozillaCookieJar:
    try:
        jar = _read_cookies(path)
    except (LoadError, ValueError):
        raise ValueError(f"{path} is no file of cookies in Netscape's format") from None
    except OSError as error:
        raise ValueError(f"--cookies: {error}") from None
    for cookie in jar:
        if cookie.expires == 0:  # how curl and browsers write that it ends with the session
            cookie.expires, cookie.discard = None, True
    jar.clear_expired_cookies()
    return jar


def _read_cookies(path: str) -> MozillaCookieJar:
    with open(path, "rb") as file, tempfile.NamedTemporaryFile(suffix=".txt") as copy:
        copy.write(_COOKIES_BEGIN)  # which curl does not ask for, and Python does
        shutil.copyfileobj(file, copy)
        copy.flush()
        jar = MozillaCookieJar(copy.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # with a traceback, for a line that is no cookie
            jar.load(ignore_discard=True, ignore_expires=True)
    return jar


def _set_trust(session: Session, args: argparse.Namespace, stack: ExitStack) -> None:
    if args.insecure:
        session.verify = False
        from urllib3.exceptions import InsecureRequestWarning

        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", InsecureRequestWarning)
    elif args.cacert_only:
        session.verify = args.cacert_only
    elif args.ca:
        session.verify = args.ca if os.path.isdir(args.ca) else _with_usual(args.ca, stack)


def _with_usual(path: str, stack: ExitStack) -> str:
    """Return the path of a bundle that has the usual CAs and those of a file."""
    from pooledhttp.certs import where

    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    usual = next((value for name in names if (value := os.environ.get(name))), "")
    bundle = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".pem"))
    for source in (usual if os.path.isfile(usual) else where(), path):
        with open(source, "rb") as file:
            shutil.copyfileobj(file, bundle)
        bundle.write(b"\n")
    bundle.flush()
    return bundle.name


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    """Authenticate by what the request has already."""
    return request
