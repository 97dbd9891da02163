"""The session for event loops: a `Session` whose code runs in greenlets.

    await session.get(url)
      -> self.request("GET", url)             a coroutine; subclasses override it
           -> EventedRuntime.run              a greenlet, driven by the task that awaits
                -> Session.request(...)       the code of threads: pool, retries, redirects, hooks

What is passed in is made fit for synchronous code first: async iterables, files, coroutine
functions as hooks or auth. What comes out is a `Response` with its body, or an `AsyncResponse`.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)

from pooledhttp.adapters import BaseAdapter, check_mount
from pooledhttp.aio.adapters import unwrapped, wrapped
from pooledhttp.aio.arguments import AsyncAuthInput
from pooledhttp.aio.bodies import as_body, as_files
from pooledhttp.aio.callables import as_function, as_hooks, replace_async_hooks
from pooledhttp.aio.methods import RequestMethods
from pooledhttp.aio.pool import AsyncPoolView
from pooledhttp.aio.response import AsyncResponse
from pooledhttp.certs import CertInput, VerifyInput
from pooledhttp.client import name_meant_argument
from pooledhttp.cookies import RequestsCookieJar
from pooledhttp.hooks import Hook
from pooledhttp.message import PreparedRequest, Request, Response, check_unprepared
from pooledhttp.originals import settle_attributes
from pooledhttp.pool import PoolConfig, pool_advice
from pooledhttp.records import explain_misspelt
from pooledhttp.sessions import Session
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.transport import PoolView, TransportManager

if TYPE_CHECKING:
    from urllib3 import Retry

    from pooledhttp.aio.methods import Call
    from pooledhttp.events import Listener, RequestHook
    from pooledhttp.message import TimeoutInput
    from pooledhttp.runtime import EventedRuntime
    from pooledhttp.transport import ParserChoice, Replay, TlsTruncation

__all__ = ["AsyncSession"]

T = TypeVar("T")
P = ParamSpec("P")


class _Setting(Generic[T]):
    """An attribute of the `Session` inside, under its own name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> _Setting[T]: ...
    @overload
    def __get__(self, owner: AsyncSession, kind: type) -> T: ...
    def __get__(self, owner: AsyncSession | None, kind: type) -> Any:
        return self if owner is None else getattr(owner._session, self._name)

    def __set__(self, owner: AsyncSession, value: T) -> None:
        setattr(owner._session, self._name, value)


