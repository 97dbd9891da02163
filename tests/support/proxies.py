"""Real proxies: squid (forward and CONNECT, with or without a password, over TLS) and SOCKS."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from tests.support.certificates import Authority
from tests.support.programs import ServerProgram, poll, require_program

_SQUID = """
{listen}
visible_hostname test
pid_filename none
cache_log {folder}/cache-output
logformat heads %rm %ru %>Hs [%>h]
access_log stdio:{folder}/access.log heads
coredump_dir {folder}
netdb_filename none
pinger_enable off
cache deny all
cache_mem 8 MB
max_filedescriptors 1024
shutdown_lifetime 0 seconds
server_persistent_connections off
dns_nameservers 127.0.0.1
{auth}
http_access deny all
"""

_SQUID_AUTH = """
auth_param basic program {helper} {folder}/passwords
auth_param basic children 2 startup=1 idle=1
auth_param basic realm test
acl known proxy_auth REQUIRED
http_access allow known
"""


class Squid(ServerProgram):
    """squid as a forward and CONNECT proxy.

    Args:
        user: Every request needs this name; None needs no credentials.
        password: That user's.
        authority: Issues a certificate for `localhost`; clients have to speak TLS to the proxy.
            None speaks plainly.
    """

    name = "squid"
    stop_signal = signal.SIGKILL  # on SIGTERM it takes seconds, despite its shutdown_lifetime

    def __init__(
        self, user: str | None = None, password: str = "", *, authority: Authority | None = None
    ) -> None:
        self._program = require_program("squid", "squid")
        super().__init__()
        self._user, self._password = user, password
        self._certificate: tuple[str, str] | None = None
        if authority is not None:
            pair = authority.write_certificate("localhost", stem="squid")
            # Next to the configuration, where the user squid becomes may read them.
            self._certificate = tuple(shutil.copy(path, self.folder) for path in pair)
            for path in self._certificate:
                os.chmod(path, 0o644)
        if os.geteuid() == 0:
            # squid gives up root at once, and must still be able to write here.
            shutil.chown(self.folder, "proxy", "proxy")

    @property
    def url(self) -> str:
        """The proxy's URL without credentials."""
        return f"{self._scheme}://{self._address}"

    def url_with(self, user: str, password: str) -> str:
        """The proxy's URL with credentials."""
        return f"{self._scheme}://{user}:{password}@{self._address}"

    @property
    def _scheme(self) -> str:
        return "http" if self._certificate is None else "https"

    @property
    def _address(self) -> str:
        return f"{'127.0.0.1' if self._certificate is None else 'localhost'}:{self.ports[0]}"

    def configure(self) -> None:
        """Write squid.conf, and the password file where one is needed."""
        auth = "http_access allow all"
        if self._user is not None:
            # squid's helper takes the classic hash; openssl writes one.
            hashed = subprocess.run(
                ["openssl", "passwd", "-apr1", self._password],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            (self.folder / "passwords").write_text(f"{self._user}:{hashed}\n")
            auth = _SQUID_AUTH.format(helper="/usr/lib/squid/basic_ncsa_auth", folder=self.folder)
        listen = f"http_port 127.0.0.1:{self.ports[0]}"
        if self._certificate is not None:
            chain, key = self._certificate
            listen = f"https_port 127.0.0.1:{self.ports[0]} tls-cert={chain} tls-key={key}"
        text = _SQUID.format(listen=listen, folder=self.folder, auth=auth)
        (self.folder / "squid.conf").write_text(text)

    def command(self) -> list[str]:
        """Squid as a single process in the foreground."""
        return [self._program, "-N", "-f", str(self.folder / "squid.conf")]

    def log(self, about: str, requests: int = 0) -> list[str]:
        """The complete lines of the access log with `about` in them: method, target, status, head.

        Args:
            about: What no other test asks for: squid writes a line when the connection or the
                response has ended, so lines of other tests may still come.
            requests: Wait until so many are logged.
        """
        path = self.folder / "access.log"

        def lines() -> list[str]:
            texts = path.read_text().split("\n")[:-1] if path.exists() else []
            return [line for line in texts if about in line]

        poll(lambda: len(lines()) >= requests, f"{requests} lines about {about} in the log")
        return lines()


_DANTE = """
logoutput: {folder}/dante-output
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""


class Dante(ServerProgram):
    """dante, a SOCKS4 and SOCKS5 server without a password."""

    name = "dante"

    def __init__(self) -> None:
        self._program = require_program("danted", "dante-server")
        super().__init__()

    def url(self, scheme: str = "socks5h") -> str:
        """The proxy's URL."""
        return f"{scheme}://127.0.0.1:{self.ports[0]}"

    def configure(self) -> None:
        """Write danted.conf."""
        text = _DANTE.format(port=self.ports[0], folder=self.folder)
        (self.folder / "danted.conf").write_text(text)

    def command(self) -> list[str]:
        """Dante in the foreground."""
        return [
            self._program,
            "-f",
            str(self.folder / "danted.conf"),
            "-p",
            str(self.folder / "pid"),
        ]


class Microsocks(ServerProgram):
    """microsocks, a SOCKS5 server that asks for a name and password."""

    name = "microsocks"

    def __init__(self, user: str = "user", password: str = "secret") -> None:
        self._program = require_program("microsocks", "microsocks")
        super().__init__()
        self.user, self.password = user, password

    def url(self, scheme: str = "socks5h") -> str:
        """The proxy's URL with the right credentials."""
        return f"{scheme}://{self.user}:{self.password}@127.0.0.1:{self.ports[0]}"

    def configure(self) -> None:
        """Nothing: all is on the command line."""

    def command(self) -> list[str]:
        """Microsocks with its one user."""
        where = ["-i", "127.0.0.1", "-p", str(self.ports[0])]
        return [self._program, *where, "-u", self.user, "-P", self.password]
