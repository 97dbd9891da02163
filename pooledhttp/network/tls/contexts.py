"""Makes TLS contexts, and shares those with equal settings in the whole process.

Making a context takes some 10 ms of CPU, mostly for reading certifi's bundle, and a TLS session can
only be used with the context that it was made with. So contexts are kept. The key is the settings
and the state of the files they name: after a bundle was replaced on disk, a new context is made.

A context that the caller passes is not changed, because other code may use it too. If the other
settings differ from it, a *stand-in* is made: a context of our own with the protocol settings of
the caller's. The trusted certificates of the caller's context are copied into it, or it has none.

There is one exception. A context without any trusted certificate could verify no peer. It is
*filled* with the bundle that it is first used with, as urllib3 does it. A stand-in would not be
enough: the context may have a client certificate, which cannot be copied.
"""

from __future__ import annotations

import os
import ssl
import weakref
from collections import OrderedDict
from collections.abc import Callable

from urllib3.util.ssl_ import resolve_ssl_version

from pooledhttp.certs import extract_zipped_paths, where
from pooledhttp.network.overrides import ContextMaker
from pooledhttp.network.route import TlsSettings
from pooledhttp.runtime import ShortLock, register_fork_reset

__all__ = [
    "TlsFileError",
    "checks_name",
    "fill",
    "merged_context",
    "names_default_trust",
    "new_context",
    "own_context",
    "stand_in",
    "was_filled",
    "replaces_wrap_socket",
]

MAX_CONTEXTS = 32
_PINNED = {
    getattr(ssl, f"PROTOCOL_{name}", None): getattr(ssl.TLSVersion, name)
    for name in ("TLSv1", "TLSv1_1", "TLSv1_2")
}


class TlsFileError(ssl.SSLError):
    """A file of certificates, or of a key, cannot be used: no peer has to do with it."""

    def __str__(self) -> str:
        return str(self.args[0])  # `ssl.SSLError` shows a tuple where there is no number


