"""Chooses the context of a handshake, and checks the certificate after it.

    the caller passes no context              one of our own (`contexts`)
    a context that agrees with the settings   that context, unchanged
    a context, and other settings             a stand-in: for `verify=False`, another host name, or
                                              other trusted certificates

If the certificates of the caller's context still apply, a connection of the stand-in is moved to
the caller's context before its first byte. Then it has the certificates of that context, and the
mode of verification of the stand-in.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import Any, NamedTuple, cast

from urllib3.util.ssl_match_hostname import CertificateError, match_hostname

from pooledhttp.network.overrides import replaced_context_maker
from pooledhttp.network.route import TlsSettings
from pooledhttp.network.tls.contexts import (
    checks_name,
    fill,
    merged_context,
    names_default_trust,
    new_context,
    own_context,
    replaces_wrap_socket,
    stand_in,
    was_filled,
)

__all__ = [
    "CertificateMismatch",
    "Credentials",
    "check_peer",
    "credentials_for",
    "read_trust",
    "server_name",
]

#: Digest by the number of its hex digits.
FINGERPRINTS = {32: "md5", 40: "sha1", 64: "sha256"}


class CertificateMismatch(ssl.SSLCertVerificationError):
    """The certificate is valid, but is not the expected one."""


class Credentials(NamedTuple):
    """The context of a handshake.

    Attributes:
        context: Makes the connection.
        trust: The caller's context, to which the connection is moved before the handshake; None if
            it is not moved.
        can_resume: Whether sessions of `context` may be used again.
        is_ours: Whether no other code can change `context`.
    """

    context: ssl.SSLContext
    trust: ssl.SSLContext | None = None
    can_resume: bool = True
    is_ours: bool = False


def credentials_for(settings: TlsSettings) -> Credentials:
    """Find or make the context for `settings`.

    Args:
        settings: Verification settings of a route.

    Raises:
        OSError: A certificate or key file cannot be read, or holds none; the key's password is
            wrong.
        ValueError: The settings contradict each other.
    """
    given = settings.ssl_context
    if given is None:
        maker = replaced_context_maker()
        if maker is not None:
            return Credentials(new_context(maker, settings), can_resume=False)
        return Credentials(own_context(settings), is_ours=True)
    return _with_context(given, settings)


def read_trust(settings: TlsSettings) -> None:
    """Read the files that `settings` names, if what is made of them is kept.

    Args:
        settings: Verification settings of a route.

    Raises:
        OSError: As for `credentials_for`.
        ValueError: As for `credentials_for`.
    """
    # A function that a program has put in the place of urllib3's makes a context per connection.
    if settings.ssl_context is not None or replaced_context_maker() is None:
        credentials_for(settings)


def server_name(host: str, settings: TlsSettings) -> str:
    """Return the name or address that is checked; a name is also sent in SNI.

    Args:
        host: The host of the route. A zone id (`fe80::1%eth0`), which has a meaning only on this
            machine, is left out, and so is a dot at the end, which certificates do not have.
        settings: May have another name.
    """
    name = settings.server_hostname or host
    if ":" in name:
        return name.strip("[]").partition("%")[0]
    return name.rstrip(".") or name


def check_peer(tls: ssl.SSLSocket | ssl.SSLObject, settings: TlsSettings) -> None:
    """Check what OpenSSL does not check. To be called after every handshake, resumed ones too.

    Args:
        tls: The connection, after its handshake.
        settings: What to check.

    Raises:
        CertificateMismatch: The certificate is not the expected one.
    """
    if settings.assert_fingerprint:
        _check_fingerprint(tls.getpeercert(True), settings.assert_fingerprint)
        return
    wanted = settings.assert_hostname
    if not isinstance(wanted, str):
        return  # OpenSSL has checked the name, or it is not to be checked
    certificate = tls.getpeercert()
    if not certificate:
        return  # nothing was verified, so the name in it would prove nothing
    try:
        match_hostname(cast(Any, certificate), wanted.strip("[]").partition("%")[0])
    except CertificateError as error:
        raise CertificateMismatch(f"Hostname mismatch: {error}") from error


def _check_fingerprint(certificate: bytes | None, wanted: str) -> None:
    digits = wanted.replace(":", "").lower()
    algorithm = FINGERPRINTS.get(len(digits))
    if algorithm is None:
        raise CertificateMismatch(
            f"assert_fingerprint {wanted!r} is not an MD5, SHA-1 or SHA-256 digest in hex"
        )
    if certificate is None:
        raise CertificateMismatch("the peer showed no certificate to compare with")
    found = hashlib.new(algorithm, certificate, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(found.encode(), digits.encode()):
        raise CertificateMismatch(
            f"Fingerprints did not match: the certificate's {algorithm} is {found}, "
            f"assert_fingerprint asks for {digits}"
        )


def _with_context(given: ssl.SSLContext, settings: TlsSettings) -> Credentials:
    """Return the caller's context, or a stand-in if the other settings differ from it."""
    if replaces_wrap_socket(given):
        return _with_foreign_context(given, settings)
    asserts = settings.assert_hostname is not None or bool(settings.assert_fingerprint)
    names_trust = bool(settings.ca_certs or settings.ca_cert_dir or settings.ca_cert_data)
    if settings.context_rules and not (settings.cert_file or names_trust):
        if asserts and given.check_hostname:
            return Credentials(stand_in(given, settings, given.verify_mode), given, False)
        return Credentials(given)
    if settings.cert_file or (settings.verify and not _trusts(given, settings)):
        return Credentials(merged_context(given, settings))
    mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    if given.verify_mode == mode and given.check_hostname == checks_name(settings):
        return Credentials(given)
    return Credentials(stand_in(given, settings, mode), given, False)


def _trusts(given: ssl.SSLContext, settings: TlsSettings) -> bool:
    """Whether the caller's context trusts what the settings name; an empty one is filled.

    If the settings name no bundle, the certificates that the caller has loaded are trusted.
    """
    return fill(given, settings) or (names_default_trust(settings) and not was_filled(given))


def _with_foreign_context(given: ssl.SSLContext, settings: TlsSettings) -> Credentials:
    if settings.verify or settings.context_rules or given.verify_mode == ssl.CERT_NONE:
        return Credentials(given, None, False)
    return Credentials(stand_in(given, settings, ssl.CERT_NONE), None, False)
