"""For pytest: `--pooledhttp-leaks` fails a test that leaks a response.

    pytest --pooledhttp-leaks            or  pooledhttp_leaks = true  in the ini file

A response that is neither read to its end nor closed keeps a connection from everybody else. A test
fails if it

    drops one unread                             the test fails
    still has one after its fixtures are gone    an error at its teardown

and the report names the line that sent the request. What a fixture opened before the test began may
stay open: it may belong to the whole module. Of a test that failed anyway nothing is asked, since
its traceback keeps everything alive. A test that leaks on purpose is marked
`@pytest.mark.pooledhttp_leaks_allowed`.

The plugin is found by pytest through the package's entry point, and does nothing unless asked.
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
    """Make the option known."""
    text = "fail tests that neither read a response of pooledhttp to its end nor close it"
    parser.getgroup("pooledhttp").addoption("--pooledhttp-leaks", action="store_true", help=text)
    parser.addini(_OPTION, text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to look, if asked to."""
    config.addinivalue_line("markers", f"{_ALLOWED}: may leak responses of pooledhttp")
    if config.getoption(_OPTION) or config.getini(_OPTION):
        lease_tracker.start()
        config.add_cleanup(lease_tracker.stop)
        config.pluginmanager.register(LeakCheck(), "pooledhttp-leak-check")


class LeakCheck:
    """What is asked before and after each step of a test."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """What earlier tests left behind is not this one's fault."""
        lease_tracker.begin()
        item.stash[_has_failed] = item.get_closest_marker(_ALLOWED) is not None
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The test itself must not drop a response."""
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
        """Nor must it still have one when its fixtures are gone."""
        result = yield
        self._judge(item, wants_held=True)
        return result

    def _judge(self, item: pytest.Item, *, wants_held: bool) -> None:
        if item.stash.get(_has_failed, True):
            return
        if lease_tracker.held():
            gc.collect()  # what only a circle of references keeps alive was dropped
        leaked = lease_tracker.dropped() + (lease_tracker.held() if wants_held else [])
        if leaked:
            item.stash[_has_failed] = True
            pytest.fail(_describe(leaked), pytrace=False)


def _describe(leaked: list[LeakedLease]) -> str:
    lines = "\n".join(f"    {lease}" for lease in leaked)
    return f"Responses were neither read to their end nor closed:\n{lines}"
