"""How Sphinx builds the site: `python -m sphinx -W -b html docs site`.

The pages are read on a forge as well, so they have no directives for Sphinx alone. What the site
needs besides is added here: the tables of contents come from the links of the index pages, links to
files outside of this folder become their paths, and the docstrings, which are written for readers
of the source, get the marks of reStructuredText.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pooledhttp.__version__ import __version__

project = "pooledhttp"
author = "pooledhttp maintainers"
copyright = "pooledhttp maintainers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"pooledhttp {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
_CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?!`)")


def _read_page(app: Any, name: str, source: list[str]) -> None:
    """Change the text of a page before it is parsed."""
    text = source[0]
    folder = Path(app.srcdir, name).parent
    if Path(name).name == "index":
        text = f"{text}\n{''.join(_contents(text, folder))}"
    if folder == Path(app.srcdir):
        text = _OUTSIDE.sub(r"`\2`", text)
    source[0] = text


def _contents(text: str, folder: Path) -> Iterator[str]:
    """Yield the tables of contents of an index page, one for each `For ...:` in it."""
    introduction, *parts = re.split(r"^(?=For )", text, flags=re.MULTILINE)
    for part in parts or [introduction]:
        pages = [
            path.removesuffix(".md")
            for path in re.findall(r"\]\(([\w/.-]+\.md)\)", part)
            if not path.startswith("..")
        ]
        caption = re.match(r"(For [^:]*):", part)
        if pages:
            lines = ["```{toctree}", ":hidden:"]
            lines += [f":caption: {caption[1]}"] if caption else []
            yield "\n".join([*lines, "", *pages, "```", ""])


def _mark_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make indented blocks literal, and words in single backticks code."""
    marked: list[str] = []
    is_section = is_block = False
    for line in lines:
        if line and not line.startswith(" "):
            is_section, is_block = bool(_SECTION.match(line)), False
        elif line.startswith("    ") and not is_section and not is_block:
            is_block = True
            if not (marked and len(marked) > 1 and marked[-2].endswith("::")):
                marked += ["::", ""]
        marked.append(line if is_block else _CODE.sub(_as_code, line))
    lines[:] = marked


def _as_code(match: re.Match[str]) -> str:
    following = match.string[match.end() : match.end() + 1]
    return f"``{match[1]}``" + ("\\ " if following.isalnum() else "")


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("source-read", _read_page)
    app.connect("autodoc-process-docstring", _mark_docstring, priority=100)
