"""Plain words: no private metaphors in names, no archaic English in texts."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "pooledhttp"
FILES = sorted(ROOT.rglob("*.py"))

PAGES = [
    *sorted((ROOT.parent / "docs").rglob("*.md")),
    *sorted(ROOT.parent.glob("*.md")),
    ROOT.parent / "tests" / "README.md",
]

#: Words that say nothing to a newcomer, with their forms.
METAPHORS = re.compile(
    r"(?:^|_)(?:desk|ledger|books|shel[fv]|carcass|doom|bur(?:y|ied)|hush|rous|weed|elder|chapter"
    r"|stray|seat|crew|hir(?:e|ing)|farewell|bent|joint|border|hurr(?:y|ied)|pass(?:es|ed)?_?by)"
    r"(?:s|es|ed|ing|d)?(?=_|$)"
)

#: Names that stay, each with its reason. None today.
EXCEPTIONS: dict[str, str] = {}

ARCHAIC = re.compile(
    r"\b(?:lest|whoever|anew|afresh|heeds?|heeded|whence|befalls?|befell|naught|nobody|nowise|hence|thereof|whereby|he|his|him)\b",
    re.IGNORECASE,
)


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that is defined, read, imported or passed, with its line."""
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield getattr(node, "lineno", 0), value


def metaphors(source: str) -> list[tuple[int, str]]:
    """The identifiers of a source that are private metaphors."""
    found = []
    for line, name in identifiers(ast.parse(source)):
        if METAPHORS.search(_snake_case(name)) and name not in EXCEPTIONS:
            found.append((line, name))
    return found


def archaic_names(source: str) -> list[tuple[int, str]]:
    """The identifiers of a source that have an archaic word in them."""
    return [
        (line, name)
        for line, name in identifiers(ast.parse(source))
        if ARCHAIC.search(_snake_case(name).replace("_", " "))
    ]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def archaic_words(source: str) -> list[tuple[int, str]]:
    """The archaic words in comments and in strings: docstrings, messages."""
    texts = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    return [
        (token.start[0], word)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type in texts
        for word in ARCHAIC.findall(token.string)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_texts_are_plain(path: Path) -> None:
    """Each file names things as the field does, and explains them in the English of today."""
    source = path.read_text()
    assert metaphors(source) == []
    assert archaic_words(source) == []
    assert archaic_names(source) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_pages_are_plain(path: Path) -> None:
    """The documentation has the English of today, too."""
    assert ARCHAIC.findall(path.read_text()) == []


def test_module_names_are_plain() -> None:
    """Files and folders follow the same rule."""
    names = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert [name for name in sorted(names) if METAPHORS.search(name)] == []


def test_the_reader_finds_what_it_looks_for() -> None:
    """Forms and capitals are found; words that only contain one are not."""
    source = "class StrayLease:\n    def _pass_by(self): return self.is_hurried\n"
    assert {name for _, name in metaphors(source)} == {"StrayLease", "_pass_by", "is_hurried"}
    assert metaphors("absent = recent = border_less = chapters = 1; disjoint = joint_ = 2") == [
        (1, "border_less"),
        (1, "chapters"),
        (1, "joint_"),
    ]
    assert archaic_names("def is_heeded(whenceAt, whence_, she): the = 1") == [
        (1, "is_heeded"),
        (1, "whenceAt"),
        (1, "whence_"),
    ]
    assert archaic_words('x = f"{y} lest"  # Hence\n"""the best"""') == [(1, "lest"), (1, "Hence")]
