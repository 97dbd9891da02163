"""Authentication: callables that sign a prepared request.

An auth object is called with the prepared request, changes it and returns it. Basic credentials
are known at once. Digest (RFC 7616) needs a challenge of the server, so it also registers a hook:

    __call__     sign with the last challenge of this origin, if any; register `handle_401`
    handle_401   a 4xx with a digest challenge: sign a copy of the request and send it, once

The last challenge is kept per thread and per greenlet. How often a nonce was used is counted for
the object, so that no two threads send the same count. Where the credentials may go is kept for the
object too: only to origins for which it was asked to sign a request. A redirect to another host
carries the hook along, and must not carry the credentials.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pooledhttp.cookies import extract_cookies_to_jar
from pooledhttp.digest import (
    CallerState,
    NonceCounts,
    challenges_in,
    digest_field,
    is_supported,
    parse_dict_header,
    parse_list_header,
    request_target,
    unquote_header_value,
)
from pooledhttp.exceptions import UnrewindableBodyError
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.records import described
from pooledhttp.runtime import warn_caller
from pooledhttp.syntax import DEFAULT_PORTS

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Response

__all__ = [
    "CONTENT_TYPE_FORM_URLENCODED",
    "CONTENT_TYPE_MULTI_PART",
    "AuthBase",
    "HTTPBasicAuth",
    "HTTPDigestAuth",
    "HTTPProxyAuth",
    "parse_dict_header",
    "parse_list_header",
    "unquote_header_value",
]

CONTENT_TYPE_FORM_URLENCODED: Final = "application/x-www-form-urlencoded"
CONTENT_TYPE_MULTI_PART: Final = "multipart/form-data"


class AuthBase:
    """The base of every kind of authentication; override `__call__`."""

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Sign a prepared request.

        Args:
            r: The `PreparedRequest`. It may be changed in place.

        Returns:
            The request to send, usually `r`.

        Raises:
            NotImplementedError: The subclass does not override it.
        """
        raise NotImplementedError("Auth hooks must be callable.")


class HTTPBasicAuth(AuthBase):
    """Basic authentication: user name and password in every request.

    Args:
        username: As text (sent in Latin-1, or in UTF-8 where Latin-1 has no such letter) or bytes.
        password: As `username`.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password

    def __eq__(self, other: object) -> bool:
        return _credentials(self) == _credentials(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Set the `Authorization` field of a prepared request, and return it."""
        r.headers["Authorization"] = _basic_auth_str(self.username, self.password)
        return r