class _ContextCache:
    """Contexts by settings and files; the least recently used one is dropped first."""

    def __init__(self, max_contexts: int = MAX_CONTEXTS) -> None:
        self._max_contexts = max_contexts
        self._contexts: OrderedDict[object, ssl.SSLContext] = OrderedDict()
        #: The callers' contexts that were filled, and the certificates.
        self._filled: weakref.WeakKeyDictionary[ssl.SSLContext, object] = (
            weakref.WeakKeyDictionary()
        )
        self.reset_after_fork()
        register_fork_reset(self)

    def get(self, settings: TlsSettings) -> ssl.SSLContext:
        """Return our context for `settings`."""
        return self._get(_context_key(settings), lambda: _make(settings))

    def get_merged(self, given: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
        """Return the stand-in for `given` that also trusts what `settings` name."""
        key = (*_context_key(settings), settings.context_rules, *_state_of(given))
        return self._get(key, lambda: _merge(given, settings))

    def _get(self, key: object, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        with self._lock:
            context = self._contexts.get(key)
            if context is None:
                context = self._contexts[key] = make()
                if len(self._contexts) > self._max_contexts:
                    self._contexts.popitem(last=False)
            else:
                self._contexts.move_to_end(key)
            return context

    def fill(self, given: ssl.SSLContext, settings: TlsSettings) -> bool:
        """Fill `given` if it is empty; return whether it trusts exactly what `settings` name."""
        bundle = (*map(_named_state, _trusted_files(settings)), settings.ca_cert_data)
        with self._lock:
            if given in self._filled:
                return self._filled[given] == bundle
            if given.cert_store_stats()["x509"]:
                return False
            _trust(given, settings)
            self._filled[given] = bundle
            return True

    def has_filled(self, given: ssl.SSLContext) -> bool:
        """Whether `fill` has loaded the certificates of `given`."""
        return given in self._filled

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold; the contexts stay usable."""
        # Held while a context is made, so that 64 threads that start at once read a bundle once.
        self._lock = ShortLock()


_contexts = _ContextCache()


def _context_key(settings: TlsSettings) -> tuple[object, ...]:
    return (
        settings.verify,
        checks_name(settings),
        settings.ca_cert_data,
        settings.key_password,
        settings.minimum_version,
        settings.maximum_version,
        settings.ssl_version,
        settings.ciphers,
        *map(_named_state, _files(settings)),
    )


def _files(settings: TlsSettings) -> tuple[str | None, ...]:
    return (*_trusted_files(settings), settings.cert_file, settings.key_file)


def _trusted_files(settings: TlsSettings) -> tuple[str | None, str | None]:
    return _bundle(settings), settings.ca_cert_dir if settings.verify else None


def _bundle(settings: TlsSettings) -> str | None:
    """Return the file of trusted certificates; certifi's if the settings name none."""
    if not settings.verify:
        return None
    if settings.ca_certs or settings.ca_cert_dir or settings.ca_cert_data:
        return settings.ca_certs
    return extract_zipped_paths(where())


def _named_state(path: str | None) -> tuple[str, object] | None:
    return None if path is None else (path, file_state(path))


def file_state(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> object:
    """Return a value that differs once a file has changed; None if the file cannot be read."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # the second: NUL in the path
        return None  # loading it raises the error
    return state.st_mtime_ns, state.st_ino, state.st_size


def checks_name(settings: TlsSettings) -> bool:
    """Whether OpenSSL itself is to check the name that was dialled."""
    return settings.verify and settings.assert_hostname is None and not settings.assert_fingerprint


def _make(settings: TlsSettings) -> ssl.SSLContext:
    context = _blank(settings)
    _trust(context, settings)
    _identify(context, settings)
    return context


def _blank(settings: TlsSettings) -> ssl.SSLContext:
    """Return a context with the protocol settings, and without trusted certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned = _PINNED.get(settings.ssl_version) if settings.ssl_version is not None else None
    context.minimum_version = settings.minimum_version or pinned or ssl.TLSVersion.TLSv1_2
    newest = settings.maximum_version or pinned
    if newest is not None:
        context.maximum_version = newest
    context.options |= ssl.OP_NO_COMPRESSION
    # An end without close_notify must be an error: an attacker may have cut the stream.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if settings.ciphers:
        context.set_ciphers(settings.ciphers)
    context.set_alpn_protocols(["http/1.1"])
    context.post_handshake_auth = True
    _set_verification(context, settings)
    if keylog := os.environ.get("SSLKEYLOGFILE"):
        context.keylog_filename = keylog
    return context


def _set_verification(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.check_hostname = checks_name(settings)
    context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    context.hostname_checks_common_name = False


def _trust(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.verify:
        return
    bundle = _bundle(settings)
    if bundle or settings.ca_cert_dir or settings.ca_cert_data:
        try:
            context.load_verify_locations(bundle, settings.ca_cert_dir, _ca_data(settings))
        except ssl.SSLError as error:
            raise TlsFileError(
                f"no certificates could be read from {bundle or settings.ca_cert_dir}: {error}"
            ) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(
                error.errno, "the CA bundle does not exist", bundle or settings.ca_cert_dir
            ) from error


def _ca_data(settings: TlsSettings) -> str | bytes | None:
    data = settings.ca_cert_data
    # OpenSSL takes a str for PEM and bytes for DER.
    return data.decode("ascii") if isinstance(data, bytes) and b"-----BEGIN" in data else data


def _identify(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.cert_file is None:
        return
    # Without a password OpenSSL would ask for it on the terminal, and the program would hang.
    password = settings.key_password if settings.key_password is not None else _no_password
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file, password)
    except (ssl.SSLError, IsADirectoryError) as error:
        raise TlsFileError(
            f"the client certificate {settings.cert_file} (key "
            f"{settings.key_file or 'in the same file'}) could not be loaded: {error}"
        ) from error


def _no_password() -> str:
    raise ssl.SSLError("the key is encrypted; give its password")


def replaces_wrap_socket(context: ssl.SSLContext) -> bool:
    """Whether the class of a context wraps sockets in its own way, as truststore's does.

    The attributes that it inherits do not tell what such a context trusts.
    """
    return type(context).wrap_socket is not ssl.SSLContext.wrap_socket


def stand_in(given: ssl.SSLContext, settings: TlsSettings, mode: ssl.VerifyMode) -> ssl.SSLContext:
    """Return a context with the protocol settings of `given` that verifies by `settings`."""
    context = _blank(settings)
    context.options = given.options
    context.verify_flags = given.verify_flags
    context.post_handshake_auth = given.post_handshake_auth
    context.set_ciphers(_ciphers_of(given))
    # Raised first, because a minimum above the present maximum would be refused.
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.minimum_version = settings.minimum_version or given.minimum_version
    context.maximum_version = settings.maximum_version or given.maximum_version
    _change_verification(context, settings, mode)
    return context


def _change_verification(
    context: ssl.SSLContext, settings: TlsSettings, mode: ssl.VerifyMode
) -> None:
    """Set what is verified in a context that may verify names already."""
    # Off before the mode changes: `ssl` refuses a check of names without verification.
    context.check_hostname = False
    context.verify_mode = mode
    context.check_hostname = mode != ssl.CERT_NONE and checks_name(settings)


def _ciphers_of(given: ssl.SSLContext) -> str:
    names = [cipher["name"] for cipher in given.get_ciphers()]
    older = [name for name in names if not name.startswith("TLS_")]  # TLS 1.3 has its own list
    return ":".join([*(older or names), f"@SECLEVEL={given.security_level}"])


def _merge(given: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
    """Make a stand-in that trusts what `given` has loaded and what `settings` name.

    A client certificate cannot be read out of a context, so the stand-in does not have that of
    `given`.
    """
    mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    context = stand_in(given, settings, given.verify_mode if settings.context_rules else mode)
    loaded = given.get_ca_certs(binary_form=True)
    if loaded and not _contexts.has_filled(given):
        context.load_verify_locations(cadata=b"".join(loaded))
    _trust(context, settings)
    _identify(context, settings)
    return context


def _state_of(given: ssl.SSLContext) -> tuple[object, ...]:
    """Return all of a context that is copied into a stand-in; its owner may change it later."""
    return (
        given,
        given.options,
        given.verify_flags,
        given.verify_mode,
        given.minimum_version,
        given.maximum_version,
        given.security_level,
        tuple(cipher["name"] for cipher in given.get_ciphers()),
        tuple(given.cert_store_stats().values()),
    )


def own_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of the process for `settings`; make it at the first call.

    Raises:
        OSError: A certificate or key file cannot be read, or holds none.
    """
    return _contexts.get(settings)


def new_context(maker: ContextMaker, settings: TlsSettings) -> ssl.SSLContext:
    """Return a context by a program's replacement of urllib3's function, for one connection.

    As in urllib3, protocol settings are those of the replacement, and `settings` decide what is
    verified and trusted: a replacement that verifies nothing has no effect on that.

    Args:
        maker: Takes the arguments of urllib3's `create_urllib3_context`.
        settings: Verification settings of a route.

    Raises:
        OSError: A certificate or key file cannot be read, or holds none.
    """
    mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    context = maker(
        ssl_version=resolve_ssl_version(settings.ssl_version),
        ssl_minimum_version=settings.minimum_version,
        ssl_maximum_version=settings.maximum_version,
        cert_reqs=mode,
    )
    _change_verification(context, settings, mode)
    context.set_alpn_protocols(["http/1.1"])
    _trust(context, settings)
    _identify(context, settings)
    return context


def names_default_trust(settings: TlsSettings) -> bool:
    """Whether the settings name no trusted certificates, or the default ones."""
    if settings.ca_cert_dir or settings.ca_cert_data:
        return False
    return settings.ca_certs is None or settings.ca_certs == extract_zipped_paths(where())


def fill(given: ssl.SSLContext, settings: TlsSettings) -> bool:
    """Load what `settings` name into a context of the caller that trusts no authority yet.

    Returns:
        Whether `given` trusts exactly that: it was empty, or was filled with the same before.

    Raises:
        OSError: A file cannot be read, or holds no certificates.
    """
    return _contexts.fill(given, settings)


def was_filled(given: ssl.SSLContext) -> bool:
    """Whether `fill` has loaded what a context of the caller trusts."""
    return _contexts.has_filled(given)


def merged_context(given: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
    """Return the stand-in of the process for `given` that also trusts what `settings` name.

    Raises:
        OSError: A certificate or key file cannot be read, or holds none.
    """
    return _contexts.get_merged(given, settings)
