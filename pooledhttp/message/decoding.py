"""Undo `Content-Encoding` piece by piece, and know whether the end was really reached.

A compressed body carries its own end mark (the gzip trailer, the last deflate block, the last
brotli or zstd frame). A reader that only asks for "more bytes" never notices that the mark did not
come: half a page, or half a JSON array, looks like a whole one. So every decoder here remembers
whether it was given anything and whether its stream is finished, and `flush` raises `DecodeError`
when the first is true and the second is not. A body without a single byte (HEAD, 204,
`Content-Length: 0`) is complete, even if its header promises a coding.

How the parts fit:

    Content-Encoding: deflate, gzip        the server applied deflate first, gzip last
    wire bytes -> _Gzip -> _Deflate -> content

- Each coding is undone by a stage; see `codings`.
- A chain is *pulled*: the last stage asks the one before it only when it has nothing left of its
  own, so a stacked bomb never holds more than one `_STEP` between two stages.

What a library raises for bad input is raised here as urllib3's `DecodeError`. Nothing here knows
about sockets, headers other than the one value, or responses.
"""

from __future__ import annotations

from collections.abc import Sequence

import urllib3.response
from urllib3.exceptions import DecodeError
from urllib3.response import ContentDecoder

from pooledhttp.message.codings import BAD_INPUT, new_stage

__all__ = ["MAX_CODINGS", "Decoder", "IncompleteCoding", "make_decoder", "supported_codings"]

#: More than this many codings on one body is refused: no server needs them, and each one
#: multiplies what a small body can expand to.
MAX_CODINGS = 5

#: Bytes asked of an inner stage of a chain at a time, when the caller set a bound of its own.
_STEP = 64 * 1024


class IncompleteCoding(DecodeError):
    """A body ended in the middle of its coding: it was cut short."""


class Decoder(ContentDecoder):
    """Undoes the codings of one body, with the interface urllib3's responses expect.

    Made by `make_decoder`. Not for use by two threads at once.
    """

    def __init__(self, codings: Sequence[str]) -> None:
        self._codings = tuple(codings)
        self._stages = [new_stage(coding) for coding in reversed(codings)]
        self._fed = [False] * len(self._stages)
        self._held = b""  # input given while the caller had room for nothing
        # A library below is in no defined state after an error: it is not asked again.
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        return f"<Decoder {', '.join(self._codings)}{'' if self.is_complete else ', incomplete'}>"

    @property
    def has_unconsumed_tail(self) -> bool:
        """Whether `decompress(b"")` may give more without more input, or raises an error again."""
        if self._failure is not None:
            return True
        return bool(self._held) or any(stage.pending for stage in self._stages)

    @property
    def is_complete(self) -> bool:
        """Whether the body may end here: nothing was fed, or every end mark was seen."""
        if self._failure is not None:
            return False
        return not self._held and all(
            stage.finished for stage, fed in zip(self._stages, self._fed, strict=True) if fed
        )

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decode the next bytes of the body.

        Args:
            data: What came off the wire; `b""` to get more of what is pending.
            max_length: About how many decoded bytes to give at most; the rest stays pending.
                Negative gives all there is.

        Raises:
            DecodeError: The bytes are not what the header says. Later calls raise it again.
        """
        self._raise_failure()
        data, self._held = self._held + data, b""
        if max_length == 0:
            self._held = data
            return b""
        out = b""
        try:
            out = self._run(data) if max_length < 0 else self._pull_until(data, max_length)
        except BAD_INPUT as error:
            self._failure = error.with_traceback(None)  # its frames refer to this object
        self._raise_failure()
        return out

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DecodeError(
                f"Received response with content-encoding: {', '.join(self._codings)}, but failed"
                " to decode it. Send Accept-Encoding: identity, or read the bytes as they came from"
                " response.raw.",
                self._failure,
            ) from self._failure

    def flush(self) -> bytes:
        """Declare that the body ended; there is never anything left to give.

        May be called more than once.

        Raises:
            IncompleteCoding: It ended before the compressed stream did.
            DecodeError: It could not be decoded.
        """
        self._raise_failure()
        if not self.is_complete:
            raise IncompleteCoding(
                f"The body ended in the middle of its content-encoding"
                f" ({', '.join(self._codings)}): it was cut short. Do not use the part received;"
                " ask again."
            )
        return b""

    def _run(self, data: bytes) -> bytes:
        for index, stage in enumerate(self._stages):
            if data:
                self._fed[index] = True
            data = stage.feed(data, -1)
        return data

    def _pull_until(self, data: bytes, max_length: int) -> bytes:
        out = bytearray()
        self._held = data
        while len(out) < max_length:
            idle_before = not self.has_unconsumed_tail
            out += self._pull(len(self._stages) - 1, max_length - len(out))
            if idle_before or not self.has_unconsumed_tail:
                break
        return bytes(out)

    def _pull(self, index: int, room: int) -> bytes:
        """Get up to `room` bytes out of a stage, taking from the one before only if it must."""
        if index < 0:
            data, self._held = self._held, b""
            return data
        stage = self._stages[index]
        data = b"" if stage.pending else self._pull(index - 1, _STEP)
        if data:
            self._fed[index] = True
        return stage.feed(data, room)


def supported_codings() -> tuple[str, ...]:
    """The codings that can be undone here and now, the optional ones only if installed."""
    return tuple(urllib3.response.HTTPResponse.CONTENT_DECODERS)


def make_decoder(content_encoding: str) -> Decoder | None:
    """Choose the decoder for the value of a `Content-Encoding` header.

    Args:
        content_encoding: The header's value, several joined by commas; case and spaces do not
            matter, and `identity` says nothing.

    Returns:
        A fresh decoder, or `None` when there is nothing to undo: no coding at all, or none that is
        known, as where a server puts a charset there. Then the body is handed over as it came.

    Raises:
        DecodeError: More than `MAX_CODINGS` codings are stacked, or one of several is unknown (or
            its library is not installed).
    """
    names = (name.strip().lower() for name in content_encoding.split(","))
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > MAX_CODINGS:
        raise DecodeError(
            f"Too many content encodings in the chain: {len(codings)} > {MAX_CODINGS}. "
            "Send Accept-Encoding: identity, or read the bytes as they came from response.raw."
        )
    supported = supported_codings()
    unknown = [coding for coding in codings if coding not in supported]
    if len(unknown) == len(codings):
        return None
    if unknown:
        raise DecodeError(
            f"The content-encoding {', '.join(codings)} cannot be undone: {', '.join(unknown)} is"
            " not known here. Read the bytes as they came from response.raw."
        )
    return Decoder(codings)
