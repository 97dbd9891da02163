"""Settings: how those of a session, of one call and of the environment are combined.

All functions are pure but for `bundle_from_environment`. It reads two variables each time, because
programs and tests set and unset them between requests.

    of the call     of the session     result
    None            x                  x
    x               None               x
    mapping         mapping            both; the call wins; a value of None removes the name
    x               y                  x
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from pooledhttp import transport
from pooledhttp.events import Listener, RequestHook, check_request_hooks
from pooledhttp.hooks import HooksInput, no_hooks
from pooledhttp.message import TimeoutInput, to_key_val_list
from pooledhttp.network import Variable
from pooledhttp.pool import PoolConfig
from pooledhttp.records import record, replace
from pooledhttp.runtime import Runtime, check_runtime
from pooledhttp.structures import CaseInsensitiveDict, wrong_name
from pooledhttp.timing import plan_timeout

__all__ = ["SessionExtras", "bundle_from_environment", "merge_hooks", "merge_setting"]

_MAPPINGS = frozenset({dict, CaseInsensitiveDict})

#: The path of a bundle of CA certificates.
_BUNDLE = Variable("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@record
class SessionExtras:
    """The arguments of `Session` that requests does not have; see `Session` for the meaning.

    They are one value beside the attributes of requests, so that a subclass can have attributes of
    its own called `timeout` or `pool`.
    """

    pool: PoolConfig | transport.PoolView | transport.TransportManager | None = None
    timeout: TimeoutInput = None
    retries: int | urllib3.Retry | None = None
    listeners: tuple[Listener, ...] = ()
    replay: transport.Replay = "safe"
    runtime: Runtime | None = None
    strict: bool = False
    tls_truncation: transport.TlsTruncation = "error"
    max_response_fields: int | None = None
    request_hooks: tuple[RequestHook, ...] = ()
    parser: transport.ParserChoice = "auto"

    def __post_init__(self) -> None:
        """Check every argument, so that a mistake is found where the session is made.

        Raises:
            TypeError: An argument is of a type that it does not take.
            ValueError: `replay` or `timeout` has a value that it does not take.
        """
        if self.pool is not None:  # the transport is imported when the first adapter is made
            transport.check_pool(self.pool)
        if not (self.retries is None or isinstance(self.retries, (int, urllib3.Retry))):
            raise TypeError(
                f"retries must be a whole number or a Retry, not {self.retries!r}; None for never"
            )
        if self.replay != "safe":
            transport.check_replay(self.replay)
        if self.runtime is not None:
            check_runtime(self.runtime)
        plan_timeout(self.timeout)
        check_request_hooks(self.request_hooks)
        transport.ResponseLimits.chosen(
            self.strict, self.tls_truncation, self.max_response_fields, self.parser
        )

    def portable(self) -> SessionExtras:
        """Return the part that can go to another process: no live pool, no callbacks.

        Of `pool` only a configuration is kept, which is a plain value.
        """
        pool = self.pool if isinstance(self.pool, PoolConfig) else None
        return replace(self, pool=pool, listeners=(), request_hooks=(), runtime=None)


def merge_setting(
    request_setting: Any, session_setting: Any, dict_class: Callable[..., Any] = OrderedDict
) -> Any:
    """Combine a setting of one call with that of its session, by the table above.

    Args:
        request_setting: Of the call; None if it says nothing.
        session_setting: Of the session; None if it says nothing.
        dict_class: The class of the mapping that two mappings are merged into.

    Raises:
        AttributeError: A name of a header field is no text.
    """
    if session_setting is None:
        return request_setting
    if request_setting is None:
        return session_setting
    # Asking the abstract class takes longer than merging, and most settings are of these classes.
    if not (
        (type(session_setting) in _MAPPINGS or _is_mapping(session_setting))
        and (type(request_setting) in _MAPPINGS or _is_mapping(request_setting))
    ):
        return request_setting
    merged: Any
    if dict_class is CaseInsensitiveDict and type(session_setting) is CaseInsensitiveDict:
        if not request_setting:
            return session_setting.copy_without_none()
        merged = session_setting.copy()
    else:
        merged = dict_class(to_key_val_list(session_setting) or ())
    if request_setting:
        pairs = to_key_val_list(request_setting) or ()
        if type(merged) is CaseInsensitiveDict and type(request_setting) in _MAPPINGS:
            store = merged._store
            for pair in pairs:  # as `update` does it, which asks what it is given
                try:
                    store[pair[0].lower()] = pair
                except AttributeError:
                    raise wrong_name(pair[0]) from None
        else:
            merged.update(pairs)
    # After the update, so that a session's own None is left out as well.
    items = merged.snapshot() if type(merged) is CaseInsensitiveDict else merged.items()
    for name in [name for name, value in items if value is None]:
        del merged[name]
    return merged


def _is_mapping(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Mapping)


def merge_hooks(
    request_hooks: HooksInput | None,
    session_hooks: HooksInput | None,
    dict_class: Callable[..., Any] = OrderedDict,
) -> Any:
    """Combine hooks: those of the call replace those of the session, unless it has none.

    Raises:
        AttributeError: One of them is no mapping.
    """
    for hooks in (session_hooks, request_hooks):
        if not (hooks is None or hasattr(hooks, "get")):
            raise AttributeError(no_hooks(hooks))
    if session_hooks is None or session_hooks.get("response") == []:
        return request_hooks
    if request_hooks is None or request_hooks.get("response") == []:
        return session_hooks
    return merge_setting(request_hooks, session_hooks, dict_class)


def bundle_from_environment() -> str | None:
    """Return the path of the CA bundle the environment names, or None."""
    return _BUNDLE.value()
