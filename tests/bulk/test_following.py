"""Lists that grow while they are read."""

from __future__ import annotations

import gzip
import os
from contextlib import closing
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import FollowedList, Job
from pooledhttp.bulk.formats import Item
from tests.support.scripted import ScriptedServer, answering, respond


def now(source: FollowedList) -> list[Item]:
    """Return the items that are there now."""
    items = []
    while source.is_ready:
        item = next(source, None)
        if item is None:
            break
        items.append(item)
    return items


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Line by line; one that is not complete waits for its end."""
    path = tmp_path / "urls.txt"
    path.write_text("# list\nhttp://h/a\nhttp://h")
    source = FollowedList(path)
    assert now(source) == ["http://h/a"] and not source.is_ready
    append(path, "/b\n\n")
    assert now(source) == ["http://h/b"] and not source.is_ready
    assert source.is_file(path) and source.count() is None
    append(path, "http://h/c\nhttp://h/d")
    assert list(source.peek_rest()) == list(source.peek_rest()) == ["http://h/c", "http://h/d"]
    source.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_the_list_ends_when_its_file_goes(tmp_path: Path, how: str) -> None:
    """What was appended before that is read, the last line without an end as well."""
    path = tmp_path / "urls.jsonl"
    path.write_text('{"url": "http://h/a", "key": "1"}\n')
    source = FollowedList(path)
    assert now(source) == [Job("http://h/a", key="1")]
    append(path, '"http://h/b"\n"http://h/c"')
    if how == "removed":
        path.unlink()
    else:
        (tmp_path / "new").write_text('"http://h/other"\n')
        os.replace(tmp_path / "new", path)
    assert now(source) == ["http://h/b", "http://h/c"]
    assert source.is_ready and next(source, None) is None


@pytest.mark.parametrize("name", ["urls.csv", "urls.tsv", "urls.txt.gz"])
def test_tables_and_compressed_lists_are_refused(tmp_path: Path, name: str) -> None:
    """Their lines mean nothing by themselves."""
    (tmp_path / name).write_text("url\n")
    with pytest.raises(ValueError, match=r"\.txt and \.jsonl"):
        FollowedList(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"http://h/a\n"),
        "http://h/a\n".encode("utf-16"),
        "http://h/a\n".encode("utf-16-le"),
        "http://h/a\n".encode("utf-16-be"),
    ],
    ids=["gzip", "marked", "le", "be"],
)
def test_what_is_not_utf_8_is_refused_by_its_content(tmp_path: Path, content: bytes) -> None:
    """Whatever the name says: a line cannot be cut out of it."""
    (tmp_path / "urls.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"urls\.txt is compressed|urls\.txt is in UTF-16"):
        FollowedList(tmp_path / "urls.txt")


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    """As in a list that is not followed."""
    (tmp_path / "urls.txt").write_bytes(b"\xef\xbb\xbfhttp://h/a\n")
    (tmp_path / "urls.jsonl").write_bytes(b'\xef\xbb\xbf"http://h/a"\n')
    for name in ("urls.txt", "urls.jsonl"):
        with closing(FollowedList(tmp_path / name)) as source:
            assert now(source) == ["http://h/a"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe has an end of its own, and a read of it waits."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        FollowedList(tmp_path / "pipe")


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_list_that_is_cut_is_read_from_its_start(tmp_path: Path, is_begun: bool) -> None:
    """As `tail -f` does: the new lines are not looked for where the old ones ended."""
    path = tmp_path / "urls.txt"
    path.write_text("http://h/first\nhttp://h/second\n" + "http://h/begun" * is_begun)
    source = FollowedList(path)
    assert now(source) == ["http://h/first", "http://h/second"]
    path.write_text("http://h/c\n")
    assert now(source) == ["http://h/c"]
    append(path, "http://h/d\n")
    assert now(source) == ["http://h/d"]
    path.write_text("")
    assert not source.is_ready
    append(path, "http://h/e")
    assert list(source.peek_rest()) == ["http://h/e"]
    source.close()


def test_a_download_goes_on_with_what_comes(tmp_path: Path) -> None:
    """Each result may bring more lines; the run ends with the list."""
    path = tmp_path / "urls.txt"
    with ScriptedServer(answering(lambda seen: respond(b"x"))) as server:
        path.write_text(f"{server.url('/0')}\n")
        names = []
        for result in bulk.download(FollowedList(path), tmp_path / "out"):
            names.append(result.name)
            if len(names) < 3:
                append(path, f"{server.url(f'/{len(names)}')}\n")
            else:
                path.unlink()
    assert names == ["0", "1", "2"]


def test_a_run_that_is_stopped_lists_what_was_not_reached(tmp_path: Path) -> None:
    """Also what was appended after the last look."""
    path = tmp_path / "urls.txt"
    failures = tmp_path / "failures.txt"
    with ScriptedServer(answering(lambda seen: respond(b"x"))) as server:
        path.write_text(f"{server.url('/0')}\n")
        source = FollowedList(path)
        with (
            closing(source),
            bulk.download(source, tmp_path / "out", failures=failures) as download,
        ):
            next(download)
            append(path, f"{server.url('/1')}\n")
        assert server.url("/1") in failures.read_text()
