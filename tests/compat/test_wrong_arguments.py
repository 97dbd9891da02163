"""Arguments of wrong types raise what they raise in requests, before anything is sent."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.support.scripted import ScriptedServer


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("timeout", "5", ValueError),
        ("timeout", (1, 2, 3), ValueError),
        ("timeout", -1, ValueError),
        ("headers", "a: b", AttributeError),
        ("headers", [("a", "b")], AttributeError),
        ("headers", {"a": 5}, ValueError),
        ("cookies", "a=b", TypeError),
        ("cookies", [("a", "b")], TypeError),
        ("cookies", 5, TypeError),
        ("cookies", {"a"}, TypeError),
        ("proxies", "http://p", AttributeError),
        ("hooks", 5, AttributeError),
        ("auth", 5, TypeError),
        ("params", 5, TypeError),
        ("params", [1], TypeError),
        ("data", [1], TypeError),
        ("files", {"a": ("n",)}, ValueError),
        ("json", object(), TypeError),
    ],
    ids=range(18),
)
def test_the_class_of_a_wrong_argument(
    http: ModuleType, server: ScriptedServer, argument: str, value: Any, error: type[Exception]
) -> None:
    """Programs catch the classes of Python there, so they are the same."""
    arguments = {"timeout": 20, argument: value}
    with http.Session() as session, pytest.raises(error):
        session.get(server.url(), **arguments)
    assert server.requests == []
