"""What a token is, which port a scheme stands for, and which fields hold secrets."""

from __future__ import annotations

from typing import Final

__all__ = ["CREDENTIALS", "DEFAULT_PORTS", "TOKEN"]

#: Pattern of a method or the name of a header field (RFC 9110, section 5.6.2); not anchored.
TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

#: The port that a scheme stands for when a URL names none (RFC 9110, sections 4.2.1 and 4.2.2).
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

#: The fields of a request that hold secrets, in lower case. They are in no memo.
CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
