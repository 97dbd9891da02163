"""`python -m pooledhttp` is the `pooledhttp` command."""

from __future__ import annotations

import sys

from pooledhttp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
