"""The name and version of this package, under the names that requests uses.

`__version__` is this package's own. `__build__` is the number of the requests release whose
behaviour is followed, in requests' spelling (two hexadecimal digits for each part), because
libraries compare it to learn what they may rely on.
"""

from __future__ import annotations

__title__ = "pooledhttp"
__description__ = "A drop-in for requests over its own connection pool."
__url__ = "https://pypi.org/project/pooledhttp/"
__version__ = "0.1.0"
__build__ = 0x023402
__author__ = "The pooledhttp authors"
__author_email__ = ""
__license__ = "Apache-2.0"
__copyright__ = "Copyright The pooledhttp authors"
__cake__ = "\u2728 \U0001f370 \u2728"
