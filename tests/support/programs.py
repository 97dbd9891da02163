"""Real server programs in a folder of their own: finding, starting, awaiting, stopping."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

PATIENCE_SECONDS = 20.0


def require_program(name: str, package: str, *, folders: Iterable[str] = ()) -> str:
    """The path of a server program, from `PATH`, the system's folders or `folders`.

    Skips the test, saying what to install, when there is none; where `POOLEDHTTP_CI` is 1 every
    program has to be there, and the test fails instead.
    """
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *folders]
    found = shutil.which(name, path=":".join(places))
    if found:
        return found
    reason = f"{name} is not installed (Debian: apt-get install {package})"
    if os.environ.get("POOLEDHTTP_CI") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A loopback port without a listener at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def poll(happened: Callable[[], bool], what: str) -> None:
    """Look until something that another process does has happened.

    Raises:
        AssertionError: It has not after `PATIENCE_SECONDS`.
    """
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if happened():
            return
        pause.wait(0.02)
    raise AssertionError(f"{what} did not happen in {PATIENCE_SECONDS} s")


def _listens(session: int, port: int) -> bool:
    """Whether a process of a session listens on a port; True where `/proc` does not say."""
    try:
        tables = [Path(name).read_text() for name in ("/proc/net/tcp", "/proc/net/tcp6")]
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    # Columns: 1 is address:port in hexadecimal, 3 the state (0A listens), 9 the socket's inode.
    wanted = {f"socket:[{r[9]}]" for r in rows if r[3] == "0A" and r[1].endswith(f":{port:04X}")}
    for process in processes:
        with contextlib.suppress(OSError):
            if os.getsid(process) == session:
                folder = f"/proc/{process}/fd"
                for name in os.listdir(folder):
                    with contextlib.suppress(OSError):
                        if os.readlink(f"{folder}/{name}") in wanted:
                            return True
    return False


class ServerProgram:
    """One program that listens on loopback ports, with its files in a folder that is removed.

    A subclass writes its configuration in `configure` and names the command line in `command`.
    Between `stop` and `start` the ports stay the same, so a restart looks like one to clients.
    """

    name = "server"
    ports_needed = 1
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        # Not pytest's own folder: only its owner may enter that, and a worker may be another.
        self.folder = Path(tempfile.mkdtemp(prefix=f"pooledhttp-{self.name}-"))
        self.folder.chmod(0o755)
        self.ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self) -> None:
        """Write what the program reads; called whenever the ports are new."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The command line, which must stay in the foreground."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Start on fresh ports; take others if another process was faster."""
        for attempt in range(5):
            self.ports = [free_port() for _ in range(self.ports_needed)]
            self.configure()
            try:
                self.start()
                break
            except AssertionError:
                self.stop()
                if attempt == 4:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Stop and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and return when every port accepts."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        poll(self._is_ready, f"start of {self.name}")

    def stop(self) -> None:
        """Stop now; connections are cut."""
        process, self._process = self._process, None
        if process is None:
            return
        # The whole session: workers must not outlive a master that dies.
        for number in (self.stop_signal, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's main process."""
        assert self._process is not None
        self._process.send_signal(number)

    def output(self) -> str:
        """Everything the program has printed and logged as errors."""
        texts = [path.read_text(errors="replace") for path in sorted(self.folder.glob("*output*"))]
        return "\n".join(texts)

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended at once:\n{self.output()}")
        for port in self.ports:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
        # A port that was free a moment ago may be another suite's by now, and its server accepts.
        return all(_listens(self._process.pid, port) for port in self.ports)
