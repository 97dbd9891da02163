"""The list of what is not done, which can be the input of the next run.

A line is a URL, a tab and the reason. The list is written to `DIR/.pooledhttp/`, and moved to its
place when it is complete: until then the file that has the name may be the input of this very run.
A list of an earlier run is replaced, and removed when everything is done. A file that is no such
list stays, and the list goes to `DIR/.pooledhttp/` instead. On a full disk it goes to the directory
for temporary files, unless the room of the earlier list suffices.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pooledhttp.bulk.inputs import Source
from pooledhttp.bulk.report import one_line

__all__ = ["FAILURES", "FailureList", "is_failure_list"]

#: The name of the list unless another one is given.
FAILURES = "failures.txt"

#: So much of a file is looked at to tell what it is.
_LOOK_BYTES = 256 * 1024


def is_failure_list(path: Path) -> bool:
    """Whether a file is a list of failures: each line has a tab, or is a comment."""
    try:
        with open(path, "rb") as file:
            lines = file.read(_LOOK_BYTES).split(b"\n")
    except OSError:
        return False
    if len(lines) > 1:
        del lines[-1]  # cut, or empty
    return all(b"\t" in line or not line.strip() or line.startswith(b"#") for line in lines)


class FailureList:
    """The file that lists what is not done: where it goes, and how it is replaced.

    Args:
        path: Its place.
        own_folder: The directory that is ours, for what cannot go there.
        source: The input, if it is a file: that file may be replaced whatever is in it.

    Raises:
        OSError: The directory cannot be written, or the place is a directory.
        FileExistsError: `must_be_ours`, and the file that is there is no list of failures.
    """

    def __init__(
        self,
        path: Path,
        own_folder: Path,
        source: Source | None = None,
        *,
        must_be_ours: bool = False,
    ) -> None:
        self.wanted = path
        self._own_folder = own_folder
        self._is_source = source is not None and source.is_file(path)
        self._is_foreign = (
            os.path.lexists(path)
            and not self._is_source
            and not (_is_file(path) and is_failure_list(path))
        )
        if self._is_foreign and must_be_ours:
            raise FileExistsError(
                f"{path} is there and is no list of failures; choose another name for the list"
            )
        if must_be_ours:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise PermissionError(f"{path.parent} cannot be written, so no list can go there")
        #: Where the list is; None while there is none.
        self.path: Path | None = None

    @property
    def place(self) -> Path:
        """Where the list will go."""
        return self._own_folder / FAILURES if self._is_foreign else self.wanted

    def write(self, lines: Iterable[tuple[str, str]], *, is_complete: bool) -> int:
        """Write the list, or remove the one that is there when nothing is to be listed.

        Args:
            lines: URLs and reasons.
            is_complete: Whether the run came to its end. If not, an older list is kept when there
                is nothing to write.

        Returns:
            The number of lines.

        Raises:
            OSError: It could not be written anywhere.
        """
        count = self._write(lines, self.place)
        if count == 0 and is_complete and not self._is_foreign:
            with suppress(FileNotFoundError):
                self.wanted.unlink()
        return count

    def write_elsewhere(self, lines: Iterable[tuple[str, str]]) -> int:
        """Write the list into the directory for temporary files, when its own disk is full.

        Then the list of an earlier run is of no use any more, and its room may be all that this one
        needs to take its place. One that is the input stays: it is all that the user has.

        Args:
            lines: URLs and reasons.

        Returns:
            The number of lines.

        Raises:
            OSError: It could not be written anywhere.
        """
        folder = Path(tempfile.mkdtemp(prefix="pooledhttp-"))
        complete = folder / FAILURES
        count = self._write(lines, complete)
        if count and not self._is_foreign and not self._is_source:
            with suppress(OSError):  # still no room
                self.wanted.unlink()
                with open(complete, encoding="utf-8") as file:
                    self._write(map(_parted, file), self.wanted)
                shutil.rmtree(folder)
        return count

    def _write(self, lines: Iterable[tuple[str, str]], place: Path) -> int:
        partial = self._partial(place)
        count = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with suppress(FileNotFoundError):
                partial.unlink()  # of a killed run
            with os.fdopen(os.open(partial, flags, 0o666), "w", encoding="utf-8") as file:
                for url, problem in lines:
                    file.write(f"{_url_text(url)}\t{one_line(problem)}\n")
                    count += 1
            if count:
                os.replace(partial, place)
                self.path = place
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()
        return count

    def _partial(self, place: Path) -> Path:
        """Return where a list is written before it is moved to its place.

        In the directory that is ours, where the next run removes what a killed one leaves; beside
        the place if that is on another disk.
        """
        with suppress(OSError):
            if os.stat(self._own_folder).st_dev == os.stat(place.parent).st_dev:
                return self._own_folder / f"{FAILURES}.tmp"
        return place.with_name(f".{place.name}.{os.getpid()}.tmp")


def _parted(line: str) -> tuple[str, str]:
    """Return URL and reason of a line."""
    url, _, problem = line.rstrip("\n").partition("\t")
    return url, problem


def _url_text(url: str) -> str:
    """Return a URL as it can stand in a line: what would end it is percent-encoded."""
    if url.isprintable():
        return url
    return "".join(letter if letter.isprintable() else _percent_encoded(letter) for letter in url)


def _percent_encoded(letter: str) -> str:
    # A byte of a command line that is no UTF-8 stands as half a character, and so may "\ud800" of
    # a list in JSON, which is not such a byte.
    is_byte = "\udc80" <= letter <= "\udcff"
    encoded = letter.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
