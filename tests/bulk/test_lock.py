"""One run in a directory at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pooledhttp.bulk import DirectoryInUse
from pooledhttp.bulk.lock import DirectoryLock
from tests.support.commands import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_second_lock_is_told_who_has_the_first(folder: int) -> None:
    """Process and host; and it is free when it is released."""
    lock = DirectoryLock(folder, "dir")
    with pytest.raises(DirectoryInUse, match="dir is in use by process") as caught:
        DirectoryLock(folder, "dir")
    assert str(os.getpid()) in caught.value.owner and socket.gethostname() in caught.value.owner
    lock.release()
    lock.release()
    DirectoryLock(folder, "dir").release()


def test_the_lock_of_a_dead_process_is_free(folder: int, tmp_path: Path) -> None:
    """However it died."""
    code = (
        "import os, sys; from pooledhttp.bulk.lock import DirectoryLock\n"
        f"lock = DirectoryLock(os.open({str(tmp_path)!r}, os.O_RDONLY), 'dir')\n"
        "print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"has it\n"
        with pytest.raises(DirectoryInUse, match=f"process {process.pid} "):
            DirectoryLock(folder, "dir")
        process.kill()
    DirectoryLock(folder, "dir").release()


@pytest.mark.parametrize("way", ["fork", "program"])
def test_a_child_that_lives_on_does_not_keep_it(folder: int, way: str) -> None:
    """Neither a forked one nor a program that was started with all descriptors."""
    lock = DirectoryLock(folder, "dir")
    ready, done = os.pipe(), os.pipe()
    if way == "fork":
        child = os.fork()
        if not child:  # pragma: no cover
            os.close(done[1])
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    else:
        process = subprocess.Popen(["sleep", "100"], close_fds=False)
    try:
        lock.release()
        DirectoryLock(folder, "dir").release()
    finally:
        if way == "fork":
            os.write(done[1], b"x")
            os.waitpid(child, 0)
        else:
            process.kill()
            process.wait()
        for fd in (*ready, *done):
            os.close(fd)


def test_a_link_is_not_followed(folder: int, tmp_path: Path) -> None:
    """A lock that leads elsewhere would write there."""
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        DirectoryLock(folder, "dir")
    assert not (tmp_path / "precious").exists()
