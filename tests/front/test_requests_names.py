"""Names that programs take from modules of requests, where those only import them."""

from __future__ import annotations

import importlib
import types
import typing

import pytest

import pooledhttp
from tests.support.commands import run_python

MODULES = ("adapters", "auth", "cookies", "models", "sessions", "structures", "utils")

#: What only the annotations and the insides of requests need.
INSIDES = {
    *("_t", "_D", "_KT", "_VT", "_CookieJarT", "_SupportsItems", "_SupportsRead", "_is_prepared"),
    *("_null", "_null2", "_null3", "_validate_header_part", "_urllib3_request_context"),
    *("_HEADER_VALIDATORS_BYTE", "_HEADER_VALIDATORS_STR"),
    *("Generator", "Iterable", "Iterator", "annotations"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_the_names_of_that_of_requests(name: str) -> None:
    """`requests.utils.quote`, `requests.adapters.SSLError`, `requests.models.complexjson`, ..."""
    theirs = importlib.import_module(f"requests.{name}")
    ours = importlib.import_module(f"pooledhttp.{name}")
    for each, value in vars(theirs).items():
        if each.startswith("__") or each in INSIDES or hasattr(typing, each):
            continue
        found = getattr(ours, each)
        is_of_requests = getattr(value, "__module__", "").partition(".")[0] == "requests"
        if isinstance(value, types.ModuleType) and not is_of_requests:
            assert found is value or value.__name__.startswith("requests"), each


def test_other_names_are_no_attributes() -> None:
    """A misspelled name is an error that names the module."""
    with pytest.raises(AttributeError, match=r"module 'pooledhttp\.utils' has no attribute 'qote'"):
        pooledhttp.utils.qote  # type: ignore[attr-defined]  # noqa: B018


def test_a_program_takes_quote_from_utils() -> None:
    """As `import requests` finds it under the alias, too."""
    code = (
        "from pooledhttp import dropin; dropin.install()\n"
        "import requests; from requests.utils import quote, urlparse\n"
        "from requests.adapters import SSLError\n"
        "is_same = SSLError is requests.exceptions.SSLError\n"
        "print(quote('a b'), requests.utils.unquote('%20x'), is_same)"
    )
    assert run_python("-c", code).stdout.split("\n")[0] == "a%20b  x True"