class HTTPProxyAuth(HTTPBasicAuth):
    """Basic authentication towards a proxy."""

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Set the `Proxy-Authorization` field of a prepared request, and return it."""
        r.headers["Proxy-Authorization"] = _basic_auth_str(self.username, self.password)
        return r


class HTTPDigestAuth(AuthBase):
    """Digest authentication with MD5, SHA, SHA-256 or SHA-512, plain or `-SESS`, and `qop=auth`.

    One object may serve any number of threads and greenlets.

    Args:
        username: As text, or bytes in UTF-8, or else in Latin-1.
        password: As `username`.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password
        self._thread_local = CallerState()
        self._counts = NonceCounts()
        # Origins signed for, oldest first; a dict for its order. Reads and writes are single steps.
        self._origins: dict[str, None] = {}

    def __eq__(self, other: object) -> bool:
        return _credentials(self) == _credentials(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def init_per_thread_state(self) -> None:
        """Give the running thread or greenlet a blank state, unless it has one."""
        state = self._thread_local
        if not hasattr(state, "init"):
            state.init = True
            state.last_nonce = ""
            state.nonce_count = 0
            state.chal = {}
            state.pos = None
            state.num_401_calls = None
            state.origin = None

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Sign a prepared request if its origin gave a challenge, and register the hooks."""
        self.init_per_thread_state()
        state = self._thread_local
        origin = _origin(r.url)
        self._allow(origin)
        if state.last_nonce and state.origin == origin:
            header = self.build_digest_header(r.method, r.url)
            if header is not None:
                r.headers["Authorization"] = header
        state.pos = _position(r.body)
        r.register_hook("response", self.handle_401)
        r.register_hook("response", self.handle_redirect)
        state.num_401_calls = 1
        return r

    def handle_redirect(self, r: Response, **kwargs: Any) -> None:
        """Response hook: after a redirect the next challenge counts as the first."""
        if r.is_redirect:
            self.init_per_thread_state()
            self._thread_local.num_401_calls = 1

    def handle_401(self, r: Response, **kwargs: Any) -> Response:
        """Response hook: meet a digest challenge by sending the request again, signed.

        Args:
            r: The response.
            **kwargs: What the request was sent with; it is sent again with the same.

        Returns:
            The response to the signed request, with `r` in its history. `r` itself if it has no
            challenge that is supported, if the credentials are not for its origin, or if it
            refuses a request that was signed already.

        Raises:
            UnrewindableBodyError: The body is a stream that has been sent and cannot be sent again.
        """
        self.init_per_thread_state()
        state = self._thread_local
        challenge = self._challenge_of(r)
        if challenge is None or (state.num_401_calls or 1) >= 2:
            state.num_401_calls = 1
            return r
        state.num_401_calls = 2
        state.chal = challenge
        state.origin = _origin(r.request.url)
        header = self.build_digest_header(r.request.method, r.request.url)
        if header is None:
            return r
        # A small body is read to its end, so that the connection can carry the next request.
        if hasattr(r, "_discard_body"):
            r._discard_body()
        else:
            _ = r.content
            r.close()
        self._rewind(r)
        signed = r.request.copy()
        extract_cookies_to_jar(signed._cookies, r.request, r.raw)
        signed.prepare_cookies(signed._cookies)
        signed.headers["Authorization"] = header
        response: Response = r.connection.send(signed, **kwargs)
        response.history.append(r)
        response.request = signed
        return response

    def build_digest_header(self, method: str, url: str) -> str | None:
        """Make the `Authorization` field for a request, from the challenge last received.

        Args:
            method: The request's method.
            url: The request's URL.

        Returns:
            The field's value, or `None` if the challenge has no realm or nonce, or asks for an
            algorithm or a quality of protection that is not supported.

        Raises:
            InvalidHeader: The user name holds a control character.
        """
        self.init_per_thread_state()
        state = self._thread_local
        challenge = state.chal
        if not is_supported(challenge):
            return None
        state.last_nonce = challenge["nonce"]
        state.nonce_count = self._counts.next(state.last_nonce)
        return digest_field(
            challenge,
            username=_as_text(self.username),
            password=_as_text(self.password),
            method=method,
            target=request_target(url),
            count=state.nonce_count,
            cnonce=secrets.token_hex(8),
        )

    def _challenge_of(self, r: Response) -> dict[str, str | None] | None:
        """Return the first challenge of a response that is supported, if its origin is known."""
        if not 400 <= r.status_code < 500:
            return None
        if self._origins and not self._may_sign_for(_origin(r.request.url)):
            return None
        for scheme, parameters in challenges_in(r.headers.get("www-authenticate") or ""):
            if scheme == "digest" and is_supported(parameters):
                return parameters
        return None

    def _allow(self, origin: str) -> None:
        self._origins[origin] = None
        if len(self._origins) > 1000:  # that of a crawler would grow without end
            for oldest in list(self._origins)[:100]:
                self._origins.pop(oldest, None)

    def _may_sign_for(self, origin: str) -> bool:
        if origin in self._origins:
            return True
        # From http to https on the default ports of the same host: the one redirect to another
        # origin on which credentials are kept.
        plain = origin.removesuffix(":443").replace("https://", "http://", 1) + ":80"
        return origin.startswith("https://") and origin.endswith(":443") and plain in self._origins

    def _rewind(self, r: Any) -> None:
        """Put the body that was sent back to where it began."""
        body = r.request.body
        position = getattr(r.request, "_body_position", None)
        if not isinstance(position, int):
            position = self._thread_local.pos
        if hasattr(body, "seek") and isinstance(position, int):
            try:
                body.seek(position)
            except (OSError, ValueError) as error:
                raise _cannot_resend(r) from error
        elif hasattr(body, "read") or hasattr(body, "__next__"):
            # Sent as it is now it would be empty, and the server would take it for the body.
            raise _cannot_resend(r)


def _credentials(auth: object) -> tuple[object, object]:
    return getattr(auth, "username", None), getattr(auth, "password", None)


def _basic_auth_str(username: str | bytes, password: str | bytes) -> str:
    """Return the value of an `Authorization` field with these credentials."""
    parts = []
    for what, value in (("usernames", username), ("passwords", password)):
        if not isinstance(value, str | bytes):
            warn_caller(
                f"Non-string {what} are deprecated; {described(value)} was given. "
                "Convert it with str() first.",
                DeprecationWarning,
            )
            value = str(value)
        parts.append(_as_bytes(value))
    return "Basic " + b64encode(b":".join(parts)).decode("ascii")


def _as_bytes(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


def _as_text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _origin(url: str) -> str:
    """Return a URL's scheme, host and port; its text up to the path if it cannot be parsed."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _position(body: Any) -> int | None:
    try:
        position = body.tell()
    except (AttributeError, OSError, ValueError):
        return None
    return position if isinstance(position, int) else None


def _cannot_resend(r: Any) -> UnrewindableBodyError:
    return UnrewindableBodyError(
        f"{_origin(r.request.url)} asks for digest authentication after the body was sent, and "
        "the body is a stream that cannot be sent again. Pass bytes or a seekable file, or "
        "make a request without a body to that origin first.",
        request=r.request,
        response=r,
    )


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
