"""Draw `docs/picture.svg` from `docs/instructions.json`, a measurement of `benchmarks`.

    python -m benchmarks instructions --json docs/instructions.json
    python docs/draw_picture.py

A bar is drawn for each client that is named below; `pooledhttp, fast` is the one with the extra
`fast`, whose figure stands there by hand. The picture is readable on light and on dark
pages: its colours follow the reader's setting.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEASUREMENT = HERE / "instructions.json"
PICTURE = HERE / "picture.svg"

CLIENTS = ("pooledhttp", "pooledhttp, fast", "urllib3", "requests", "httpx")

# All lengths are in pixels.
_WIDTH, _LABEL, _BAR, _GAP, _TOP = 720, 130, 26, 12, 44

STYLE = """
    text { fill: #1f2328; font: 14px sans-serif; }
    .bar { fill: #8592a3; }
    .ours { fill: #2f6fd0; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .bar { fill: #6e7a89; }
      .ours { fill: #4c8df0; }
    }
"""


def draw(measured: dict[str, Any]) -> str:
    """Return the picture."""
    numbers = {name: measured[name]["instructions"] for name in CLIENTS if name in measured}
    most = max(numbers.values())
    height = _TOP + len(numbers) * (_BAR + _GAP)
    title = "Instructions of the processor for one GET of 1 KiB over a kept connection, thousand"
    parts = [f'<text x="0" y="18">{escape(title)}</text>']
    for row, (name, number) in enumerate(sorted(numbers.items(), key=lambda item: item[1])):
        y = _TOP + row * (_BAR + _GAP)
        width = (_WIDTH - _LABEL - 70) * number / most
        kind = "ours" if name.startswith("pooledhttp") else "bar"
        parts.append(f'<text x="0" y="{y + 18}">{escape(name)}</text>')
        parts.append(
            f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{width:.0f}" height="{_BAR}"/>'
        )
        parts.append(f'<text x="{_LABEL + width + 8:.0f}" y="{y + 18}">{number:,.0f}</text>')
    body = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"  <title>{escape(title)}</title>\n  <style>{STYLE}  </style>\n  {body}\n</svg>\n"
    )


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(draw(json.loads(MEASUREMENT.read_text())))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
