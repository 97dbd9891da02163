"""`get`, `post` and the others of `AsyncSession`: each awaits its `request`.

With `stream=True` a type checker sees an `AsyncResponse`, and a `Response` otherwise. The first is
also a `Response`, which holds where the session's own `stream` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

if TYPE_CHECKING:
    from typing import TypeAlias

    from pooledhttp.aio.arguments import (
        AsyncDataInput,
        AsyncGetOptions,
        AsyncPostOptions,
        AsyncPutOptions,
        AsyncRequestOptions,
    )
    from pooledhttp.aio.response import AsyncResponse
    from pooledhttp.message import JsonInput, ParamsInput, Response, UrlInput
    from pooledhttp.runtime import EventedRuntime

    #: The arguments of `request`: method, URL, `params`, `stream`, and the others by name.
    Call: TypeAlias = tuple[str | bytes, UrlInput, ParamsInput, bool | None, Any]

__all__ = ["RequestMethods"]


class RequestMethods:
    """`request`, and one method per HTTP method, for a class with `_request`."""

    _runtime: EventedRuntime

    @overload
    async def request(
        self,
        method: str | bytes,
        url: UrlInput,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> AsyncResponse: ...
    @overload
    async def request(
        self,
        method: str | bytes,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Response: ...
    async def request(
        self,
        method: str | bytes,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Any:
        """Send a request, follow its redirects, and return the response.

        Args:
            method: The method, such as `"GET"`, in any case.
            url: The URL, with its scheme.
            stream: Whether the caller reads the body, from an `AsyncResponse`. None takes the
                session's.
            **kwargs: As `Session.request` takes them. `data` may also be an async iterable or an
                async file, `auth` and `hooks` coroutine functions.

        Raises:
            RequestException: The request failed; the class says how.
            RuntimeError: Another event loop has used this session.
        """
        params = kwargs.pop("params", None)
        return await self._runtime.in_greenlet(self._request, (method, url, params, stream, kwargs))

    def _request(self, call: Call) -> Response:
        """Do what `request` does, in a greenlet."""
        raise NotImplementedError

    @overload
    async def get(
        self,
        url: UrlInput,
        params: ParamsInput = None,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncGetOptions],
    ) -> AsyncResponse: ...
    @overload
    async def get(
        self,
        url: UrlInput,
        params: ParamsInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncGetOptions],
    ) -> Response: ...
    async def get(
        self,
        url: UrlInput,
        params: ParamsInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncGetOptions],
    ) -> Any:
        """Send a GET, and return the response.

        Args:
            url: The URL, with its scheme.
            params: Added to the query of the URL: a mapping, pairs, or text. None adds nothing.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        if type(self).request is _REQUEST and "request" not in self.__dict__:
            # As `request` does, with one coroutine less to go through at each wait.
            return await self._runtime.in_greenlet(
                self._request, ("GET", url, params, stream, kwargs)
            )
        return await self.request("GET", url, params=params, stream=stream, **kwargs)

    @overload
    async def options(
        self,
        url: UrlInput,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> AsyncResponse: ...
    @overload
    async def options(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Response: ...
    async def options(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Any:
        """Send an OPTIONS, and return the response.

        Args:
            url: The URL, with its scheme.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        return await self.request("OPTIONS", url, stream=stream, **kwargs)

    @overload
    async def head(
        self,
        url: UrlInput,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> AsyncResponse: ...
    @overload
    async def head(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Response: ...
    async def head(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Any:
        """Send a HEAD, and return the response. Redirects are not followed by default.

        Args:
            url: The URL, with its scheme.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        kwargs.setdefault("allow_redirects", False)
        return await self.request("HEAD", url, stream=stream, **kwargs)

    @overload
    async def post(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        json: JsonInput = None,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncPostOptions],
    ) -> AsyncResponse: ...
    @overload
    async def post(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        json: JsonInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPostOptions],
    ) -> Response: ...
    async def post(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        json: JsonInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPostOptions],
    ) -> Any:
        """Send a POST, and return the response.

        Args:
            url: The URL, with its scheme.
            data: As for `Session.request`, or an async iterable of bytes, or an async file. None
                sends none.
            json: A value to send as JSON, if there is no `data`. None sends none.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        return await self.request("POST", url, data=data, json=json, stream=stream, **kwargs)

    @overload
    async def put(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncPutOptions],
    ) -> AsyncResponse: ...
    @overload
    async def put(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPutOptions],
    ) -> Response: ...
    async def put(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPutOptions],
    ) -> Any:
        """Send a PUT, and return the response.

        Args:
            url: The URL, with its scheme.
            data: As for `Session.request`, or an async iterable of bytes, or an async file. None
                sends none.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        return await self.request("PUT", url, data=data, stream=stream, **kwargs)

    @overload
    async def patch(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncPutOptions],
    ) -> AsyncResponse: ...
    @overload
    async def patch(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPutOptions],
    ) -> Response: ...
    async def patch(
        self,
        url: UrlInput,
        data: AsyncDataInput = None,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncPutOptions],
    ) -> Any:
        """Send a PATCH, and return the response.

        Args:
            url: The URL, with its scheme.
            data: As for `Session.request`, or an async iterable of bytes, or an async file. None
                sends none.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        return await self.request("PATCH", url, data=data, stream=stream, **kwargs)

    @overload
    async def delete(
        self,
        url: UrlInput,
        *,
        stream: Literal[True],
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> AsyncResponse: ...
    @overload
    async def delete(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Response: ...
    async def delete(
        self,
        url: UrlInput,
        *,
        stream: bool | None = None,
        **kwargs: Unpack[AsyncRequestOptions],
    ) -> Any:
        """Send a DELETE, and return the response.

        Args:
            url: The URL, with its scheme.
            stream: As for `request`.
            **kwargs: The other arguments of `request`, by name.

        Raises:
            RequestException: The request failed; the class says how.
        """
        return await self.request("DELETE", url, stream=stream, **kwargs)


#: To tell whether a subclass, a patch or an instance has a `request` of its own.
_REQUEST = RequestMethods.request
