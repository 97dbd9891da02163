"""`__all__` is the promise: it names what is public, and all of that."""

from __future__ import annotations

import ast
import importlib
import types
from itertools import chain
from pathlib import Path

import pytest
import requests

import pooledhttp

PACKAGE = Path(pooledhttp.__file__).parent
SUBPACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
FILES = sorted(
    path.stem for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__")
)


def _bound(path: Path) -> set[str]:
    """Public names a file binds itself: its definitions, and what it takes from the package."""
    names: set[str] = set()
    body = ast.parse(path.read_text()).body
    for node in [*body, *chain.from_iterable(map(_loaded_when_used, body))]:
        if isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").split(".")[0] == "pooledhttp":
                names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def _loaded_when_used(node: ast.stmt) -> list[ast.stmt]:
    """The imports for type checkers: at run time the module's `__getattr__` gives these names.

    `import X as X` marks a name that needs an extra to be installed, and is not promised.
    """
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        return []
    return [
        each
        for each in node.body
        if isinstance(each, ast.ImportFrom) and not any(name.asname for name in each.names)
    ]


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_a_subpackage_exports_all_that_it_binds(subpackage: str) -> None:
    """`__all__` of a subpackage is exactly what its `__init__` binds, modules left out."""
    module = importlib.import_module(f"pooledhttp.{subpackage}")
    public = {
        name
        for name in _bound(PACKAGE / subpackage / "__init__.py")
        if not isinstance(getattr(module, name), types.ModuleType)
    }
    promised = {
        name for name in module.__all__ if not isinstance(getattr(module, name), types.ModuleType)
    }
    assert promised == public


@pytest.mark.parametrize("file", FILES)
def test_promised_names_exist(file: str) -> None:
    """Every name in a file's `__all__` is there, and none twice."""
    module = importlib.import_module(f"pooledhttp.{file}")
    promised = list(getattr(module, "__all__", []))
    assert [name for name in promised if not hasattr(module, name)] == []
    assert len(set(promised)) == len(promised)


def test_the_front_door_promises_what_requests_does() -> None:
    """`from pooledhttp import *` gives at least the names `from requests import *` gives."""
    assert set(requests.__all__) <= set(pooledhttp.__all__)


def test_the_front_door_hides_nothing_and_invents_nothing() -> None:
    """Each public class and function of the package is promised, and each promise is kept."""
    public = {
        name
        for name, value in vars(pooledhttp).items()
        if not name.startswith("_")
        and isinstance(value, type | types.FunctionType)
        and value.__module__.split(".")[0] == "pooledhttp"
    }
    assert public - set(pooledhttp.__all__) - {"check_compatibility"} == set()
    assert [name for name in pooledhttp.__all__ if not hasattr(pooledhttp, name)] == []


def test_modules_are_attributes_after_a_plain_import() -> None:
    """What users reach as `requests.adapters` and the like needs no import of its own."""
    modules = [
        name
        for name, value in vars(requests).items()
        if isinstance(value, types.ModuleType) and value.__name__.startswith("requests.")
    ]
    missing = [name for name in modules if not hasattr(pooledhttp, name)]
    assert [name for name in missing if not name.startswith("_")] == []
