"""For pytest: `requests` means pooledhttp in the whole test run.

    pytest -p pooledhttp.as_requests
    addopts = -p pooledhttp.as_requests         in the ini file

pytest imports a plugin that is named by `-p` before any other one, and calls the hook below then.
So mocks such as `responses` and `requests_mock`, and the program itself, find pooledhttp under the
name of requests. An option that is read later would be too late: another plugin may have imported
requests by then.
"""

from __future__ import annotations

import sys
import warnings

from pooledhttp import dropin
from pooledhttp.exceptions import MixedImportWarning

__all__ = ["pytest_plugin_registered"]


def pytest_plugin_registered() -> None:
    """Install the alias; the first call is for this plugin itself."""
    if dropin.is_installed():
        return
    if "requests" in sys.modules:
        warnings.warn(
            "requests was imported before pooledhttp.as_requests: what has imported it keeps it."
            " Name the plugin first, by `-p pooledhttp.as_requests`.",
            MixedImportWarning,
            stacklevel=2,
        )
    dropin.install()
