"""A clean environment for every test, and what tests of all rooms share."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.runtimes import (  # noqa: F401  # pytest finds them here
    pytest_generate_tests,
    pytest_pyfunc_call,
    runtime_kind,
)

HERE = Path(__file__).parent

_LEAKING = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
)


def _clean_environment() -> None:
    """Take out of the environment what changes how a client behaves.

    Done on import, before any fixture of any scope: a proxy or a CA bundle of the machine must
    not reach a server or a process that a fixture starts, either.
    """
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in _LEAKING:
            del os.environ[name]
    os.environ["NETRC"] = os.devnull
    # Tests start some hundred interpreters: without compiled modules each takes 0.1 s longer, and
    # pytest rewrites the assertions of all tests in each run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


_clean_environment()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run all tests in three processes; the tests of one file stay in one of them.

    Three, because tests wait as well: two processes leave two cores idle a quarter of the time.

    A run of some files or names stays in one process, which starts sooner. So does a run of the
    long tests, which keep both cores busy themselves. `-n 0` and other options of pytest-xdist say
    what they say elsewhere, and without pytest-xdist there is one process.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # those processes call this, too
        return
    option = config.option
    is_whole = all(Path(name).resolve() == HERE for name in config.args)
    is_selected = option.keyword or "not long" not in option.markexpr
    is_alone = option.usepdb or option.collectonly or (os.cpu_count() or 1) < 2
    is_set = getattr(option, "numprocesses", 0) is not None or option.dist != "no"
    if is_whole and not (is_selected or is_alone or is_set):
        option.numprocesses = 3
        option.dist = "loadfile"


def pytest_configure() -> None:
    """Take SIGINT back where the parent ignores it, as the shell does for background jobs.

    A program that is started with SIGINT ignored keeps it ignored, and so do its children: tests
    that interrupt one would wait for nothing.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples in every run, and no clock that judges them: a default run must not fail by luck
# or on a busy machine. What looks for news, with `-m long`, asks for other examples each time.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that go through a SOCKS proxy where the extra `socks` is not installed.

    They say so in their names or parameters: many are one scheme among others of a general test.
    """
    if importlib.util.find_spec("socksio") is None:
        skip = pytest.mark.skip(reason="needs socksio: pip install 'pooledhttp[socks]'")
        for item in items:
            names = (item.name, *getattr(item, "fixturenames", ()))
            if any(re.search("socks[45]|dante|microsocks", name) for name in names):
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Keep the collector from walking thousands of collected tests each time it is called."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A throw-away CA: `bundle` is its file, `server_context(...)` makes a context."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def no_fd_leak() -> Iterator[None]:
    """Fail a test that leaves more descriptors open than it found."""
    before = open_descriptors()
    yield
    left = wait_until_closed(before)
    assert not left, f"descriptors left open: {left}"
