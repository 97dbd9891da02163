"""Does the TLS handshake on a stream, checks its result, and makes the error if it fails.

`start_tls` takes a stream and returns one with TLS over it. `handshake_fault` turns an error of
OpenSSL into a fault, whose text names the certificates that were trusted and says what to do.
"""

from __future__ import annotations

import contextlib
import os
import ssl

# The C class, which an interrupt cannot leave half made.
from _socket import socket as c_socket
from typing import TYPE_CHECKING, NamedTuple

from pooledhttp.certs import where
from pooledhttp.exceptions import DialError, Fault, TlsError
from pooledhttp.network.stream import Stream, close_socket
from pooledhttp.network.tls.contexts import TlsFileError, replaces_wrap_socket
from pooledhttp.network.tls.nested import NestedTlsStream
from pooledhttp.network.tls.sessions import SessionKeeper, SessionKey, SessionStore
from pooledhttp.network.tls.stream import SecureStream, TlsStream
from pooledhttp.network.tls.verification import (
    CertificateMismatch,
    Credentials,
    check_peer,
    credentials_for,
    server_name,
)

if TYPE_CHECKING:
    from pooledhttp.network.route import Proxy, TlsSettings
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["TlsPeer", "handshake_fault", "start_tls"]

#: OpenSSL's values of `verify_code` (x509_vfy.h) for a chain without a trusted certificate.
_UNTRUSTED = frozenset({18, 19, 20, 21})
_EXPIRED, _NAME_MISMATCH, _ADDRESS_MISMATCH = 10, 62, 64


class TlsPeer(NamedTuple):
    """The peer of a handshake, and how it is verified.

    Attributes:
        host: Its name or address.
        port: Its port.
        settings: How it is verified.
        proxy: The proxy in between, part of the key of its sessions; `None` for none.
        sessions: Keeps the sessions of earlier and of new connections.
    """

    host: str
    port: int
    settings: TlsSettings
    proxy: Proxy | None
    sessions: SessionStore


class _Arguments(NamedTuple):
    """The arguments of a handshake, on a socket or on a stream.

    Attributes:
        credentials: The context.
        name: The name that the certificate must have.
        session: The session to resume; `None` for a full handshake.
        keeper: Keeps the session that the server sends; `None` to keep none.
    """

    credentials: Credentials
    name: str
    session: ssl.SSLSession | None
    keeper: SessionKeeper | None


def start_tls(stream: Stream, peer: TlsPeer, deadline: Deadline) -> SecureStream:
    """Do the handshake over `stream`.

    Args:
        stream: Connected; the result owns it. If this fails, the caller closes it.
        peer: The server, and how it is verified.
        deadline: When to give up.

    Raises:
        TimeoutError: The handshake was not done in time.
        OSError: It failed, or a certificate or key file cannot be read (`ssl.SSLError` among them).
        ValueError: The settings contradict each other.
    """
    credentials = credentials_for(peer.settings)
    name = server_name(peer.host, peer.settings)
    key = _session_key(peer, credentials, name)
    session = peer.sessions.get(key) if key is not None else None
    keeper = SessionKeeper(peer.sessions, key, session) if key is not None else None
    begin = _on_socket if _can_take_socket(stream, credentials) else _on_stream
    secured = begin(stream, _Arguments(credentials, name, session, keeper), deadline)
    try:
        check_peer(secured._tls, peer.settings)
        if key is not None and not peer.sessions.wants_another(
            key, session is not None, secured.is_resumed
        ):
            secured.keep_no_session()
    except BaseException:
        if key is not None:
            peer.sessions.forget(key)
        secured.close()
        raise
    return secured


def _session_key(peer: TlsPeer, credentials: Credentials, name: str) -> SessionKey | None:
    if not credentials.can_resume:
        return None
    settings, context = peer.settings, credentials.context
    return SessionKey(
        context,
        None if credentials.is_ours else (context.verify_mode, context.check_hostname),
        name,
        peer.port,
        settings.assert_hostname,
        settings.assert_fingerprint,
        (settings.cert_file, settings.key_file),
        peer.proxy,
    )


def _can_take_socket(stream: Stream, credentials: Credentials) -> bool:
    """Whether TLS can be done on the socket itself, which is faster than on a stream.

    It cannot if the stream has TLS already, if the context wraps sockets in its own way (it may
    check the certificate while it wraps, before a non-blocking handshake), or if the context hides
    an end without close_notify.
    """
    if stream.is_tls:
        return False
    if credentials.is_ours:  # it does neither; reading the options of a context is slow
        return True
    context = credentials.context
    return not replaces_wrap_socket(context) and not context.options & getattr(
        ssl, "OP_IGNORE_UNEXPECTED_EOF", 0
    )


def _on_socket(stream: Stream, arguments: _Arguments, deadline: Deadline) -> SecureStream:
    stream.runtime.forget(stream.sock)  # wrapping detaches the descriptor from its socket
    try:
        sock = arguments.credentials.context.wrap_socket(
            stream.sock,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
            server_hostname=arguments.name,
            session=arguments.session,
        )
    except BaseException as error:
        _close_half_wrapped(error, stream.sock)
        raise
    try:
        if arguments.credentials.trust is not None:
            sock.context = arguments.credentials.trust
        _handshake(sock, stream.runtime, deadline)
        return TlsStream(sock, stream.runtime, arguments.keeper)
    except BaseException:
        close_socket(sock, stream.runtime)
        raise


