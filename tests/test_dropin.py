"""`requests` means pooledhttp while the alias is installed, and not a moment longer."""

from __future__ import annotations

import importlib
import sys

import pytest
import requests as real_requests
import urllib3

import pooledhttp
from pooledhttp import dropin
from tests.support.commands import run_python

SUBMODULES = (
    "adapters api auth certs compat cookies exceptions help hooks models packages sessions "
    "status_codes structures utils _internal_utils"
).split()


def test_the_version_is_that_of_the_release_we_follow() -> None:
    """`requests.__version__` and its like are requests' own facts, ours stay ours."""
    with dropin.installed():
        alias = importlib.import_module("requests")
        facts = importlib.import_module("requests.__version__")
        for name, value in vars(sys.modules["requests.__version__"]).items():
            if name.startswith("__") and name.endswith("__") and isinstance(value, str | int):
                assert getattr(facts, name) == value
        assert (alias.__version__, alias.__build__) == ("2.34.2", 0x023402)
        assert facts.__version__ == "2.34.2"
        assert alias.__name__ == "requests"
    assert (real_requests.__version__, real_requests.__build__) == ("2.34.2", 0x023402)
    assert pooledhttp.__version__ != "2.34.2"


@pytest.mark.parametrize("name", SUBMODULES)
def test_submodules_are_the_very_modules(name: str) -> None:
    """A patch under one name is seen under the other, and specs stay those of pooledhttp."""
    with dropin.installed():
        alias = importlib.import_module(f"requests.{name}")
        ours = importlib.import_module(f"pooledhttp.{name}")
        assert alias is ours
        assert getattr(importlib.import_module("requests"), name) is ours
        assert ours.__spec__ is not None
        assert ours.__spec__.name == f"pooledhttp.{name}"


def test_vendored_names_are_the_real_libraries() -> None:
    """`requests.packages.urllib3.x` is `urllib3.x`, whether it was imported before or not."""
    with dropin.installed():
        for name in ("urllib3", "urllib3.poolmanager", "urllib3.util.retry", "urllib3.filepost"):
            alias = importlib.import_module(f"requests.packages.{name}")
            assert alias is importlib.import_module(name)
        package = importlib.import_module("requests").packages
        assert package.urllib3 is urllib3
        guess = importlib.import_module("requests.packages.chardet")
        assert guess is importlib.import_module("charset_normalizer")


def test_uninstall_restores_the_real_modules() -> None:
    """What was in `sys.modules` before is there after, object for object."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("requests")}
    with dropin.installed():
        assert sys.modules["requests"] is not real_requests
        assert sys.modules["requests"].Session is pooledhttp.Session
    after = {name: module for name, module in sys.modules.items() if name.startswith("requests")}
    assert after == before
    assert not dropin.is_installed()
    dropin.uninstall()


def test_an_outer_install_survives_an_inner_block() -> None:
    """The context manager undoes only what it did."""
    dropin.install()
    try:
        with dropin.installed():
            pass
        assert dropin.is_installed()
    finally:
        dropin.uninstall()


def test_unix_sockets_are_refused_as_in_requests_where_none_is_mounted() -> None:
    """Code for requests may count on it; ours reaches them without a mount."""
    url = "http+unix://%2Fno%2Fsuch.sock/"
    with dropin.installed():
        with pytest.raises(pooledhttp.exceptions.InvalidSchema):
            pooledhttp.get(url)
        with pooledhttp.Session() as session:
            session.mount("http+unix://", pooledhttp.adapters.HTTPAdapter())
            with pytest.raises(pooledhttp.exceptions.ConnectionError):
                session.get(url)
    with pytest.raises(pooledhttp.exceptions.ConnectionError):
        pooledhttp.get(url)


def test_names_set_on_the_alias_stay_there() -> None:
    """`requests.get = ...` is seen through requests and does not reach pooledhttp."""
    with dropin.installed():
        alias = importlib.import_module("requests")
        alias.get = "patched"
        assert importlib.import_module("requests").get == "patched"
        assert pooledhttp.get != "patched"
        with pytest.raises(AttributeError, match="module 'requests' has no attribute 'nothing'"):
            _ = alias.nothing
        with pytest.raises(ModuleNotFoundError, match=r"requests\.nothing"):
            importlib.import_module("requests.nothing")


def test_everything_listed_can_be_had() -> None:
    """Tools that inspect a module find what `requests` has, and import no subpackage."""
    code = (
        "import inspect, sys, requests\n"
        "there = {name for name, _ in inspect.getmembers(requests)}\n"
        "from pooledhttp import dropin\n"
        "dropin.install()\n"
        "import requests\n"
        "here = {name for name, _ in inspect.getmembers(requests)}\n"
        "chance = {'_check_cryptography', '_types', 'ssl', 'warnings', 'DependencyWarning'}\n"
        "chance |= {'charset_normalizer_version', 'chardet_version'}\n"
        "missing = there - here - chance - {'__builtins__', '__cached__'}\n"
        "assert not missing, missing\n"
        "assert 'pooledhttp.bulk' not in sys.modules\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


def test_importing_patches_nothing() -> None:
    """Neither `import pooledhttp` nor `import pooledhttp.dropin` touches `requests`."""
    code = (
        "import sys, pooledhttp, pooledhttp.dropin\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'requests']\n"
        "import requests\n"
        "assert 'pooledhttp' not in requests.__file__, requests.__file__\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
