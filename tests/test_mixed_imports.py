"""requests beside pooledhttp: what is warned of, what happens, and that `dropin` has none of it."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import requests

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.exceptions import MixedImportWarning
from tests.support.commands import run_python
from tests.support.scripted import ScriptedServer, answering, respond


def test_an_adapter_of_requests_is_warned_of_once() -> None:
    """The warning says what it means and what to change, at the line that mounts."""

    class Own(requests.adapters.HTTPAdapter):
        pass

    with pooledhttp.Session() as session:
        adapter: Any = Own()
        with pytest.warns(
            MixedImportWarning, match=r"Own is an adapter of requests.*pooledhttp\.ad"
        ) as seen:
            session.mount("https://", adapter)
        assert seen[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            session.mount("http://", adapter)


def test_other_adapters_are_not() -> None:
    """Ours, and those that have nothing to do with requests."""
    with warnings.catch_warnings(), pooledhttp.Session() as session:
        warnings.simplefilter("error")
        session.mount("https://", HTTPAdapter())
        foreign: Any = type("Foreign", (), {"close": lambda self: None})()
        session.mount("mock://", foreign)


def test_responses_have_another_class() -> None:
    """`isinstance` with the class of requests is false for ours, and the other way round."""
    assert not isinstance(pooledhttp.Response(), requests.Response)
    assert not isinstance(requests.Response(), pooledhttp.Response)


def test_what_the_warning_says_is_true() -> None:
    """Such an adapter does not use the pool, and raises what `except` of ours does not catch."""
    with ScriptedServer(answering(respond(b"x"))) as server, pooledhttp.Session() as session:
        adapter: Any = requests.adapters.HTTPAdapter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session.mount("http://", adapter)
        assert session.get(server.url("/")).content == b"x"
        assert session.pool.stats().total.acquired == 0
    with pooledhttp.Session() as session:
        session.mount("http://", adapter)
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(server.url("/"))
        assert not isinstance(caught.value, pooledhttp.RequestException)


DROPIN = """
from pooledhttp import dropin
dropin.install()
import sys, warnings
warnings.simplefilter("error")
import pooledhttp
from requests.adapters import HTTPAdapter
import requests

url = sys.argv[1]
with pooledhttp.Session() as session:
    session.mount("http://", HTTPAdapter())     # no warning: it is ours
    assert isinstance(session.get(url), requests.Response)
    assert session.pool.stats().total.acquired == 1
try:
    pooledhttp.get("http://127.0.0.1:1/")
except requests.RequestException:               # catches our errors
    print("caught")

from unittest import mock
with mock.patch("requests.adapters.HTTPAdapter.send", side_effect=requests.ConnectionError("mine")):
    try:                                        # a mock of requests meets our calls
        pooledhttp.get(url)
    except pooledhttp.ConnectionError as error:
        print(error)

import a_library                                # its own sessions have the pool
assert a_library.fetch(url) == b"x"
assert type(a_library.session.pool).__name__ == "PoolView"
"""

LIBRARY = """
import requests

session = requests.Session()

def fetch(url):
    return session.get(url).content
"""


def test_nothing_of_it_arises_under_dropin(tmp_path: Path) -> None:
    """Adapters, `except`, `isinstance`, mocks, libraries: each row of the page."""
    (tmp_path / "a_library.py").write_text(LIBRARY)
    with ScriptedServer(answering(respond(b"x"))) as server:
        done = run_python("-c", DROPIN, server.url("/"), cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("caught\nmine\n", "")


MOCKS = """
import pooledhttp, requests

def test_the_alias_is_there():
    assert requests.Session is pooledhttp.Session

def test_responses():
    import responses
    with responses.RequestsMock() as mocked:
        mocked.get("http://no.invalid/a", json=[1])
        assert pooledhttp.get("http://no.invalid/a").json() == [1]

def test_requests_mock(requests_mock):
    requests_mock.get("http://no.invalid/b", text="b")
    assert pooledhttp.Session().get("http://no.invalid/b").text == "b"
"""


def without_other_plugins() -> Iterator[str]:
    """Yield options that leave out plugins which have nothing to do with this: most of the time."""
    for point in entry_points(group="pytest11"):
        if point.name not in ("requests_mock", "pooledhttp"):
            yield from ("-p", f"no:{point.name}")


@pytest.mark.parametrize("where", ["command line", "addopts"])
def test_mocks_work_with_the_pytest_plugin(where: str, tmp_path: Path) -> None:
    """`-p pooledhttp.as_requests` is loaded before the plugin of requests-mock imports requests."""
    for name in ("responses", "requests_mock"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install 'pooledhttp[dev]'")
    (tmp_path / "test_mocks.py").write_text(MOCKS)
    option = "-p pooledhttp.as_requests"
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\n" + (f"addopts = {option}\n" if where == "addopts" else "")
    )
    options = option.split() if where == "command line" else []
    options += ["-p", "no:cacheprovider", *without_other_plugins()]
    done = run_python("-m", "pytest", "-q", *options, cwd=tmp_path)
    assert re.search(r"^3 passed", done.stdout, re.MULTILINE), done.stdout


def test_a_late_plugin_is_warned_of() -> None:
    """What has imported requests before keeps it: nothing could be done any more."""
    program = "import requests; from pooledhttp import as_requests as plugin; plugin.{}()"
    done = run_python("-c", program.format("pytest_plugin_registered"))
    assert "MixedImportWarning: requests was imported before" in done.stderr
