"""Draw `docs/layers.svg` from the table of layers in `tests/test_layers.py`.

Run it after the table has changed, or a subpackage has been added:

    python docs/draw_layers.py

One band is drawn per layer, the highest at the top. In a band, an arrow leads from a module to the
one that it may import, and a dashed line separates groups that do not import each other. Names of
the table that do not exist in the package yet are left out. The picture has a background of its
own, so that it is readable on a light and on a dark page.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE_FILE = ROOT / "tests" / "test_layers.py"
PACKAGE = ROOT / "pooledhttp"
PICTURE = ROOT / "docs" / "layers.svg"

#: What a layer is for, by its number. A layer without an entry is drawn without a title.
TITLES = {
    7: "entry points",
    6: "many requests",
    5: "watches a session",
    4: "what a session decides",
    3: "requests meets the wire",
    2: "one exchange on one lease",
    1: "independent engines",
    0: "base",
}

#: A layer is a list of groups, a group a list of ranks (lowest first), a rank a list of names.
Layer = list[list[list[str]]]

# All lengths are in pixels. A character of the monospace font is 0.6 of its size wide; boxes have
# room for a wider font.
_WIDTH = 1040
_MARGIN = 16
_LABEL_WIDTH = 228
_BOX_HEIGHT = 28
_CHARACTER = 7.6
_GAP = 8
_ARROW = 26
_BETWEEN_GROUPS = 22
_BAND_PADDING = 12
_BETWEEN_BANDS = 8

STYLE = """
    .page { fill: #ffffff; stroke: #d0d7de; }
    .band { fill: #f3f5f8; stroke: #d0d7de; }
    .package { fill: #cfe3ff; stroke: #3b6fb5; }
    .module { fill: #ffffff; stroke: #8592a3; }
    .line { stroke: #57606a; fill: none; }
    .head { fill: #57606a; }
    text { fill: #1f2328; font: 13px sans-serif; }
    text.name { font: 12px monospace; }
    text.quiet { fill: #57606a; font: 12px sans-serif; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #3d444d; }
      .band { fill: #161b22; stroke: #3d444d; }
      .package { fill: #1c3d6b; stroke: #6ea8fe; }
      .module { fill: #0d1117; stroke: #8b949e; }
      .line { stroke: #9da7b3; }
      .head { fill: #9da7b3; }
      text { fill: #e6edf3; }
      text.quiet { fill: #9da7b3; }
    }
"""


def read_table() -> dict[int, Layer]:
    """Read the layers by number, without the names that are not in the package."""
    for node in ast.parse(TABLE_FILE.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TABLE":
            table: str = ast.literal_eval(node.value)
            lines = (line.partition("  ") for line in table.strip().splitlines())
            return {int(number): _read_groups(groups) for number, _, groups in lines}
    raise LookupError(f"{TABLE_FILE} assigns no TABLE")


def _read_groups(text: str) -> Layer:
    layer = []
    for group in text.split("|"):
        ranks = [
            [name.strip() for name in rank.split(",") if _exists(name.strip())]
            for rank in group.split("<")
        ]
        if kept := [rank for rank in ranks if rank]:
            layer.append(kept)
    return layer


def _exists(name: str) -> bool:
    return name == PACKAGE.name or _is_subpackage(name) or (PACKAGE / f"{name}.py").is_file()


def _is_subpackage(name: str) -> bool:
    return (PACKAGE / name / "__init__.py").is_file()


def _label(name: str) -> str:
    if name == PACKAGE.name:
        return "__init__"
    return f"{name}/" if _is_subpackage(name) else name


class _Pen:
    """Places boxes from left to right and wraps lines; `parts` are the elements of the picture."""

    def __init__(self, top: float) -> None:
        self.parts: list[str] = []
        self.left = float(_MARGIN + _LABEL_WIDTH)
        self.x = self.left
        self.y = top + _BAND_PADDING

    @property
    def middle(self) -> float:
        """The height at which arrows run."""
        return self.y + _BOX_HEIGHT / 2

    def box(self, name: str) -> None:
        """Draw the box of a module or subpackage."""
        label = _label(name)
        width = len(label) * _CHARACTER + 16
        if self.x + width > _WIDTH - _MARGIN - _GAP and self.x > self.left:
            self.x = self.left
            self.y += _BOX_HEIGHT + _GAP
        kind = "package" if _is_subpackage(name) else "module"
        self.parts.append(
            f'<rect class="{kind}" x="{self.x:.1f}" y="{self.y:.1f}" width="{width:.1f}" '
            f'height="{_BOX_HEIGHT}" rx="5"/>'
        )
        self.parts.append(
            f'<text class="name" text-anchor="middle" x="{self.x + width / 2:.1f}" '
            f'y="{self.middle + 4:.1f}">{escape(label)}</text>'
        )
        self.x += width + _GAP

    def arrow(self) -> None:
        """Draw an arrow to the left: what follows may import what stands before."""
        start, end, y = self.x - 4 + _ARROW - _GAP, self.x - 4, self.middle
        self.parts.append(f'<path class="line" d="M{start:.1f} {y:.1f} H{end + 4:.1f}"/>')
        self.parts.append(f'<path class="head" d="M{end:.1f} {y:.1f} l7 -4 v8 z"/>')
        self.x += _ARROW - _GAP

    def divider(self) -> None:
        """Draw the dashed line between two groups."""
        x = self.x - _GAP + _BETWEEN_GROUPS / 2
        self.parts.append(
            f'<path class="line" stroke-dasharray="3 3" d="M{x:.1f} {self.y - 5:.1f} '
            f'V{self.y + _BOX_HEIGHT + 5:.1f}"/>'
        )
        self.x += _BETWEEN_GROUPS - _GAP


def _draw_layer(number: int, layer: Layer, top: float) -> tuple[list[str], float]:
    """Return the elements of a band and the height at which it ends."""
    pen = _Pen(top)
    for group_number, ranks in enumerate(layer):
        if group_number:
            pen.divider()
        for rank_number, names in enumerate(ranks):
            if rank_number:
                pen.arrow()
            for name in names:
                pen.box(name)
    bottom = pen.y + _BOX_HEIGHT + _BAND_PADDING
    middle = (top + bottom) / 2
    band = [
        f'<rect class="band" x="{_MARGIN}" y="{top:.1f}" width="{_WIDTH - 2 * _MARGIN}" '
        f'height="{bottom - top:.1f}" rx="8"/>',
        f'<text x="{_MARGIN + 14}" y="{middle + 5:.1f}">{number}</text>',
        f'<text class="quiet" x="{_MARGIN + 36}" y="{middle + 4:.1f}">'
        f"{escape(TITLES.get(number, ''))}</text>",
    ]
    return band + pen.parts, bottom


CAPTION = (
    "An import points down, or along an arrow. "
    "Groups on both sides of a dashed line do not import each other."
)


def _draw_caption(top: float) -> Iterator[str]:
    y = round(top) + 18
    yield f'<text class="quiet" x="{_MARGIN + 14}" y="{y}">{CAPTION}</text>'
    for x, kind, text in (
        (_WIDTH - 250, "package", "subpackage"),
        (_WIDTH - 140, "module", "module at root"),
    ):
        yield f'<rect class="{kind}" x="{x}" y="{y - 11}" width="16" height="14" rx="3"/>'
        yield f'<text class="quiet" x="{x + 22}" y="{y}">{text}</text>'


def draw() -> str:
    """Return the picture as SVG."""
    parts: list[str] = []
    y = float(_MARGIN)
    for number, layer in sorted(read_table().items(), reverse=True):
        elements, bottom = _draw_layer(number, layer, y)
        parts += elements
        y = bottom + _BETWEEN_BANDS
    parts += _draw_caption(y)
    height = round(y + 34)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Layers of pooledhttp">',
            f"  <style>{STYLE}  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" '
            'rx="10"/>',
            *(f"  {part}" for part in parts),
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print(f"wrote {PICTURE}")
