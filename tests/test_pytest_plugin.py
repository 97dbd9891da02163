"""`--pooledhttp-leaks`, tried on small test files in a pytest of their own."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support.counting import CountingServer

pytest_plugins = ["pytester"]

PREFACE = """
    import gc
    import pytest
    import pooledhttp

    URL = {url!r}
    kept = []

    @pytest.fixture
    def session():
        with pooledhttp.Session() as session:
            yield session
"""


class Files:
    """Writes a test file and runs it."""

    def __init__(self, pytester: pytest.Pytester, url: str) -> None:
        self._pytester = pytester
        self._preface = PREFACE.format(url=url)

    def run(self, code: str, *options: str, apart: bool = False) -> pytest.RunResult:
        self._pytester.makepyfile(self._preface + code)
        run = self._pytester.runpytest_subprocess if apart else self._pytester.runpytest_inprocess
        return run("-p", "pooledhttp.pytest_plugin", "-W", "ignore", *options)


@pytest.fixture
def files(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A place for test files, and a server for them."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # of others that are installed
    with CountingServer() as server:
        yield Files(pytester, server.url())
    with warnings.catch_warnings():  # what the tests there dropped is no later test's affair
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_an_installed_package_brings_it(pytestconfig: pytest.Config) -> None:
    """By its entry point, under which this very run has it."""
    found = [
        one for one in entry_points(group="pytest11") if one.module == "pooledhttp.pytest_plugin"
    ]
    if not found or "PYTEST_DISABLE_PLUGIN_AUTOLOAD" in os.environ:
        pytest.skip("the package is not installed")
    assert pytestconfig.pluginmanager.hasplugin(found[0].name)


DROPS = """
    def test_drops(session):
        session.get(URL, stream=True)

    def test_reads(session):
        assert session.get(URL).ok
"""


def test_a_test_that_drops_a_response_fails(files: Files) -> None:
    """The report names the line; the next test is not blamed."""
    result = files.run(DROPS, "--pooledhttp-leaks")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*neither read to their end nor*", "*http://127.0.0.1:*.py:14 in MainThread: dropped*"]
    )


def test_nothing_happens_without_the_option(files: Files) -> None:
    """The plugin is there, and silent."""
    files.run(DROPS).assert_outcomes(passed=2)


def test_the_ini_file_can_ask_for_it(files: Files, pytester: pytest.Pytester) -> None:
    """For all tests of a project."""
    pytester.makeini("[pytest]\npooledhttp_leaks = true\n")
    files.run(DROPS).assert_outcomes(failed=1, passed=1)


def test_a_circle_of_references_hides_nothing(files: Files, request: pytest.FixtureRequest) -> None:
    """What only the cyclic collector would find is found."""
    request.addfinalizer(gc.enable)  # the test of the file runs in this process
    result = files.run(
        """
    def test_circle(session):
        gc.disable()
        circle = [session.get(URL, stream=True)]
        circle.append(circle)
        """,
        "--pooledhttp-leaks",
    )
    result.assert_outcomes(failed=1)


def test_what_is_still_held_is_an_error_at_teardown(files: Files) -> None:
    """After the fixtures are gone; the test before it is not blamed, nor the one after."""
    result = files.run(
        """
    def test_before(session):
        pass

    def test_keeps(session):
        kept.append(session.get(URL, stream=True))

    def test_after(session):
        pass
        """,
        "--pooledhttp-leaks",
        apart=True,  # what is kept there ends with that process
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_keeps*", "*still held*"])


def test_what_fixtures_close_is_no_leak(files: Files) -> None:
    """Neither what a fixture closes for the test, nor what is the whole module's."""
    result = files.run(
        """
    @pytest.fixture(scope="module")
    def live():
        with pooledhttp.Session() as session, session.get(URL, stream=True) as response:
            yield response

    @pytest.fixture
    def opened(session):
        responses = []
        yield lambda: responses.append(session.get(URL, stream=True))
        for response in responses:
            response.close()

    def test_one(live, opened):
        opened()

    def test_two(live, session):
        with session.get(URL, stream=True) as response:
            assert response.content
        session.get(URL, stream=True).close()
        """,
        "--pooledhttp-leaks",
    )
    result.assert_outcomes(passed=2)


def test_a_test_that_fails_anyway_is_asked_nothing(files: Files) -> None:
    """Its own failure is the one that is shown, and the next test is not blamed for it."""
    result = files.run(
        """
    def test_fails(session):
        response = session.get(URL, stream=True)
        assert response is None

    def test_next(session):
        gc.collect()
        session.get(URL)
        """,
        "--pooledhttp-leaks",
    )
    result.assert_outcomes(failed=1, passed=1)
    assert "nor closed" not in result.stdout.str()


def test_leaking_can_be_allowed(files: Files) -> None:
    """By a marker, which strict markers know."""
    result = files.run(
        """
    @pytest.mark.pooledhttp_leaks_allowed
    def test_on_purpose(session):
        session.get(URL, stream=True)
        """,
        "--pooledhttp-leaks",
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)


def test_other_threads_and_pools_count_as_well(files: Files) -> None:
    """Whichever thread leaked, and from whichever pool."""
    result = files.run(
        """
    import threading

    def test_thread():
        def leak():
            pooledhttp.get(URL, stream=True)
        thread = threading.Thread(target=leak, name="the leaking one")
        thread.start()
        thread.join()
        """,
        "--pooledhttp-leaks",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the leaking one*"])
