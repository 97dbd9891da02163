"""The documents hold together: links lead somewhere, code compiles, the picture is up to date."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    ROOT / "tests" / "README.md",
]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def links(page: Path) -> list[tuple[str, str]]:
    """The links of a page to files of this repository, as path and anchor."""
    found = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text())
    return [(path, anchor) for path, anchor in found if "://" not in path]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, spelled as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@each_page
def test_links_lead_to_files(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that is in it."""
    wrong = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{path}#{anchor}")
    assert wrong == []


@each_page
def test_named_tests_exist(page: Path) -> None:
    """Every file of `tests/` that a page names in code style is there."""
    named = re.findall(r"`[^`\n]*`", page.read_text())
    paths = {path for code in named for path in re.findall(r"\btests/[\w/]+\.\w+", code)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@each_page
def test_code_compiles(page: Path) -> None:
    """Every block marked as Python compiles."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(block, f"{page.name}: {block[:30]!r}", "exec")


@pytest.mark.parametrize("folder", [DOCS, DOCS / "decisions"], ids=lambda folder: folder.name)
def test_every_page_is_in_the_index(folder: Path) -> None:
    """The index of a folder links to all its pages."""
    linked = {path for path, _ in links(folder / "index.md")}
    names = {page.name for page in folder.glob("*.md")} - {"index.md"}
    assert names - linked == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_opens_with_what_the_reader_gets(page: Path) -> None:
    """The reader sees first what the page is good for."""
    assert page.read_text().startswith("# ")
    assert "After this page" in page.read_text()[:400]


def test_each_example_is_short_and_linked() -> None:
    """An example has 20 to 60 lines, and a page links to it."""
    linked = "".join(page.read_text() for page in DOCS.glob("*.md"))
    examples = sorted(path for path in (ROOT / "examples").glob("*.py"))
    lengths = {path.name: len(path.read_text().splitlines()) for path in examples}
    assert {name: size for name, size in lengths.items() if not 20 <= size <= 60} == {}
    programs = [name for name in lengths if name != "local_server.py"]
    assert [name for name in programs if f"](../examples/{name})" not in linked] == []


def test_the_design_page_shows_the_tree() -> None:
    """The design page names every subpackage, and every file that it names exists."""
    page = (DOCS / "design.md").read_text()
    package = ROOT / "pooledhttp"
    found = {str(path.parent.relative_to(package)) for path in package.rglob("*/__init__.py")}
    assert set(re.findall(r"^  ([\w/]+)/ ", page, re.MULTILINE)) == found
    inside = page.partition("### Inside the pool")[2].partition("```\n")[2].partition("```")[0]
    listed = re.findall(r"^(\w+\.py(?: \w+\.py)*)", inside, re.MULTILINE)
    files = {name for line in listed for name in line.split()} | {"__init__.py"}
    assert files == {path.name for path in (package / "pool").glob("*.py")}
    named = re.findall(r"^\|.*\|$", page, re.MULTILINE)
    paths = {path for row in named for path in re.findall(r"`([\w/]+\.py)`", row)}
    assert [path for path in sorted(paths) if not (package / path).exists()] == []


def test_the_design_page_names_what_is_in_the_files() -> None:
    """What stands behind a file in the table of changes is a class, function or constant of it."""
    rows = re.findall(r"^\|.*\|$", (DOCS / "design.md").read_text(), re.MULTILINE)
    named = [
        (path, name)
        for row in rows
        for path, names in re.findall(r"`([\w/]+\.py)`: (`[\w.]+`(?:(?:,| and) `[\w.]+`)*)", row)
        for name in re.findall(r"(\w+)`", names)
    ]
    assert len(named) > 10
    sources = {path: (ROOT / "pooledhttp" / path).read_text() for path, _ in named}
    defined = r"(?m)^ *(?:async )?(?:def|class) {0}\b|^{0}\b.* ="
    assert [
        each for each in named if not re.search(defined.format(each[1]), sources[each[0]])
    ] == []


def test_the_picture_shows_the_table() -> None:
    """`docs/layers.svg` is what `docs/draw_layers.py` draws now; run the script if it is not."""
    draw = runpy.run_path(str(DOCS / "draw_layers.py"))["draw"]
    assert (DOCS / "layers.svg").read_text() == draw()


def test_the_measured_picture_shows_the_measurement() -> None:
    """`docs/picture.svg` is what `docs/draw_picture.py` draws of `docs/instructions.json`."""
    module = runpy.run_path(str(DOCS / "draw_picture.py"))
    measured = json.loads((DOCS / "instructions.json").read_text())
    assert (DOCS / "picture.svg").read_text() == module["draw"](measured)
    assert "prefers-color-scheme: dark" in module["STYLE"]


def test_the_page_about_performance_has_the_figures_of_the_picture() -> None:
    """One measurement is behind both: `docs/instructions.json`."""
    measured = json.loads((DOCS / "instructions.json").read_text())
    page = (DOCS / "performance.md").read_text()
    for name, row in (
        ("pooledhttp", "**pooledhttp, h11**"),
        ("pooledhttp, fast", "**pooledhttp, httptools (extra `fast`)**"),
        ("urllib3", "urllib3"),
        ("requests", "requests"),
    ):
        figure = f"{measured[name]['instructions']:,.0f}"
        assert re.search(rf"^\| {re.escape(row)} \| (\*\*)?{figure}\b", page, re.MULTILINE), name
