"""Gives each new job a name: the first free one of its candidates.

A name is free when no other job has it, no directory of another job's name is in its way, and no
file stands there that the run may not replace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.names import candidates, folded, given_name, last_name, marked_name
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.plain_lines import PlainLines

__all__ = ["Claims"]

#: Directories that are known to be in the journal, so that it is not asked for each name.
_FOLDERS_REMEMBERED = 10_000

#: No later batch is much larger than one with this many lines.
_LARGE_BATCH = 4096


class Claims:
    """The names in a directory; only the thread that reads the input uses it.

    Args:
        options: How jobs are named, and what may be replaced.
        journal: The names of earlier jobs.
        folder: The files in the directory.
    """

    def __init__(self, options: Options, journal: Journal, folder: RunFolder) -> None:
        self.options = options
        self.journal = journal
        self.folder = folder
        self._known_folders: set[str] = set()
        #: What stands in the directory, as `folded` gives it, while a batch is registered.
        self._standing: set[str] | None = None
        self._is_large = False

    @contextmanager
    def batch(self, lines: int) -> Iterator[None]:
        """Read the names of the files in the directory once, for a batch of lines.

        To ask for each name costs 5 us, so a list pays unless the directory has many more files
        than the batch has lines. A run only adds files: a directory that is too large stays so.
        """
        if not self._is_large:
            names = self.folder.names(2 * lines + 64)
            self._is_large = names is None and lines >= _LARGE_BATCH
            self._standing = None if names is None else {folded(name) for name in names}
        try:
            yield
        finally:
            self._standing = None

    def plain_lines(self, items: Sequence[object]) -> PlainLines | None:
        """Return the items of a batch in columns; None where each has to be looked at by itself."""
        options, standing = self.options, self._standing
        if options.naming is not last_name or options.shard is not None or standing is None:
            return None
        return PlainLines(items, options.reserved, standing)

    def claim(self, job: Job, identity: str) -> tuple[str, str]:
        """Return a name that no other job has, and no foreign file; and what `folded` makes of it.

        Raises:
            ValueError: None is free.
        """
        plain = self.options.naming(job) if job.name is None else given_name(job.name)
        return self.claim_name(plain, identity)

    def claim_name(self, plain: str, identity: str) -> tuple[str, str]:
        """Return the plain name, or one with the mark of the identity if that is not free.

        Raises:
            ValueError: None is free.
        """
        if self.options.shard is not None:
            plain = marked_name(plain, identity.encode("utf-8", "surrogatepass"))
        if "/" in plain:
            plain = self._free_folders(plain)
        key = folded(plain)
        if self._is_free(plain, key):  # as nearly every name is
            self._note_folders(plain)
            return plain, key
        for name in candidates(plain, identity.encode("utf-8", "surrogatepass")):
            key = folded(name)
            if self._is_free(name, key):
                self._note_folders(name)
                return name, key
        raise ValueError(f"no name is free for {plain!r}")

    def _is_free(self, name: str, key: str) -> bool:
        # In the order of what the questions cost.
        options, journal = self.options, self.journal
        if key in options.reserved or journal.is_name_taken(key):
            return False
        if journal.has_folders and self._is_folder(key):
            return False
        if self._standing is not None and key.partition("/")[0] not in self._standing:
            return True
        if self.folder.is_free(name):
            return True
        size = self.folder.size_of(name)
        return size is None or (size >= 0 and (options.overwrite or options.adopt))

    def _free_folders(self, name: str) -> str:
        """Return the name with directories none of which is the file of another job."""
        *folders, last = name.split("/")
        path = ""
        for folder in folders:
            candidate = wanted = f"{path}{folder}"
            for candidate in candidates(wanted, f"{wanted}/".encode()):
                if self._is_folder(folded(candidate)):
                    break
                if not self.journal.is_name_taken(folded(candidate)):
                    size = self.folder.size_of(candidate)
                    if size is None or self._is_real_folder(candidate):
                        break
            path = f"{candidate}/"
        return path + last

    def _is_real_folder(self, name: str) -> bool:
        found = self.folder.path / name
        return found.is_dir() and not found.is_symlink()

    def _is_folder(self, key: str) -> bool:
        if key in self._known_folders:
            return True
        return self.journal.is_folder(key)

    def _note_folders(self, name: str) -> None:
        at = name.find("/")
        while at >= 0:
            key = folded(name[:at])
            if key not in self._known_folders:
                if not self.journal.is_folder(key):
                    self.journal.add_folder(key)
                if len(self._known_folders) >= _FOLDERS_REMEMBERED:
                    self._known_folders.clear()
                self._known_folders.add(key)
            at = name.find("/", at + 1)
