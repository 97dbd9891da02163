"""Authentication: callables that sign a prepared request.

An auth object is called with the prepared request, changes it and returns it. Basic credentials
are known at once. Digest (RFC 7616) answers a challenge, so it also hangs a hook on the request:

    __call__     sign with the last challenge this origin gave, if any; hang up `handle_401`
    handle_401   a 4xx with a digest challenge: sign a copy of the request and send it, once

What is remembered of challenges is kept for each thread and each greenlet apart, so that a nonce
count is never raised from two sides. Where the credentials may go is kept for the object: an
answer is given only to origins this object was asked to sign a request for. A redirect to another
host carries the hook along, and must not carry the answer.

How a challenge is written (`parse_list_header` and its like) is here as well, since it is read
here first.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import parse_http_list
from weakref import WeakKeyDictionary

from pooledhttp.cookies import extract_cookies_to_jar
from pooledhttp.exceptions import InvalidHeader, UnrewindableBodyError
from pooledhttp.syntax import DEFAULT_PORTS

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

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# Parts of a challenge: a scheme begins one, and is told from a parameter by what follows it.
_SCHEME = re.compile(r"([!#$%&'*+.^_`|~\w-]+)(?:[ \t]+(?![ \t=])(.*))?\Z", re.DOTALL)


def unquote_header_value(value: str, is_filename: bool = False) -> str:
    """Take the quotes off a header value, and the escapes inside them.

    Args:
        value: The value as it stood in the header; without quotes around it, it comes back
            unchanged.
        is_filename: Whether it names a file: a UNC path (`\\\\server\\share`) then keeps its
            backslashes, because browsers send those unescaped.
    """
    if not value or value[0] != '"' or value[-1] != '"':
        return value
    inner = value[1:-1]
    if is_filename and inner.startswith("\\\\"):
        return inner
    return inner.replace("\\\\", "\\").replace('\\"', '"')


def parse_list_header(value: str) -> list[str]:
    """Split a header value at its commas, but for those in quotes, and unquote what is quoted."""
    return [unquote_header_value(item) for item in parse_http_list(value)]


def parse_dict_header(value: str) -> dict[str, str | None]:
    """Read `name=value` pairs between commas; a name that stands alone gets `None`."""
    pairs: dict[str, str | None] = {}
    for item in parse_http_list(value):
        name, equals, content = item.partition("=")
        pairs[name] = unquote_header_value(content) if equals else None
    return pairs


class AuthBase:
    """What every kind of authentication derives from; override `__call__`."""

    def __call__(self, r: Any) -> Any:
        """Sign a prepared request.

        Args:
            r: The `PreparedRequest`. It may be changed in place.

        Returns:
            The request to send, usually `r`.

        Raises:
            NotImplementedError: The subclass does not say how.
        """
        raise NotImplementedError("Auth hooks must be callable.")


class HTTPBasicAuth(AuthBase):
    """Basic authentication: user name and password in every request.

    Args:
        username: As text (sent in Latin-1, or in UTF-8 where Latin-1 has no such letter) or bytes.
        password: Likewise.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password

    def __eq__(self, other: object) -> bool:
        return _credentials(self) == _credentials(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __call__(self, r: Any) -> Any:
        r.headers["Authorization"] = _basic_auth_str(self.username, self.password)
        return r


class HTTPProxyAuth(HTTPBasicAuth):
    """Basic authentication towards a proxy."""

    def __call__(self, r: Any) -> Any:
        r.headers["Proxy-Authorization"] = _basic_auth_str(self.username, self.password)
        return r


class HTTPDigestAuth(AuthBase):
    """Digest authentication with MD5, SHA, SHA-256 or SHA-512, plain or `-SESS`, and `qop=auth`.

    One object may serve any number of threads and greenlets.

    Args:
        username: As text, or bytes in UTF-8.
        password: Likewise.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password
        self._thread_local = _CallerState()
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

    def __call__(self, r: Any) -> Any:
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

    def handle_redirect(self, r: Any, **kwargs: Any) -> None:
        """Response hook: after a redirect the next challenge counts as the first."""
        if r.is_redirect:
            self.init_per_thread_state()
            self._thread_local.num_401_calls = 1

    def handle_401(self, r: Any, **kwargs: Any) -> Any:
        """Response hook: answer a digest challenge by sending the request again, signed.

        Args:
            r: The response.
            **kwargs: What the request was sent with; it is sent again with the same.

        Returns:
            The response to the signed request, with `r` in its history. `r` itself if it holds no
            challenge that can be answered, comes from an origin the credentials are not for, or is
            the refusal of an answer already given.

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
        # Read to its end, so that the connection can carry the next request, too; but a body that
        # is large, or slow in coming, is not worth that.
        if hasattr(r, "_pass_by"):
            r._pass_by()
        else:
            _ = r.content
            r.close()
        self._rewind(r)
        signed = r.request.copy()
        extract_cookies_to_jar(signed._cookies, r.request, r.raw)
        signed.prepare_cookies(signed._cookies)
        signed.headers["Authorization"] = header
        answer = r.connection.send(signed, **kwargs)
        answer.history.append(r)
        answer.request = signed
        return answer

    def build_digest_header(self, method: str, url: str) -> str | None:
        """Make the `Authorization` field for a request, from the challenge last received.

        Args:
            method: The request's method.
            url: The request's URL.

        Returns:
            The field's value, or `None` when the challenge asks for an algorithm or a quality of
            protection that is not known here, or lacks a realm or nonce.

        Raises:
            InvalidHeader: The user name holds a control character.
        """
        self.init_per_thread_state()
        state = self._thread_local
        challenge = state.chal
        if not _is_answerable(challenge):
            return None
        nonce = challenge["nonce"]
        state.nonce_count = state.nonce_count + 1 if nonce == state.last_nonce else 1
        state.last_nonce = nonce
        return _digest(
            challenge,
            username=_as_text(self.username),
            password=_as_text(self.password),
            method=method,
            target=_target(url),
            count=state.nonce_count,
            cnonce=secrets.token_hex(8),
        )

    def _challenge_of(self, r: Any) -> dict[str, str | None] | None:
        """Return the first digest challenge of a response that can and may be answered."""
        if not 400 <= r.status_code < 500:
            return None
        if self._origins and not self._may_answer(_origin(r.request.url)):
            return None
        for scheme, parameters in _challenges(r.headers.get("www-authenticate") or ""):
            if scheme == "digest" and _is_answerable(parameters):
                return parameters
        return None

    def _allow(self, origin: str) -> None:
        self._origins[origin] = None
        if len(self._origins) > 1000:  # a crawler's object would otherwise grow without end
            for oldest in list(self._origins)[:100]:
                self._origins.pop(oldest, None)

    def _may_answer(self, origin: str) -> bool:
        if origin in self._origins:
            return True
        # The upgrade of a plain request to TLS, on the default ports of the same host, is the one
        # redirect to another origin that keeps credentials everywhere else, too.
        plain = origin.removesuffix(":443").replace("https://", "http://", 1) + ":80"
        return origin.startswith("https://") and origin.endswith(":443") and plain in self._origins

    def _rewind(self, r: Any) -> None:
        """Bring the body that was sent back to where it began."""
        body = r.request.body
        position = getattr(r.request, "_body_position", None)
        if not isinstance(position, int):
            position = self._thread_local.pos
        if hasattr(body, "seek") and isinstance(position, int):
            try:
                body.seek(position)
            except (OSError, ValueError) as exc:
                raise _cannot_resend(r) from exc
        elif hasattr(body, "read") or hasattr(body, "__next__"):
            # Sent as it is now it would be empty, and the server could not know.
            raise _cannot_resend(r)


class _CallerState:
    """Attributes that each thread and each greenlet sees its own of.

    Like `threading.local`, which is where a thread's own state is kept; greenlets other than a
    thread's main one have theirs beside it, and it goes when the greenlet goes. Pickles and copies
    as a blank one.
    """

    def __init__(self) -> None:
        object.__setattr__(self, "_threads", threading.local())

    def _namespace(self) -> dict[str, Any]:
        local = object.__getattribute__(self, "_threads")
        # Whoever runs inside a greenlet has imported the library, so there is no need to import it
        # here.
        library = sys.modules.get("greenlet")
        current = library.getcurrent() if library is not None else None
        if current is None or current.parent is None:
            return local.__dict__  # type: ignore[no-any-return]
        greenlets = local.__dict__.setdefault(_GREENLETS, WeakKeyDictionary())
        return greenlets.setdefault(current, {})  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._namespace()[name]
        except KeyError:
            raise AttributeError(f"nothing is known under {name!r} in this thread") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._namespace()[name] = value

    def __delattr__(self, name: str) -> None:
        if self._namespace().pop(name, self) is self:
            raise AttributeError(name)

    def __reduce__(self) -> tuple[type[_CallerState], tuple[()]]:
        return _CallerState, ()


_GREENLETS = " greenlets"  # no attribute can be called that


def _credentials(auth: object) -> tuple[object, object]:
    return getattr(auth, "username", None), getattr(auth, "password", None)


def _basic_auth_str(username: str | bytes, password: str | bytes) -> str:
    """Return the value of an `Authorization` field with these credentials."""
    parts = []
    for what, value in (("usernames", username), ("passwords", password)):
        if not isinstance(value, str | bytes):
            warnings.warn(
                f"Non-string {what} are deprecated; a {type(value).__name__} was given. "
                "Convert it with str() first.",
                category=DeprecationWarning,
                stacklevel=3,
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


def _as_text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _challenges(header: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield scheme, in lower case, and parameters of each challenge in a `WWW-Authenticate` field.

    Commas part both challenges and their parameters; a part that begins with a word and a space,
    or is a word alone, begins a new challenge.
    """
    scheme, parameters = "", dict[str, str | None]()
    for part in parse_http_list(header):
        beginning = _SCHEME.match(part)
        if beginning:
            if scheme:
                yield scheme, parameters
            scheme, parameters = beginning[1].lower(), {}
            part = beginning[2] or ""
        name, equals, value = part.partition("=")
        if equals:
            parameters[name.strip().lower()] = unquote_header_value(value.strip())
    if scheme:
        yield scheme, parameters


def _hash_named(algorithm: str | None) -> Callable[[bytes], Any] | None:
    match (algorithm or "MD5").upper().removesuffix("-SESS"):
        case "MD5":
            return lambda data: hashlib.md5(data, usedforsecurity=False)
        case "SHA":
            return lambda data: hashlib.sha1(data, usedforsecurity=False)
        case "SHA-256":
            return hashlib.sha256
        case "SHA-512":
            return hashlib.sha512
    return None


def _offers_auth(qop: str) -> bool:
    return "auth" in (offer.strip() for offer in qop.split(","))


def _is_answerable(challenge: Mapping[str, str | None]) -> bool:
    """Whether a challenge has what an answer needs, in an algorithm and a `qop` known here."""
    qop = challenge.get("qop")
    return (
        challenge.get("realm") is not None
        and challenge.get("nonce") is not None
        and _hash_named(challenge.get("algorithm")) is not None
        and (not qop or _offers_auth(qop))
    )


def _digest(
    challenge: Mapping[str, str | None],
    *,
    username: str,
    password: str,
    method: str,
    target: str,
    count: int,
    cnonce: str,
) -> str:
    """Return the answer to a challenge (RFC 7616 section 3.4)."""
    hashed = _hash_named(challenge.get("algorithm"))
    assert hashed is not None  # `_is_answerable` was asked

    def digest(*parts: str) -> str:
        return str(hashed(":".join(parts).encode("utf-8")).hexdigest())

    realm, nonce = challenge["realm"] or "", challenge["nonce"] or ""
    algorithm, opaque = challenge.get("algorithm"), challenge.get("opaque")
    secret = digest(username, realm, password)
    if (algorithm or "").upper().endswith("-SESS"):
        secret = digest(secret, nonce, cnonce)
    asked = digest(method, target)
    number = f"{count:08x}"
    if challenge.get("qop"):
        response = digest(secret, nonce, number, cnonce, "auth", asked)
    else:
        response = digest(secret, nonce, asked)
    fields = [
        f"username={_quoted(username)}",
        f"realm={_quoted(realm)}",
        f"nonce={_quoted(nonce)}",
        f"uri={_quoted(target)}",
        f'response="{response}"',
    ]
    if opaque:
        fields.append(f"opaque={_quoted(opaque)}")
    if algorithm:
        fields.append(f"algorithm={_quoted(algorithm)}")
    if challenge.get("qop"):
        # RFC 7616 has `auth` without quotes; there are servers that insist on them, none that mind.
        fields.append(f'qop="auth", nc={number}, cnonce="{cnonce}"')
    return "Digest " + ", ".join(fields)


def _quoted(value: str) -> str:
    """Write a value as a quoted string; a quote left bare would begin a parameter of its own."""
    if _CONTROL.search(value):
        raise InvalidHeader(
            "Digest credentials cannot be sent: the user name, or the server's challenge, holds a "
            "control character."
        )
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _origin(url: str) -> str:
    """Return a URL's scheme, host and port; its text up to the path if it cannot be parsed."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _target(url: str) -> str:
    """Return path and query as they stand in the request line, which the answer has to repeat."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


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
