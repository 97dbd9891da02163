"""The session that `pooledhttp fetch` sends its requests with, made of its options."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import warnings
from contextlib import ExitStack
from http.cookiejar import LoadError, MozillaCookieJar
from typing import TYPE_CHECKING

from pooledhttp.__version__ import __version__

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest
    from pooledhttp.sessions import Session

__all__ = ["make_session"]

_COOKIES_BEGIN = b"# Netscape HTTP Cookie File\n"

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def make_session(args: argparse.Namespace, stack: ExitStack) -> Session:
    """Make the session whose settings the download uses.

    Args:
        args: The options.
        stack: What has to be undone at the end.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file of cookies is none.
    """
    from pooledhttp.sessions import Session

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
    _set_trust(session, args, stack)
    return session


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
    with open(path, "rb") as file, tempfile.NamedTemporaryFile(suffix=".txt") as copy:
        copy.write(_COOKIES_BEGIN)  # which curl does not ask for, and Python does
        shutil.copyfileobj(file, copy)
        copy.flush()
        jar = MozillaCookieJar(copy.name)
        try:
            jar.load(ignore_discard=True, ignore_expires=True)
        except (LoadError, ValueError):
            raise ValueError(f"{path} is no file of cookies in Netscape's format") from None
    for cookie in jar:
        if cookie.expires == 0:  # how curl and browsers write that it ends with the session
            cookie.expires, cookie.discard = None, True
    jar.clear_expired_cookies()
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
