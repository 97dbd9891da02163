"""For pytest: `--pooledhttp-leaks` fails a test that leaks a response.

    pytest --pooledhttp-leaks            or  pooledhttp_leaks = true  in the ini file

A response that is neither read to its end nor closed holds a connection that no other request can
use. A test that leaks one is reported:

    it drops one unread                             the test fails
    it still has one after its fixtures are gone    an error at its teardown

The report names the line that sent the request. A response that a fixture opened before the test
began may stay open, as it may belong to the whole module. A test that failed is not checked, since
its traceback keeps everything alive. A test that leaks on purpose is marked
`@pytest.mark.pooledhttp_leaks_allowed`.

pytest finds the plugin through the package's entry point. Without the option it does nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from pooledhttp.pool import LeakedLease, lease_tracker

__all__ = ["LeakCheck", "pytest_addoption", "pytest_configure"]

_ALLOWED = "pooledhttp_leaks_allowed"
_OPTION = "pooledhttp_leaks"

_has_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    text = "fail tests that neither read a response of pooledhttp to its end nor close it"
    parser.getgroup("pooledhttp").addoption("--pooledhttp-leaks", action="store_true", help=text)
    parser.addini(_OPTION, text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Start the check if the option is given."""
    config.addinivalue_line("markers", f"{_ALLOWED}: may leak responses of pooledhttp")
    if config.getoption(_OPTION) or config.getini(_OPTION):
        lease_tracker.start()
        config.add_cleanup(lease_tracker.stop)
        config.pluginmanager.register(LeakCheck(), "pooledhttp-leak-check")


class LeakCheck:
    """Checks before and after each step of a test."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Forget the responses of earlier tests."""
        lease_tracker.begin()
        item.stash[_has_failed] = item.get_closest_marker(_ALLOWED) is not None
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test that drops a response."""
        lease_tracker.begin_scope()
        try:
            result = yield
        except BaseException:
            item.stash[_has_failed] = True
            raise
        self._judge(item, wants_held=False)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test that still has a response when its fixtures are gone."""
        result = yield
        self._judge(item, wants_held=True)
        return result

    def _judge(self, item: pytest.Item, *, wants_held: bool) -> None:
        if item.stash.get(_has_failed, True):
            return
        if lease_tracker.held():
            gc.collect()  # a response that only a reference cycle keeps alive was dropped
        leaked = lease_tracker.dropped() + (lease_tracker.held() if wants_held else [])
        if leaked:
            item.stash[_has_failed] = True
            pytest.fail(_describe(leaked), pytrace=False)


def _describe(leaked: list[LeakedLease]) -> str:
    lines = "\n".join(f"    {lease}" for lease in leaked)
    return f"Responses were neither read to their end nor closed:\n{lines}"
