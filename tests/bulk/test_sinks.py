"""File names made of URLs, and bodies put into files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooledhttp.bulk import Job, UrlNames, to_files


def name(url: str) -> str:
    return UrlNames()(Job(url), 0)


class Body:
    """A response that is all body; an exception in it is raised where it stands."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces

    def iter_content(self, size: int) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def body(*pieces: bytes | Exception) -> Any:
    return Body(*pieces)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/x/photo.jpg", "photo.jpg"),
        ("http://a/", "index.html"),
        ("http://a", "index.html"),
        ("http://a/x/", "index.html"),
        ("http://a/a%20b.txt", "a b.txt"),
        ("http://a/%e2%82%ac.txt", "€.txt"),
        ("http://a/list.json?page=2", "list_page=2.json"),
        ("http://a/search?q=a/b", "search_q=a_b"),
        ("http://a/x#frag", "x"),
        ("http://a/..", "_"),
        ("http://a/.htaccess", "_htaccess"),
        ("http://a/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "_._.._etc_passwd"),
        ("http://a/..%5c..%5cx", "_._.._x"),
        ("http://a/a%00b%0a", "a_b_"),
        ("http://a/CON", "_CON"),
        ("http://a/nul.txt", "_nul.txt"),
        ("http://a/x. . ", "x"),
        ("http://[broken", "invalid"),
        ("http://a/a%2525b", "a%25b"),
        ("http://a/%ff", "\ufffd"),
    ],
)
def test_a_name_is_the_last_segment_made_safe(url: str, expected: str) -> None:
    """Escapes are decoded once, then everything a file name must not hold is replaced."""
    assert name(url) == expected


def test_different_urls_never_share_a_name() -> None:
    """The first keeps the plain name; others carry a mark of their own."""
    names = UrlNames()
    urls = ["http://a/x.txt", "http://b/x.txt", "http://a/d/x.txt", "http://a/X.TXT"]
    given_names = [names(Job(url), 0) for url in urls]
    assert given_names[0] == "x.txt"
    assert len({each.casefold() for each in given_names}) == 4
    assert all(each.lower().endswith(".txt") for each in given_names)


def test_unicode_forms_of_one_name_are_told_apart() -> None:
    """Some file systems take a composed and a decomposed letter for the same."""
    names = UrlNames()
    composed = names(Job("http://a/%c3%a9"), 0)
    decomposed = names(Job("http://a/e%cc%81"), 1)
    assert composed == "\u00e9"
    assert decomposed != composed
    assert decomposed.startswith("\u00e9-")


def test_the_same_url_has_the_same_name_each_time() -> None:
    """Also when others came in between, and in another run."""
    first, second = UrlNames(), UrlNames()
    urls = ["http://a/x", "http://b/x", "http://a/x", "http://b/x"]
    names = [first(Job(url), index) for index, url in enumerate(urls)]
    assert names[:2] == names[2:]
    assert names == [second(Job(url), index) for index, url in enumerate(urls)]


def test_reserved_names_are_not_given_away() -> None:
    """A URL that asks for one is marked, as if another had come first."""
    assert UrlNames(reserved=["Failures.txt"])(Job("http://a/failures.txt"), 0) != "failures.txt"


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_url_gives_a_name_that_stays_in_its_directory(path: str, query: str) -> None:
    """No separator, no control character, no leading dot, never too long."""
    names = UrlNames()
    names(Job("http://a/" + path), 0)
    for url in ("http://a/" + path, f"http://b/{path}?{query}", f"http://c/{path}?{query}"):
        got = names(Job(url), 1)
        assert got and os.path.basename(got) == got and "\\" not in got
        assert not got.startswith(".") and not got.endswith((".", " "))
        assert not any(ord(letter) < 32 for letter in got)
        assert len(got.encode()) <= 255


def test_a_body_is_under_its_name_when_complete(tmp_path: Path) -> None:
    """Pieces are joined in order, and nothing else is left in the directory."""
    store = to_files(tmp_path / "out").claim(Job("http://a/x.bin"), 0)
    saved = store(body(b"ab", b"cd"))
    assert (saved.target, saved.size) == (tmp_path / "out" / "x.bin", 4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.bin"]
    assert saved.target.read_bytes() == b"abcd"


def test_a_body_cut_short_leaves_nothing(tmp_path: Path) -> None:
    """An older file of that name stays as it was."""
    (tmp_path / "x").write_bytes(b"old")
    store = to_files(tmp_path).claim(Job("http://a/x"), 0)
    with pytest.raises(OSError, match="cut"):
        store(body(b"new", OSError("cut")))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_file_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    """Not private to the user, as temporary files are."""
    old = os.umask(0o022)
    try:
        to_files(tmp_path).claim(Job("http://a/x"), 0)(body(b""))
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_own_names_may_have_directories(tmp_path: Path) -> None:
    """Directories are made when the body comes."""
    sink = to_files(tmp_path, naming=lambda job, index: f"d/{index}.bin")
    assert sink.claim(Job("http://a/"), 7)(body(b"x")).target == tmp_path / "d" / "7.bin"


@pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/../../x", "/etc/x", "a\0b"])
def test_own_names_cannot_leave_the_directory(tmp_path: Path, bad: str) -> None:
    """Refused before anything is requested."""
    with pytest.raises(ValueError, match="inside"):
        to_files(tmp_path, naming=lambda job, index: bad).claim(Job("http://a/"), 0)
