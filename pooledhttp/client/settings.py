"""What a session and a single call say together: merging, and the part the environment plays.

All functions are pure but for `bundle_from_environment`, which reads two variables each time it is
called: programs and tests set and unset them between requests.

    of the call     of the session     result
    None            x                  x
    x               None               x
    mapping         mapping            both; the call wins; a value of None takes the name away
    x               y                  x
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pooledhttp.message import to_key_val_list
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.transport import ResponseLimits, TlsTruncation

__all__ = ["SessionExtras", "bundle_from_environment", "merge_hooks", "merge_setting"]

#: The variables that name a bundle of CA certificates, the first that is set counts.
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class SessionExtras:
    """What a `Session` can be told beyond what requests knows; see there for the meaning.

    It is one value beside the attributes of requests, so that nothing a subclass of `Session` calls
    `self.timeout` or `self.pool` gets in its way.
    """

    pool: Any = None
    timeout: Any = None
    retries: Any = None
    listeners: tuple[Callable[[Any], None], ...] = ()
    replay: str = "safe"
    runtime: Any = None
    strict: bool = False
    tls_truncation: TlsTruncation = "error"
    max_response_fields: int | None = None

    def __post_init__(self) -> None:
        if self.replay not in ("safe", "always", "off"):
            raise ValueError(f'replay must be "safe", "always" or "off", not {self.replay!r}')
        ResponseLimits.chosen(self.strict, self.tls_truncation, self.max_response_fields)

    def portable(self) -> SessionExtras:
        """Return the part that means something in another process: no live pool, no callbacks.

        A pool is kept only if it is a configuration, which is a plain value.
        """
        is_live = hasattr(self.pool, "acquire") or hasattr(self.pool, "shutdown")
        return replace(self, pool=None if is_live else self.pool, listeners=(), runtime=None)


def merge_setting(
    request_setting: Any, session_setting: Any, dict_class: Callable[..., Any] = OrderedDict
) -> Any:
    """Combine a setting of one call with that of its session, as drawn above.

    Args:
        request_setting: Of the call; None if it says nothing.
        session_setting: Of the session; None if it says nothing.
        dict_class: What two mappings are merged into.
    """
    if session_setting is None:
        return request_setting
    if request_setting is None:
        return session_setting
    if not (isinstance(session_setting, Mapping) and isinstance(request_setting, Mapping)):
        return request_setting
    if dict_class is CaseInsensitiveDict and type(session_setting) is CaseInsensitiveDict:
        merged: Any = session_setting.copy()
    else:
        merged = dict_class(to_key_val_list(session_setting))
    if request_setting:
        merged.update(to_key_val_list(request_setting))
    # After the update, so that a session's own None is left out as well.
    if None in merged.values():
        for name in [name for name, value in merged.items() if value is None]:
            del merged[name]
    return merged


def merge_hooks(
    request_hooks: Mapping[str, Any] | None,
    session_hooks: Mapping[str, Any] | None,
    dict_class: Callable[..., Any] = OrderedDict,
) -> Any:
    """Combine hooks: those of the call replace those of the session, unless there are none."""
    if session_hooks is None or session_hooks.get("response") == []:
        return request_hooks
    if request_hooks is None or request_hooks.get("response") == []:
        return session_hooks
    return merge_setting(request_hooks, session_hooks, dict_class)


def bundle_from_environment() -> str | None:
    """Return the path of the CA bundle the environment names, or None."""
    named: Iterable[str | None] = map(os.environ.get, _BUNDLE_VARIABLES)
    return next(filter(None, named), None)
