"""Code on the pages about the network and timeouts runs as it stands, on made-up responses."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from urllib3 import HTTPResponse

from pooledhttp import Session
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.message import Response

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("name", ["network.md", "timeouts.md"])
def test_the_code_of_a_page_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, one after the other; only the exchange itself is left out."""
    asked: list[str] = []

    def send(self: HTTPAdapter, request: Any, **settings: Any) -> Response:
        asked.append(request.url)
        raw = HTTPResponse(body=io.BytesIO(b"x"), status=200, preload_content=False)
        return self.build_response(request, raw)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
        exec(compile(block, name, "exec"), names)
    assert len(asked) >= 3
    for value in names.values():
        if isinstance(value, Session):
            value.close()
