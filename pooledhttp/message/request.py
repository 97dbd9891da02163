"""What the user asks for, before any of it is checked or encoded.

A `Request` holds the caller's arguments unchanged and can be altered freely; `prepare` (or
`Session.prepare_request`, which adds the session's settings) turns it into what is sent.
"""

from __future__ import annotations

from pooledhttp.hooks import HooksInput, default_hooks, no_hooks
from pooledhttp.message.prepared import AuthInput, PreparedRequest, RequestHooksMixin
from pooledhttp.message.types import (
    CookiesInput,
    DataInput,
    FilesInput,
    HeadersInput,
    JsonInput,
    ParamsInput,
    UrlInput,
)
from pooledhttp.records import explain_misspelt

__all__ = ["Request"]

#: Arguments of other clients, and those that belong to the call that sends.
_NAMES_ELSEWHERE = {
    "body": "data",
    "content": "data",
    "query": "params",
    **dict.fromkeys(
        ("timeout", "stream", "verify", "cert", "proxies", "allow_redirects"),
        "Pass it to Session.send(...) instead.",
    ),
}


class Request(RequestHooksMixin):
    """A request as the user wrote it.

    Args:
        method: The method, `"GET"` and so on; None by default.
        url: Where to.
        headers: Header fields; a value of None takes a field of the session away.
        files: Files to upload, see `encode_files`.
        data: A form (mapping or pairs), text, bytes, or a stream.
        params: To be added to the query of the URL.
        auth: A `(user, password)` tuple or a callable that alters the prepared request.
        cookies: A mapping or a cookie jar.
        hooks: Event to callback or callbacks.
        json: To be sent as JSON, if there is no `data`.

    Raises:
        ValueError: `hooks` names an event that does not exist.
    """

    @explain_misspelt(advice=_NAMES_ELSEWHERE)
    def __init__(
        self,
        method: str | bytes | None = None,
        url: UrlInput | None = None,
        headers: HeadersInput = None,
        files: FilesInput = None,
        data: DataInput = None,
        params: ParamsInput = None,
        auth: AuthInput = None,
        cookies: CookiesInput = None,
        hooks: HooksInput | None = None,
        json: JsonInput = None,
    ) -> None:
        self.hooks = default_hooks()
        if hooks:
            if not hasattr(hooks, "items"):
                raise AttributeError(no_hooks(hooks))
            for event, hook in list(hooks.items()):
                self.register_hook(event, hook)
        self.method: str | None = method  # type: ignore[assignment]  # bytes are rare
        self.url = url
        self.headers: HeadersInput = {} if headers is None else headers
        self.files: FilesInput = [] if files is None else files
        self.data: DataInput = [] if data is None else data
        self.json = json
        self.params: ParamsInput = {} if params is None else params
        self.auth = auth
        self.cookies = cookies

    def __repr__(self) -> str:
        return f"<Request [{self.method}]>"

    def prepare(self) -> PreparedRequest:
        """Return this request as it would be sent, without a session's settings.

        Raises:
            RequestException: Something in it cannot be sent; the class says what.
        """
        prepared = PreparedRequest()
        prepared.prepare(
            method=self.method,
            url=self.url,
            headers=self.headers,
            files=self.files,
            data=self.data,
            json=self.json,
            params=self.params,
            auth=self.auth,
            cookies=self.cookies,
            hooks=self.hooks,
        )
        return prepared
