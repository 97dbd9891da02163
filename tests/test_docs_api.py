"""What the API reference shows explains each of its arguments."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"

_DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (\S+)\n(?:   :members:(.*)\n)?", re.MULTILINE)


def _resolved(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), name)


def _shown() -> Iterator[tuple[str, Any]]:
    """Each class and function of the page, and the methods that it lists."""
    for kind, path, listed in _DIRECTIVE.findall(PAGE.read_text()):
        owner = _resolved(path)
        if kind != "module":
            yield path, owner
        if f"{path}\n   :members:" not in PAGE.read_text():
            continue
        names = [each.strip() for each in listed.split(",") if each.strip()]
        for name in names or [each for each in _members(owner) if not each.startswith("_")]:
            yield f"{path}.{name}", inspect.getattr_static(owner, name)


def _members(owner: Any) -> list[str]:
    promised = getattr(owner, "__all__", None)
    return list(vars(owner)) if promised is None else list(promised)


SHOWN = {
    name: getattr(value, "__func__", value)
    for name, value in _shown()
    if inspect.isclass(value) or callable(getattr(value, "__func__", value))
}


def test_the_page_is_read() -> None:
    """All directives of the page are found."""
    assert len(_DIRECTIVE.findall(PAGE.read_text())) == PAGE.read_text().count(".. auto")
    assert len(SHOWN) > 80


@pytest.mark.parametrize("name", SHOWN)
def test_every_argument_is_explained(name: str) -> None:
    """Its name stands in the docstring, as an entry of `Args:` or in a sentence."""
    value = SHOWN[name]
    text = inspect.getdoc(value) or ""
    assert text
    if inspect.isclass(value) and issubclass(value, BaseException):
        return  # made by this package
    if not inspect.isfunction(value) and not inspect.isclass(value):
        return  # a union of classes
    missing = [
        each.name
        for each in inspect.signature(value).parameters.values()
        if each.name not in ("self", "cls")
        and not each.name.startswith("_")
        and not re.search(rf"^ *\*{{0,2}}{each.name}:|`{each.name}\b", text, re.MULTILINE)
    ]
    assert missing == []
