"""TLS: which context a route is dialled with, and what is checked after the handshake.

With no context of the caller's it is one of our own (`contexts`). A caller's is used as it is
where it says what the settings beside it say. Where they ask for something else (`verify=False`,
another host name, more trusted certificates), a stand-in is used. Where trust and client
certificate are to stay the caller's, the stand-in's connection is moved onto the caller's context
before the first byte, which leaves the mode of verification as it was made.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import Any, NamedTuple, cast

from urllib3.util.ssl_match_hostname import CertificateError, match_hostname

from pooledhttp.network.route import TlsSettings
from pooledhttp.network.tls.contexts import (
    checks_name,
    fill,
    merged_context,
    names_default_trust,
    own_context,
    stand_in,
    was_filled,
    wraps_its_own_way,
)

__all__ = [
    "CertificateMismatch",
    "Credentials",
    "check_peer",
    "credentials_for",
    "server_name",
]

#: Digest by the number of its hex digits.
FINGERPRINTS = {32: "md5", 40: "sha1", 64: "sha256"}


class CertificateMismatch(ssl.SSLCertVerificationError):
    """The certificate is valid but is not the one that was asked for."""


class Credentials(NamedTuple):
    """What a handshake is made with.

    Attributes:
        context: Makes the connection.
        trust: The caller's context to move the connection onto before the handshake; None leaves
            it.
        can_resume: Whether sessions of `context` may be used again.
        is_ours: Whether `context` is one that no other code can change.
    """

    context: ssl.SSLContext
    trust: ssl.SSLContext | None = None
    can_resume: bool = True
    is_ours: bool = False


def credentials_for(settings: TlsSettings) -> Credentials:
    """Find or make the context that `settings` ask for.

    Args:
        settings: Verification settings of a route.

    Raises:
        OSError: A certificate or key file cannot be read, or holds none; the key's password is
            wrong.
        ValueError: The settings contradict each other.
    """
    given = settings.ssl_context
    if given is None:
        return Credentials(own_context(settings), is_ours=True)
    return _beside(given, settings)


def server_name(host: str, settings: TlsSettings) -> str:
    """The name or address that is checked, and sent in SNI unless it is an address.

    Args:
        host: The route's host. A zone id (`fe80::1%eth0`) means something on this machine only and
            is left out, as is a trailing dot, which no certificate carries.
        settings: May name another.
    """
    name = settings.server_hostname or host
    if ":" in name:
        return name.strip("[]").partition("%")[0]
    return name.rstrip(".") or name


def check_peer(tls: ssl.SSLSocket | ssl.SSLObject, settings: TlsSettings) -> None:
    """Check what OpenSSL cannot be asked to. Due after every handshake, resumed ones included.

    Args:
        tls: The connection, after its handshake.
        settings: Say what to check.

    Raises:
        CertificateMismatch: The certificate is not the one that was asked for.
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


def _beside(given: ssl.SSLContext, settings: TlsSettings) -> Credentials:
    """The caller's context as it is, or a stand-in where the settings beside it say otherwise."""
    if wraps_its_own_way(given):
        return _beside_foreign(given, settings)
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
    """Whether the caller's context has what is to be trusted; an empty one is given it.

    Without a named bundle, what the caller loaded is trusted.
    """
    return fill(given, settings) or (names_default_trust(settings) and not was_filled(given))


def _beside_foreign(given: ssl.SSLContext, settings: TlsSettings) -> Credentials:
    if settings.verify or settings.context_rules or given.verify_mode == ssl.CERT_NONE:
        return Credentials(given, None, False)
    return Credentials(stand_in(given, settings, ssl.CERT_NONE), None, False)