class AsyncSession(RequestMethods):
    """Settings, cookies and connections that are kept from one request to the next, on a loop.

    Use it as `async with`, or `await` its `close`. It belongs to the event loop that uses it first.
    Any number of tasks may use it.

    Args:
        pool: A `PoolConfig` with the limits of this session's pool of connections, or the pool of
            another `AsyncSession` to share. None for the defaults, which set no maximum.
        timeout: What a call without a `timeout` uses: seconds, a `(connect, read)` tuple or a
            `Timeout`. None for no limit.
        retries: How often a failed request is repeated: a number, or a `Retry`. None for never.
        listeners: Called with each event of the pool and its connections; plain functions.
        replay: As `Session` takes it.
        strict: As `Session` takes it.
        tls_truncation: As `Session` takes it.
        max_response_fields: As `Session` takes it.
        request_hooks: As `Session` takes them; plain functions.
        parser: As `Session` takes it.

    Raises:
        ModuleNotFoundError: greenlet is not installed; the message says how to install it.
        TypeError: An argument is of a type that it does not take; the message names it.
        ValueError: The same for a value.

    Attributes:
        headers: Sent with every request.
        cookies: The jar; what responses set is kept in it.
        auth: Credentials for every request; also a coroutine function.
        proxies: Scheme (or `scheme://host`) to URL of a proxy.
        hooks: Event to list of callbacks; also coroutine functions.
        params: Added to every URL.
        stream: Whether bodies are left unread until asked for. False by default.
        verify: Whether certificates are checked; or the path of a CA bundle, or an `SSLContext`.
        cert: Client certificate: a path, or `(certificate, key)`.
        trust_env: Whether proxies, CA bundles and netrc of the environment are used.
        max_redirects: How many redirects are followed.
    """

    headers: _Setting[CaseInsensitiveDict[str]] = _Setting()
    cookies: _Setting[RequestsCookieJar] = _Setting()
    auth: _Setting[AsyncAuthInput] = _Setting()
    proxies: _Setting[MutableMapping[str, str]] = _Setting()
    hooks: _Setting[dict[str, list[Hook]]] = _Setting()
    params: _Setting[MutableMapping[str, Any]] = _Setting()
    stream: _Setting[bool] = _Setting()
    verify: _Setting[VerifyInput | None] = _Setting()
    cert: _Setting[CertInput] = _Setting()
    trust_env: _Setting[bool] = _Setting()
    max_redirects: _Setting[int] = _Setting()

    @explain_misspelt(
        frozenset(Session.__attrs__) - {"adapters"},
        by_name=True,
        advice={**pool_advice("AsyncSession(pool={})"), "limits": "pool"},
    )
    def __init__(
        self,
        *,
        pool: PoolConfig | AsyncPoolView | None = None,
        timeout: TimeoutInput = None,
        retries: int | Retry | None = None,
        listeners: Iterable[Listener] = (),
        replay: Replay = "safe",
        strict: bool = False,
        tls_truncation: TlsTruncation = "error",
        max_response_fields: int | None = None,
        request_hooks: Iterable[RequestHook] = (),
        parser: ParserChoice = "auto",
    ) -> None:
        shared = _shared_view(pool)
        self._runtime = _new_runtime() if shared is None else _runtime_of(shared)
        self._session = Session(
            pool=pool if isinstance(pool, PoolConfig) else shared,
            timeout=timeout,
            retries=retries,
            listeners=listeners,
            replay=replay,
            runtime=self._runtime,
            strict=strict,
            tls_truncation=tls_truncation,
            max_response_fields=max_response_fields,
            request_hooks=request_hooks,
            parser=parser,
        )
        settle_attributes(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.pool!r}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: its connections belong to one"
            " process and one event loop. Make one where it is used, with the same arguments."
        )

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    @property
    def pool(self) -> AsyncPoolView:
        """The pool of connections: `stats()`, `await warm(url, n)`, `resize(config)` and so on."""
        return AsyncPoolView(self._session.pool, self._runtime)

    # --- sending ---------------------------------------------------------------------------------

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Return a request as it will be sent, with this session's settings in it.

        Args:
            request: What to send. It is not changed.

        Raises:
            RequestException: Something in it cannot be sent; the class says what.
            AttributeError: It is no `Request`, or one without a method.
        """
        check_unprepared(request)
        self._make_settings_fit()
        fit = copy.copy(request)
        fit.data = as_body(fit.data, self._runtime)
        fit.files = as_files(fit.files, self._runtime)
        fit.auth = as_function(fit.auth)
        fit.hooks = as_hooks(fit.hooks)  # type: ignore[assignment]
        return self._session.prepare_request(fit)

    @overload
    async def send(
        self, request: PreparedRequest, *, stream: Literal[True], **kwargs: Any
    ) -> AsyncResponse: ...
    @overload
    async def send(
        self, request: PreparedRequest, *, stream: bool | None = None, **kwargs: Any
    ) -> Response: ...
    async def send(
        self, request: PreparedRequest, *, stream: bool | None = None, **kwargs: Any
    ) -> Any:
        """Send a prepared request, and follow redirects.

        Args:
            request: What to send, as it is.
            stream: Whether the caller reads the body, from an `AsyncResponse`. None takes the
                session's.
            **kwargs: `timeout`, `verify`, `cert`, `proxies` and `allow_redirects` as for `request`.

        Raises:
            ValueError: `request` is not prepared.
            AttributeError: `request` is no request, or has no URL.
            TypeError: The adapter does not take one of the arguments.
            RequestException: The request failed; the class says how.
        """
        if stream is not None:
            kwargs["stream"] = stream
        return await self._runtime.in_greenlet(self._send, (request, stream, kwargs))

    def _send(self, call: tuple[PreparedRequest, bool | None, dict[str, Any]]) -> Response:
        """Do what `send` does, in a greenlet."""
        request, stream, kwargs = call
        return self._result(self._session.send(request, **kwargs), stream)

    def _request(self, call: Call) -> Response:
        """Do what `request` does, in a greenlet."""
        method, url, params, stream, kwargs = call
        session = self._session
        hooks = session.hooks
        if session.auth is not None or (isinstance(hooks, dict) and any(hooks.values())):
            self._make_settings_fit()
        if kwargs:
            self._make_fit(kwargs)
            try:
                response = session.request(method, url, params, stream=stream, **kwargs)
            except TypeError as error:
                name_meant_argument(error, kwargs)
                raise
        else:
            response = session.request(method, url, params, stream=stream)
        # The lines of `_result`, without the call.
        is_streamed = session.stream if stream is None else stream
        return AsyncResponse.of(response, self._runtime) if is_streamed else response

    def _make_settings_fit(self) -> None:
        """Replace what synchronous code cannot call among the settings of the session."""
        session = self._session
        if session.auth is not None:
            session.auth = as_function(session.auth)
        if isinstance(session.hooks, dict):
            replace_async_hooks(session.hooks)

    def _make_fit(self, kwargs: dict[str, Any]) -> None:
        """Replace what synchronous code cannot call or read."""
        runtime = self._runtime
        if kwargs.get("data") is not None:
            kwargs["data"] = as_body(kwargs["data"], runtime)
        if kwargs.get("files"):
            kwargs["files"] = as_files(kwargs["files"], runtime)
        if "auth" in kwargs:
            kwargs["auth"] = as_function(kwargs["auth"])
        if "hooks" in kwargs:
            kwargs["hooks"] = as_hooks(kwargs["hooks"])

    def _result(self, response: Response, stream: bool | None) -> Response:
        is_streamed = self._session.stream if stream is None else stream
        return AsyncResponse.of(response, self._runtime) if is_streamed else response

    async def run_sync(
        self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run synchronous code with the `Session` inside; its waits let the loop run.

        So a library that takes a session of requests can be used as it is.

        Args:
            fn: Called with the session and the other arguments.
            *args: Further arguments.
            **kwargs: Further keyword arguments.

        Returns:
            What `fn` returns. What it raises is raised.
        """
        self._make_settings_fit()
        return await self._runtime.run(lambda: fn(self._session, *args, **kwargs))

    # --- adapters --------------------------------------------------------------------------------

    @property
    def adapters(self) -> Mapping[str, BaseAdapter]:
        """URL prefix to adapter, longest first; `mount` changes it."""
        return {prefix: unwrapped(one) for prefix, one in self._session.adapters.items()}

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter whose prefix is the longest that a URL begins with, in any case.

        Args:
            url: The URL of a request.

        Raises:
            InvalidSchema: There is none.
        """
        adapter: BaseAdapter = unwrapped(self._session.get_adapter(url))
        return adapter

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Send requests whose URL starts with `prefix` through an adapter.

        An `HTTPAdapter` that has no pool of its own joins the session's. An adapter of any other
        class blocks its thread, and runs on a worker thread.

        Args:
            prefix: The beginning of URLs, such as `"https://api.example.com"`.
            adapter: What sends them.

        Raises:
            TypeError: `prefix` is no text, or `adapter` has neither `send` nor `close`, or is a
                class.
            ValueError: The adapter has a pool that another runtime uses.
        """
        check_mount(prefix, adapter)
        self._session.mount(prefix, wrapped(adapter, self._runtime))

    async def close(self) -> None:
        """Close idle connections; those in use close when their body has been read.

        The session can be used again, and opens new ones then.
        """
        await self._runtime.run(self._session.close)
        self._runtime.drop_spare()
        # Tasks of the pool that were told to end get their turn: the loop may be closed next.
        for _ in range(2):
            await asyncio.sleep(0)


def _new_runtime() -> EventedRuntime:
    from pooledhttp.runtime import EventedRuntime  # says what to install where greenlet is missing

    return EventedRuntime()


def _shared_view(pool: object) -> PoolView | None:
    if isinstance(pool, (PoolView, TransportManager)):
        raise TypeError(
            "pool is used by threads; give an AsyncSession a PoolConfig, or the pool of another"
            " AsyncSession"
        )
    return pool._view if isinstance(pool, AsyncPoolView) else pool  # type: ignore[return-value]


def _runtime_of(shared: Any) -> Any:
    if isinstance(shared, PoolView):
        return shared.manager.runtime
    return _new_runtime()  # `Session` says what is wrong with it
