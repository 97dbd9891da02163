"""A real PostgreSQL with an empty database, without passwords, on a loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tests.support.programs import ServerProgram, require_program


class Postgres(ServerProgram):
    """PostgreSQL in a folder of its own; `address` leads to it.

    The server refuses to run as root, so root starts it as the user that Debian's package makes.
    """

    name = "postgres"

    def __init__(self) -> None:
        # Debian puts the programs into a folder for each version, outside of PATH.
        folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        self._program = require_program("postgres", "postgresql", folders=folders)
        super().__init__()
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    @property
    def address(self) -> str:
        """What a driver connects to."""
        return f"postgresql://tester@127.0.0.1:{self.ports[0]}/postgres"

    def configure(self) -> None:
        """Make the files of the database."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        initdb = str(Path(self._program).resolve().with_name("initdb"))
        options = ["-U", "tester", "-A", "trust", "--no-sync", "--no-instructions", "-E", "UTF8"]
        subprocess.run(
            [*self._as_user, initdb, "-D", str(self.folder / "data"), *options],
            check=True,
            capture_output=True,
            cwd=self.folder,
        )

    def command(self) -> list[str]:
        """Without syncs, and without a Unix socket outside the folder."""
        places = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-h", "127.0.0.1"]
        return [*self._as_user, self._program, *places, "-p", str(self.ports[0]), "-F"]
