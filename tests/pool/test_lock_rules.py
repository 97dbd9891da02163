"""The rules of the lock, read from the source: what runs under it says so, and does not wait."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.pool.tools import PACKAGE, STEP_MODULES

FILES = sorted(PACKAGE.glob("*.py"))
TREES = {path.stem: ast.parse(path.read_text()) for path in FILES}

#: Functions that take the lock themselves, and so may call steps.
TAKES_THE_LOCK = {"core.step", "core.try_step", "pool.acquire"}

#: Runs steps that it is given.
RUNS_STEPS = {"step", "step_for_key", "try_step", "end", "append"}

#: Calls that can wait, or that run foreign code.
FORBIDDEN_UNDER_THE_LOCK = {
    "acquire", "wait", "sleep", "close", "close_resource", "finds_alive", "finds_dead", "is_alive",
    "emit", "set", "settle", "step", "try_step", "describe", "limits", "limits_for", "warning",
    "debug", "warn",
}  # fmt: skip

Function = ast.FunctionDef


def functions(module: str) -> Iterator[Function]:
    """Yield all functions of a module, nested ones included."""
    return (node for node in ast.walk(TREES[module]) if isinstance(node, Function))


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of the functions in it."""
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        yield node
        if not isinstance(node, Function):
            nodes.extend(ast.iter_child_nodes(node))


def name_of(call: ast.Call) -> str:
    """Return the last part of the name that is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def calls(function: Function) -> Iterator[ast.Call]:
    """Yield the calls in a function."""
    return (node for node in own_nodes(function) if isinstance(node, ast.Call))


@pytest.mark.parametrize("module", TREES)
def test_only_code_under_the_lock_calls_steps(module: str) -> None:
    """A function whose name ends in `_locked` is called by another one, or run by the core."""
    wrong = [
        f"{module}.{function.name} calls {name_of(call)}"
        for function in functions(module)
        for call in calls(function)
        if name_of(call).endswith("_locked")
        and not function.name.endswith("_locked")
        and f"{module}.{function.name}" not in TAKES_THE_LOCK
        and function.name != "__init__"  # the object is not shared yet
    ]
    assert wrong == []


@pytest.mark.parametrize("module", TREES)
def test_functions_that_need_the_lock_say_so(module: str) -> None:
    """A function of a step module, or one that is given the state, ends in `_locked`."""
    wrong = [
        function.name
        for function in functions(module)
        if not function.name.endswith("_locked")
        and (
            module in STEP_MODULES
            or any(
                argument.annotation is not None
                and "PoolState" in ast.unparse(argument.annotation)
                and "Callable" not in ast.unparse(argument.annotation)
                for argument in function.args.args
            )
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("module", TREES)
def test_nothing_under_the_lock_waits_or_calls_back(module: str) -> None:
    """Steps only decide: closing, waking, probing, events and logging come after them."""
    wrong = [
        f"{function.name} calls {name_of(call)}"
        for function in functions(module)
        if function.name.endswith("_locked")
        for call in calls(function)
        if name_of(call) in FORBIDDEN_UNDER_THE_LOCK
        and not (isinstance(call.func, ast.Name) and call.func.id == "set")  # the type
    ]
    assert wrong == []


@pytest.mark.parametrize("module", TREES)
def test_the_lock_is_taken_in_two_places(module: str) -> None:
    """The core takes it to run a step; `Pool.acquire` writes that out for the common case."""
    places = {
        f"{module}.{function.name}"
        for function in functions(module)
        for node in own_nodes(function)
        if isinstance(node, ast.Attribute)
        and node.attr == "lock"
        and isinstance(node.ctx, ast.Load)
    }
    assert places <= TAKES_THE_LOCK


def test_steps_are_handed_only_to_the_core() -> None:
    """A step that is passed as an argument goes to a function that runs it under the lock."""
    wrong = [
        f"{module}.{function.name} passes a step to {name_of(call)}"
        for module in TREES
        for function in functions(module)
        for call in calls(function)
        if name_of(call) not in RUNS_STEPS
        for argument in call.args
        if isinstance(argument, ast.Name | ast.Attribute)
        and ast.unparse(argument).endswith("_locked")
    ]
    assert wrong == []
