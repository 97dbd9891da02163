"""What is conspicuous in a run: slow hosts, failing hosts, files that are probably wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pooledhttp.bulk import JobRecord

__all__ = ["Insight"]

#: So many of each kind are told.
_MOST_TOLD = 5

#: Files of these kinds never are pages of HTML.
_NO_PAGES = frozenset(
    ".pdf .jpg .jpeg .png .gif .webp .tif .tiff .zip .gz .tgz .bz2 .xz .zst .7z .rar .tar .mp3 .mp4"
    " .mov .webm .wav .flac .exe .iso .dmg .doc .docx .xls .xlsx .ppt .pptx .epub .parquet .whl"
    " .csv .json".split()
)

#: Pages that stand for a file are small.
_LARGEST_PAGE = 512 * 1024
_STARTS = (b"<!doctype html", b"<html")


@dataclass(slots=True)
class _Host:
    jobs: int = 0
    failed: int = 0
    timed: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    size: int = 0


class Insight:
    """Takes in one record after the other.

    Args:
        directory: Where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hosts: dict[str, _Host] = {}
        self._suspicious: list[dict[str, str]] = []
        self._suspicious_count = 0
        self._waited = self._on_the_wire = 0.0

    def add(self, job: JobRecord) -> None:
        """Take a record in."""
        host = self._hosts.setdefault(job.host or "(no host)", _Host())
        host.jobs += 1
        host.failed += job.error is not None and not job.ok
        if job.started is not None and job.ended is not None:
            seconds = max((job.ended - job.started).total_seconds(), 0.0)
            waited = min(job.waited, seconds)
            self._waited += waited
            self._on_the_wire += seconds - waited
            if job.ok:
                host.timed += 1
                host.seconds += seconds - waited
                host.waited += waited
                host.size += job.size or 0
        if not job.ok or job.name is None:
            return
        reason = self._suspicion(job.name, job.size)
        if reason is not None:
            self._suspicious_count += 1
            if len(self._suspicious) < _MOST_TOLD:
                self._suspicious.append({"name": job.name, "url": job.url, "reason": reason})

    def summary(self) -> dict[str, Any]:
        """Return what stands out, for `--json`."""
        timed = [(name, host) for name, host in self._hosts.items() if host.timed]
        timed.sort(key=lambda item: -item[1].seconds / item[1].timed)
        worst = [(name, host) for name, host in self._hosts.items() if host.failed]
        worst.sort(key=lambda item: (-item[1].failed / item[1].jobs, -item[1].failed))
        return {
            "seconds_waited": round(self._waited, 3),
            "seconds_on_the_wire": round(self._on_the_wire, 3),
            "slowest": [
                {
                    "host": name,
                    "seconds": round(host.seconds / host.timed, 3),
                    "waited": round(host.waited / host.timed, 3),
                    "bytes_per_second": round(host.size / host.seconds) if host.seconds else None,
                }
                for name, host in timed[:_MOST_TOLD]
            ],
            "worst": [
                {"host": name, "failed": host.failed, "jobs": host.jobs}
                for name, host in worst[:_MOST_TOLD]
            ],
            "suspicious": {"count": self._suspicious_count, "first": self._suspicious},
        }

    def _suspicion(self, name: str, size: int | None) -> str | None:
        if size == 0:
            return "empty"
        suffix = os.path.splitext(name)[1].lower()
        if suffix in _NO_PAGES and (size or 0) <= _LARGEST_PAGE and self._is_page(name):
            return f"a page of HTML under {suffix}"
        return None

    def _is_page(self, name: str) -> bool:
        try:
            fd = os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        with os.fdopen(fd, "rb") as file:
            start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return start.startswith(_STARTS)
