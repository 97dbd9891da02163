r"""What `http.client.HTTPConnection.debuglevel = 1` prints, in the form in which http.client does.

    send: b'GET / HTTP/1.1\r\nHost: example.com\r\n...'
    reply: 'HTTP/1.1 200 OK\r\n'
    header: Content-Length: 2

Everything is printed as it is, credentials included: that is what the switch is for. The connection
reads the switch for each exchange, so a program may turn it at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.http1.response_head import Head

__all__ = ["print_head", "print_sent"]


def print_sent(data: bytes | memoryview) -> None:
    """Print bytes that are about to be written."""
    if data:
        print("send:", repr(bytes(data)))


def print_head(head: Head) -> None:
    """Print the head of a response."""
    version = f"HTTP/{head.version // 10}.{head.version % 10}"
    print("reply:", repr(f"{version} {head.status} {head.reason}\r\n"))
    for name, value in head.headers:
        print("header:", f"{name}:", value)
