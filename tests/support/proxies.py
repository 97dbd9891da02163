"""Real proxies: squid (forward and CONNECT, with or without a password) and SOCKS servers."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.support.programs import ServerProgram, require_program

_SQUID = """
http_port 127.0.0.1:{port}
visible_hostname test
pid_filename none
cache_log {folder}/cache-output
access_log stdio:{folder}/access.log
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
        user: With a name every request needs it; None lets everybody in.
        password: That user's.
    """

    name = "squid"

    def __init__(self, user: str | None = None, password: str = "") -> None:
        self._program = require_program("squid", "squid")
        super().__init__()
        self._user, self._password = user, password
        if os.geteuid() == 0:
            # squid gives up root at once, and must still be able to write here.
            shutil.chown(self.folder, "proxy", "proxy")

    @property
    def url(self) -> str:
        """The proxy's URL without credentials."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def url_with(self, user: str, password: str) -> str:
        """The proxy's URL with credentials."""
        return f"http://{user}:{password}@127.0.0.1:{self.ports[0]}"

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
        text = _SQUID.format(port=self.ports[0], folder=self.folder, auth=auth)
        (self.folder / "squid.conf").write_text(text)

    def command(self) -> list[str]:
        """Squid as a single process in the foreground."""
        return [self._program, "-N", "-f", str(self.folder / "squid.conf")]

    def log(self) -> list[str]:
        """The access log's lines."""
        path = self.folder / "access.log"
        return path.read_text().splitlines() if path.exists() else []


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
