"""Coroutine functions in the places where synchronous code calls functions: hooks and auth."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from pooledhttp.runtime import current_runtime

__all__ = ["as_function", "as_hooks", "await_here", "replace_async_hooks"]

T = TypeVar("T")


def await_here(awaitable: Awaitable[T]) -> T:
    """Await something in a function that an `AsyncSession` calls: a hook, an auth, an adapter.

    Args:
        awaitable: A coroutine, a task, a future. It is awaited by the task of the request.

    Raises:
        RuntimeError: The caller was not called by an `AsyncSession`.
    """
    await_in_task = getattr(current_runtime(), "await_here", None)
    if await_in_task is None:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise RuntimeError("await_here() works in functions that an AsyncSession calls")
    result: T = await_in_task(awaitable)
    return result


def is_coroutine_function(value: object) -> bool:
    """Whether calling `value` gives a coroutine: also an object with an `async def __call__`."""
    return inspect.iscoroutinefunction(value) or (
        callable(value)
        and not inspect.isroutine(value)
        and not inspect.isclass(value)
        and inspect.iscoroutinefunction(type(value).__call__)
    )


def as_function(value: Any) -> Any:
    """Return a function that awaits in place, for a coroutine function; else `value` itself."""
    if not is_coroutine_function(value):
        return value

    def call(*args: Any, **kwargs: Any) -> Any:
        if current_runtime() is None:
            name = getattr(value, "__qualname__", type(value).__qualname__)
            raise RuntimeError(
                f"{name} is a coroutine function. It runs only while an AsyncSession sends a"
                " request, so `prepare_request` cannot call it: give it to `request`, `get` and"
                " so on."
            )
        return await_here(value(*args, **kwargs))

    return functools.update_wrapper(call, value)


def as_hooks(hooks: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return hooks that can be called without awaiting; the same object where all of them can.

    What is no mapping is returned as well: the session inside says what hooks are.
    """
    if not hooks or not hasattr(hooks, "items"):
        return hooks
    found = {event: _as_list(some) for event, some in hooks.items()}
    if not any(map(is_coroutine_function, (hook for some in found.values() for hook in some))):
        return hooks
    return {event: [as_function(hook) for hook in some] for event, some in found.items()}


def replace_async_hooks(hooks: dict[str, Any]) -> None:
    """Do the same in place, for the hooks of a session."""
    for event, some in hooks.items():
        if some and any(map(is_coroutine_function, found := _as_list(some))):
            hooks[event] = [as_function(hook) for hook in found]


def _as_list(hooks: Callable[..., Any] | Iterable[Callable[..., Any]] | None) -> list[Any]:
    if callable(hooks):
        return [hooks]
    return list(hooks) if isinstance(hooks, Iterable) else []
