"""What a session needs around sending: settings, redirects, and credentials kept in files."""

from __future__ import annotations

from pooledhttp.client.netrc import NETRC_FILES, get_netrc_auth

__all__ = ["NETRC_FILES", "get_netrc_auth"]
