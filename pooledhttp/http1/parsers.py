"""The parts of a connection that depend on the library that reads response heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pooledhttp.http1.parser_choice import ParserChoice, chosen_name
from pooledhttp.http1.progress import ExchangeProgress

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits, WireRequest
    from pooledhttp.http1.parser import HeadParser

__all__ = ["ParserLibrary", "library_for"]


class ParserLibrary(NamedTuple):
    """What a connection needs of a library.

    Attributes:
        name: Such as `"h11"`.
        is_original: Whether no program has replaced its parser. Then it makes the same of the same
            bytes each time.
        check_head: Checks the head of a request, and keeps the result in `WireRequest.checked`.
        new_parser: Makes the parser of one exchange.
    """

    name: str
    is_original: Callable[[], bool]
    check_head: Callable[[WireRequest, ExchangeProgress], None]
    new_parser: Callable[[ExchangeProgress, ResponseLimits], HeadParser]


#: The libraries that were needed so far. They are imported at first use.
_libraries: dict[str, ParserLibrary] = {}


def library_for(choice: ParserChoice) -> ParserLibrary:
    """Return the library that a choice stands for."""
    name = chosen_name(choice)
    library = _libraries.get(name)
    if library is None:
        library = _libraries[name] = _import_httptools() if name == "httptools" else _import_h11()
    return library


def _import_h11() -> ParserLibrary:
    from pooledhttp.http1.h11_parser import H11Parser, check_head, is_h11_original

    return ParserLibrary("h11", is_h11_original, check_head, H11Parser)


def _import_httptools() -> ParserLibrary:
    from pooledhttp.http1.fast_parser import FastParser, is_httptools_original
    from pooledhttp.http1.head_rules import check_head

    return ParserLibrary("httptools", is_httptools_original, check_head, FastParser)


def check_request(request: WireRequest, origin: str, parser: ParserChoice) -> None:
    """Check the head of a request before it is sent, as `Connection.send` does.

    Args:
        request: The request.
        origin: For error messages.
        parser: The choice of the parser.

    Raises:
        RequestRefused: It cannot be written as HTTP/1.1.
    """
    library_for(parser).check_head(request, ExchangeProgress(origin))
