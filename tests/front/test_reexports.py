"""Re-export modules: names that users import and patch, and the libraries under other names."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from types import ModuleType
from unittest import mock

import idna
import pytest
import requests
import urllib3

from pooledhttp import _internal_utils, certs, compat, help, packages, utils
from pooledhttp._internal_utils import share_patches
from pooledhttp.network import proxies


@pytest.mark.parametrize(
    "name", ["utils", "compat", "certs", "hooks", "cookies", "auth", "structures"]
)
def test_every_public_name_of_requests_module_is_there(name: str) -> None:
    """Functions and classes under the names requests has them by."""
    theirs = importlib.import_module(f"requests.{name}")
    ours = importlib.import_module(f"pooledhttp.{name}")
    own = {
        key
        for key, value in vars(theirs).items()
        if not key.startswith("_") and getattr(value, "__module__", "") == f"requests.{name}"
    }
    assert {key for key in own if not hasattr(ours, key)} == set()


def test_a_patched_name_takes_effect_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through monkeypatch, and undone after."""
    before = proxies.proxy_bypass
    with monkeypatch.context() as patch:
        patch.setattr("pooledhttp.utils.proxy_bypass", lambda host: host == "direct")
        assert utils.should_bypass_proxies("http://direct/", None)
    assert proxies.proxy_bypass is before is utils.proxy_bypass


def test_mock_patches_through_a_door() -> None:
    """Functions, constants, and what is called by other helpers."""
    with mock.patch("pooledhttp.utils.getproxies", return_value={"http": "p"}):
        assert utils.get_environ_proxies("http://a/") == {"http": "p"}
    with mock.patch("pooledhttp.utils.getproxies_environment"):
        assert proxies.getproxies_environment is utils.getproxies_environment
    with mock.patch.object(utils, "parse_dict_header") as parse:
        utils.parse_dict_header("x")
        parse.assert_called_once_with("x")
    assert proxies.getproxies is utils.getproxies


def test_a_door_hands_on_promised_names_only() -> None:
    """Names of its `__all__` that a owner has under the same name; the rest stays its own."""
    owner, reexport = ModuleType("tests.owner"), ModuleType("tests.reexport")
    vars(owner).update(shared=1, other=[1], unpromised=2)
    vars(reexport).update(shared=1, other=[2], unpromised=2, __all__=["shared", "other"])
    with mock.patch.dict(sys.modules, {"tests.reexport": reexport}):
        share_patches("tests.reexport", owner)
    reexport.shared = reexport.other = reexport.unpromised = reexport.new = "set"  # type: ignore[attr-defined]
    assert vars(owner)["shared"] == "set"
    assert (
        vars(owner)["other"] == [1] and vars(owner)["unpromised"] == 2 and "new" not in vars(owner)
    )
    del reexport.shared
    assert "shared" not in vars(owner) and not hasattr(reexport, "shared")
    reexport.shared = 1
    assert vars(owner)["shared"] == 1


def test_the_internal_names_are_there() -> None:
    """`_internal_utils` keeps what libraries took from it."""
    assert _internal_utils.to_native_string(b"a") == "a"
    assert not _internal_utils.unicode_is_ascii("\u00fc")
    assert _internal_utils.HEADER_VALIDATORS is utils.HEADER_VALIDATORS


def test_compat_has_what_requests_has() -> None:
    """Each public name, with the same value unless it is their own."""
    public = {key for key in vars(requests.compat) if not key.startswith("_")}
    assert {key for key in public if not hasattr(compat, key)} <= {
        "annotations",
        "importlib",
        "sys",
        "urllib3_version",
        "ModuleType",
    }
    assert compat.chardet is requests.compat.chardet
    assert compat.basestring == (str, bytes) and compat.urlparse is requests.compat.urlparse
    with pytest.raises(AttributeError):
        _ = compat.nothing


def test_packages_are_the_installed_libraries() -> None:
    """Attributes and imports give the very modules, which stay themselves."""
    assert packages.urllib3 is urllib3 and packages.idna is idna
    assert packages.chardet is compat.chardet
    manager = importlib.import_module("pooledhttp.packages.urllib3.poolmanager")
    assert manager is urllib3.poolmanager
    assert sys.modules["pooledhttp.packages.urllib3.exceptions"] is urllib3.exceptions
    with pytest.raises(AttributeError):
        _ = packages.nothing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pooledhttp.packages.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pooledhttp.packages.urllib3.nothing")


def test_a_submodule_loaded_later_is_no_second_copy() -> None:
    """A module that was not imported yet is imported under its own name and keeps its spec."""
    script = (
        "import sys, pooledhttp.packages as p\n"
        "assert 'charset_normalizer' not in sys.modules, 'loaded for nothing'\n"
        "import pooledhttp.packages.urllib3.contrib\n"
        "from pooledhttp.packages.chardet import api\n"
        "import pooledhttp.packages.idna.core as c\n"
        "import urllib3.contrib, charset_normalizer.api, idna.core\n"
        "assert p.urllib3.contrib is urllib3.contrib\n"
        "assert api is charset_normalizer.api and c is idna.core\n"
        "assert api.__spec__.name == 'charset_normalizer.api', api.__spec__\n"
        "assert c.__name__ == c.__spec__.name == 'idna.core'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_names_everything_that_takes_part(capsys: pytest.CaptureFixture[str]) -> None:
    """All keys of requests' report, and ours; missing libraries have an empty version."""
    from requests.help import info as their_info

    assert their_info().keys() <= help.info().keys()
    help.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["pooledhttp"]["version"] and printed["h11"]["version"]
    with mock.patch("pooledhttp.help.idna", new=None):
        assert help.info()["idna"] == {"version": ""}
    assert help.info()["idna"]["version"] == idna.__version__


def test_where_is_certifis_bundle() -> None:
    """The same file requests trusts."""
    assert certs.where() == requests.certs.where() == utils.DEFAULT_CA_BUNDLE_PATH
