"""Fetching many URLs at once.

```python
from pooledhttp import bulk

for result in bulk.fetch(urls, jobs=32, per_host=6, timeout=60):
    print(result.url, result.problem or len(result.response.content))

for result in bulk.fetch(urls, sink=bulk.to_files("out")):
    print(result.saved)
```

`jobs.py` says what to fetch, `pace.py` which of it may start, `engine.py` does it, `sinks.py` puts
the bodies away and `report.py` tells the outcome.
"""

from __future__ import annotations

from pooledhttp.bulk.fetching import Fetch, fetch
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.report import Result, Tally
from pooledhttp.bulk.names import UrlNames
from pooledhttp.bulk.sinks import Saved, Sink, to_files

__all__ = ["fetch", "Fetch", "Job", "Result", "Sink", "Saved", "UrlNames", "Tally", "to_files"]
