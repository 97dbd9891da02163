"""Fetching many URLs at once.

```python
from pooledhttp import bulk

for page in bulk.fetch(urls, jobs=32, per_host=6):  # bodies in memory
    print(page.url, page.problem or page.size)

for file in bulk.download(urls, "out"):  # bodies in files; run it again after anything
    print(file.url, file.problem or file.path)
```

`jobs.py` says what to fetch, `pacing.py` which of it may start and `turns.py` in which order,
`engine.py` has workers do it (`backends.py`: on threads or on a loop, as `choosing.py` decides),
and `report.py` tells the outcome; `protocols.py` says what these need of each other.
`fetching.py` does it for `fetch`;
`sinks.py` is for bodies that should not stay in memory. `download.py` stands on `workspace.py`
(what is left to do; `claims.py` gives names, `plain_lines.py` does it for many plain URLs at
once, `leftovers.py` ends what earlier runs began),
`downloader.py` (what a worker does), `direct.py` (plain URLs, and small files by the shortest way),
`transfer.py` (any other file: `asking.py` says what is asked for, `ending.py` is its end,
`disk.py` and `writer.py` reach the disk), `whole_files.py` (stores small files in groups),
`journal.py` (what is remembered, in the file of `database.py` and its `tail.py`) and `folder.py`
(every file that is touched).
`run.py` reads what a directory remembers.

Over an executor `dispatch.py` is the engine: `partition.py` says which worker has which host,
`executors.py` what a worker is, `payloads.py` what goes there and comes back, `item_handlers.py`
what the caller's process does about it. `worker.py` has an engine of the usual kind in each worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.bulk.arguments import check_digest
from pooledhttp.bulk.database import JournalError
from pooledhttp.bulk.download import Download, download, set_journal_aside
from pooledhttp.bulk.failures import FAILURES
from pooledhttp.bulk.fetch import fetch
from pooledhttp.bulk.fetching import DEFAULT_TIMEOUT, Fetch
from pooledhttp.bulk.following import FollowedList
from pooledhttp.bulk.formats import FORMATS, Item, read_urls
from pooledhttp.bulk.inputs import OpenList, Source, Sources, UrlList
from pooledhttp.bulk.jobs import Job, Saved, Sink
from pooledhttp.bulk.lock import DirectoryInUse
from pooledhttp.bulk.names import Naming, UrlNames, naming
from pooledhttp.bulk.options import AnyExecutor, Batches
from pooledhttp.bulk.pacing import HostCounts
from pooledhttp.bulk.partition import Shard
from pooledhttp.bulk.report import DownloadResult, Result, Tally, one_line
from pooledhttp.bulk.resting import HostGivenUp
from pooledhttp.bulk.rows import State
from pooledhttp.bulk.run import JobRecord, Run
from pooledhttp.bulk.sharding import part_of, shard_of
from pooledhttp.bulk.sinks import to_files
from pooledhttp.bulk.stopping import RunStopped
from pooledhttp.loading import load_when_used as _load_when_used

if TYPE_CHECKING:
    from pooledhttp.bulk.payloads import WorkerLost, WorkerMismatch
    from pooledhttp.bulk.processes import Workers

__all__ = [
    # into memory
    "fetch",
    "Fetch",
    "Result",
    "Sink",
    "Saved",
    "to_files",
    "UrlNames",
    # into a directory that remembers
    "download",
    "Download",
    "DownloadResult",
    "Naming",
    "UrlList",
    "FollowedList",
    "Run",
    "set_journal_aside",
    "JobRecord",
    "State",
    # both
    "Job",
    "Tally",
    # over an executor
    "Workers",
    "AnyExecutor",
    "Batches",
    "HostCounts",
    "Shard",
    # errors
    "DirectoryInUse",
    "HostGivenUp",
    "JournalError",
    "RunStopped",
    "WorkerLost",
    "WorkerMismatch",
    # for the command line
    "DEFAULT_TIMEOUT",
    "FAILURES",
    "check_digest",
    "naming",
    "one_line",
    "FORMATS",
    "Item",
    "OpenList",
    "Source",
    "Sources",
    "read_urls",
    "part_of",
    "shard_of",
]

__getattr__ = _load_when_used(
    globals(), {"processes": ("Workers",), "payloads": ("WorkerLost", "WorkerMismatch")}
)
