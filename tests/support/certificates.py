"""A throw-away certificate authority for tests, and contexts made from it."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """A CA whose certificate lies in a file, as `verify=` wants it."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.bundle = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.bundle)
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}

    def server_context(self, *names: str) -> ssl.SSLContext:
        """A server-side context for `names`, by default localhost and the loopback addresses.

        One context per set of names; a test that changes its context asks `new_server_context`.
        """
        names = names or ("localhost", "127.0.0.1", "::1")
        if names not in self._contexts:
            self._contexts[names] = self.new_server_context(*names)
        return self._contexts[names]

    def new_server_context(self, *names: str) -> ssl.SSLContext:
        """As `server_context`, but never shared."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = self.ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        issued.configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """A client-side context that trusts this authority alone."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context

    def write_certificate(self, *names: str, stem: str = "server") -> tuple[str, str]:
        """Issue a certificate for `names` and write it; returns the paths of chain and key."""
        issued = self.ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        chain, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return str(chain), str(key)
