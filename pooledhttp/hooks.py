"""Callbacks of a request.

There is one event, `"response"`, for every response before the caller gets it. A hook gets the
response and the keyword arguments of the send. What it returns replaces the response; `None` keeps
it. Hooks run in the order in which they were added, each on the result of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, TypeAlias

from pooledhttp.records import described

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["HOOKS", "Hook", "HooksInput", "default_hooks", "dispatch_hook", "no_hooks"]

#: The events.
HOOKS = ["response"]

#: A callback: it gets the response, then the keyword arguments of the send.
Hook: TypeAlias = "Callable[Concatenate[Response, ...], Any]"

#: What `hooks=` takes: event to one callback or several.
HooksInput: TypeAlias = "Mapping[str, Hook | Iterable[Hook]]"


def default_hooks() -> dict[str, list[Hook]]:
    """Return a new table that has an empty list of hooks for every event."""
    hooks: dict[str, list[Hook]] = {}
    for event in HOOKS:  # each request makes two such tables: no comprehension, which is a call
        hooks[event] = []
    return hooks


def no_hooks(hooks: object) -> str:
    """Return what to say of hooks that are no mapping."""
    return f"hooks must be a mapping, such as {{'response': callback}}, not {described(hooks)}"


def dispatch_hook(
    key: str,
    hooks: HooksInput | None,
    hook_data: Response,
    **kwargs: Any,
) -> Response:
    """Run the hooks of one event over a value.

    Args:
        key: The event.
        hooks: Event to one hook or several. `None` means there are none.
        hook_data: What the first hook receives.
        **kwargs: Passed to every hook.

    Returns:
        The value after the last hook.
    """
    registered = (hooks or {}).get(key)
    if not registered:
        return hook_data
    for hook in (registered,) if callable(registered) else registered:
        try:
            replacement = hook(hook_data, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                # Raised by the call, not in the hook.
                error.add_note(
                    "A hook is called with the response and with keyword arguments: "
                    "give it **kwargs."
                )
            raise
        if replacement is not None:
            hook_data = replacement
    return hook_data