def _close_half_wrapped(error: BaseException, sock: c_socket) -> None:
    """Close the new socket after `wrap_socket` has failed, for example because the peer has closed.

    `ssl` makes a new socket with the descriptor, and then detaches the old one. Only a frame of the
    error refers to the new one, so its descriptor would stay open as long as the error exists. If
    Ctrl-C came in between, the new socket may be half made, and methods of `ssl` may fail on it.

    Args:
        error: What `wrap_socket` raised.
        sock: The old socket, which owns the descriptor until it is detached.
    """
    step = error.__traceback__
    while step is not None:
        wrapped = step.tb_frame.f_locals.get("self")
        if isinstance(wrapped, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                descriptor = c_socket.detach(wrapped)
                if descriptor >= 0 and sock.fileno() < 0:
                    os.close(descriptor)
        step = step.tb_next


def _handshake(sock: ssl.SSLSocket, runtime: Runtime, deadline: Deadline) -> None:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            reading = True
        except ssl.SSLWantWriteError:
            reading = False
        if deadline.expired or not any(runtime.wait(sock, reading, not reading, deadline)):
            raise TimeoutError("the TLS handshake was not done in time")


def _on_stream(stream: Stream, arguments: _Arguments, deadline: Deadline) -> SecureStream:
    nested = NestedTlsStream(
        stream,
        arguments.credentials.context,
        arguments.name,
        session=arguments.session,
        trust=arguments.credentials.trust,
        keeper=arguments.keeper,
    )
    nested.handshake(deadline)
    return nested


# -------------------------------------------------------------------------- explaining


def handshake_fault(
    error: OSError | ValueError, origin: str, host: str, port: int, settings: TlsSettings
) -> Fault:
    """Make the fault for a handshake that failed.

    Args:
        error: The error of the handshake.
        origin: The origin of the request. If a proxy failed, it is not the peer.
        host: The peer.
        port: Its port.
        settings: How the peer is verified.
    """
    peer = f"{host} port {port}"
    if not isinstance(error, (ssl.SSLError, ssl.CertificateError)) and isinstance(
        error, ConnectionError
    ):
        # The peer closed before TLS sent an alert: the connection failed, not its security.
        return DialError(
            f"Failed to establish a new connection to {peer}: it was cut off in the TLS handshake "
            f"({error}). The server may be overloaded, or a firewall is in between.",
            origin=origin,
            phase="tls",
        )
    text = f"{_what_failed(error, peer)} {_what_to_do(error, host, settings)}".strip()
    if isinstance(error, ssl.SSLError):
        # Programs look for both in the text: urllib3's name, and what OpenSSL calls the failure.
        text = f"{text} OpenSSL: SSLError({error!r})"
    return TlsError(text, error, origin=origin)


def _what_failed(error: OSError | ValueError, peer: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = str(getattr(error, "verify_message", "") or error.args[-1]).rstrip(".")
        return f"certificate verify failed for {peer}: {reason}."
    if isinstance(error, TlsFileError) or (isinstance(error, OSError) and error.filename):
        return f"the TLS settings for {peer} cannot be used: {error}."
    return f"TLS handshake with {peer} failed: {error}."


def _what_to_do(error: OSError | ValueError, host: str, settings: TlsSettings) -> str:
    if isinstance(error, CertificateMismatch):
        return ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _how_to_verify(error, host, settings)
    if isinstance(error, ssl.SSLError):
        text = str(error)
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
            return "It seems not to speak TLS on this port; is the URL meant to begin with http://?"
        if isinstance(error, ssl.SSLEOFError):
            return "The server hung up; it may want another protocol version or SNI name."
        if "PROTOCOL_VERSION" in text or "UNSUPPORTED_PROTOCOL" in text:
            return (
                "No version of TLS suits both sides. TLS 1.2 and 1.3 are offered, unless an "
                "ssl_context of yours says otherwise."
            )
    return ""


def _how_to_verify(error: ssl.SSLCertVerificationError, host: str, settings: TlsSettings) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _UNTRUSTED:
        return (
            f"Trusted was {_trusted(settings)}; to trust the server's own authority, give its "
            "certificate by verify='/path/to/ca.pem'."
        )
    if code in (_NAME_MISMATCH, _ADDRESS_MISMATCH):
        return (
            f"The server at {host} shows a certificate of another name. Use a name that is in it, "
            "or give the server one with this name."
        )
    if code == _EXPIRED:
        return "Its certificate has to be renewed; or this machine's clock is wrong."
    return ""


def _trusted(settings: TlsSettings) -> str:
    if settings.ca_certs or settings.ca_cert_dir:
        return str(settings.ca_certs or settings.ca_cert_dir)
    if settings.ca_cert_data:
        return "the certificate data given"
    if settings.ssl_context is not None:
        return "what the ssl_context given has loaded"
    return f"certifi's bundle ({where()})"
