"""Pictures for a page of HTML: inline SVG without text, so that it can be stretched.

Labels are HTML beside the picture and keep their size at every width.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["bars", "columns"]


def columns(heights: Sequence[float], labels: Sequence[str], most: str, what: str) -> str:
    """Return a picture of columns, side by side.

    Args:
        heights: The value of each column, 0 or more.
        labels: Texts below, from the left edge to the right one.
        most: What the highest column stands for.
        what: Says in words what is shown, for readers who do not see it.
    """
    top = max(heights, default=0) or 1
    shapes = "".join(
        f'<rect x="{place + 0.08:.2f}" y="{100 - 100 * height / top:.2f}" width="0.84"'
        f' height="{100 * height / top:.2f}"/>'
        for place, height in enumerate(heights)
        if height
    )
    below = "".join(f"<span>{escape(label)}</span>" for label in labels)
    return (
        f'<figure><p class="most">{escape(most)}</p>'
        f'<svg class="columns" role="img" aria-label="{escape(what)}" preserveAspectRatio="none"'
        f' viewBox="0 0 {max(len(heights), 1)} 100">{shapes}</svg>'
        f'<p class="axis">{below}</p></figure>'
    )


def bars(rows: Sequence[tuple[str, float, float, str]], what: str) -> str:
    """Return a table with a bar in each row.

    Args:
        rows: The name, the length of the bar, the part of it that is bad, and the text beside it.
        what: Says in words what is shown.
    """
    top = max((length for _, length, _, _ in rows), default=0) or 1
    lines = []
    for name, length, bad, text in rows:
        whole, part = 100 * length / top, 100 * bad / top
        lines.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="bar">'
            f'<svg role="presentation" preserveAspectRatio="none" viewBox="0 0 100 1">'
            f'<rect width="{whole - part:.2f}" height="1"/>'
            f'<rect class="bad" x="{whole - part:.2f}" width="{part:.2f}" height="1"/></svg></td>'
            f"<td>{escape(text)}</td></tr>"
        )
    return f'<table aria-label="{escape(what)}">{"".join(lines)}</table>'
