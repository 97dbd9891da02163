"""Lists of URLs, and lists of what is not done."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from pooledhttp.bulk import Job
from pooledhttp.bulk.failures import FailureList, is_failure_list
from pooledhttp.bulk.formats import read_urls
from pooledhttp.bulk.inputs import OpenList, Sources, UrlList


def test_what_counts_as_a_url() -> None:
    """Not comments, blank lines, reasons, white space or a byte order mark."""
    data = b"\xef\xbb\xbfhttp://a/\r\n\n  http://b/ \n# http://c/\nhttp://d/\twhy not\n\t\n"
    assert list(read_urls(io.BytesIO(data))) == ["http://a/", "http://b/", "http://d/"]
    assert list(read_urls(io.StringIO(data.decode()))) == ["http://a/", "http://b/", "http://d/"]


def test_bytes_that_are_not_utf8_are_sent_as_they_are() -> None:
    """Percent-encoded; UTF-8 stays text."""
    lines = [b"http://a/caf\xe9\n", "http://a/café\n".encode()]
    assert list(read_urls(lines)) == ["http://a/caf%E9", "http://a/café"]


def test_a_list_knows_its_rest(tmp_path: Path) -> None:
    """Looked at without being read."""
    path = tmp_path / "urls"
    path.write_text("http://a/1\nhttp://a/2\nhttp://a/3\n")
    urls = UrlList(path)
    assert urls.count() == 3
    assert next(urls) == "http://a/1"
    assert list(urls.peek_rest()) == ["http://a/2", "http://a/3"]
    assert urls.is_file(path) and not urls.is_file(tmp_path / "other")
    assert list(urls) == ["http://a/2", "http://a/3"]
    assert list(urls.peek_rest()) == [] and list(urls) == []


@pytest.mark.parametrize("name", ["urls.csv", "urls.csv.gz"])
def test_the_rest_of_any_list_is_known(tmp_path: Path, name: str) -> None:
    """Compressed and with columns; also when its name has got another file meanwhile."""
    data = b"url,key\nhttp://a/1,1\nhttp://a/2,2\nhttp://a/3,3\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    urls = UrlList(path)
    assert urls.count() == 3
    assert next(urls) == Job("http://a/1", key="1")
    path.unlink()
    path.write_text("url\nhttp://other/\n" * 9)
    assert [str(job.key) for job in urls.peek_rest() if isinstance(job, Job)] == ["2", "3"]
    assert [str(job.key) for job in urls if isinstance(job, Job)] == ["2", "3"]


def test_several_lists_are_one_source(tmp_path: Path) -> None:
    """After what is given; each is read on where it is."""
    (tmp_path / "a").write_text("http://a/1\nhttp://a/2\n")
    (tmp_path / "b.jsonl").write_text('"http://b/1"\n')
    lists = [UrlList(tmp_path / "a"), UrlList(tmp_path / "b.jsonl")]
    source = Sources(["http://given/"], lists)
    everything = ["http://given/", "http://a/1", "http://a/2", "http://b/1"]
    assert source.can_read_rest and source.count() == 4 and source.size > 30
    assert source.is_file(tmp_path / "b.jsonl") and not source.is_file(tmp_path / "c")
    for taken in range(5):
        assert list(source.peek_rest()) == everything[taken:]
        assert next(source, None) == (everything[taken] if taken < 4 else None)
    source.close()
    with_pipe = Sources(["http://given/"], [OpenList(io.BytesIO(b"http://c/\n"))])
    assert not with_pipe.can_read_rest and with_pipe.count() is None
    assert list(with_pipe) == ["http://given/", "http://c/"]


def test_a_format_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """With those that do."""
    with pytest.raises(ValueError, match="txt, csv, tsv, jsonl"):
        UrlList(os.devnull, "xml")
    with pytest.raises(ValueError, match="jsonl"):
        OpenList(io.StringIO(), "xml")


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """Its rest is not looked at, and its length is not known."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"http://a/\n")
    urls = UrlList(path)
    os.close(writer)
    assert not urls.can_read_rest and urls.count() is None and urls.size == 0
    assert list(urls) == ["http://a/"]


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ("", True),
        ("http://a/\twhy\n", True),
        ("# x\n\nhttp://a/\twhy\n", True),
        ("dear diary\n", False),
        ("http://a/\twhy\nhttp://b/\n", False),
    ],
)
def test_lists_of_failures_are_known_by_their_form(
    tmp_path: Path, text: str, is_ours: bool
) -> None:
    """Every line has a reason."""
    path = tmp_path / "x"
    path.write_text(text)
    assert is_failure_list(path) is is_ours


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / ".pooledhttp").mkdir()
    return tmp_path / "failures.txt"


def failure_list(place: Path, source: UrlList | None = None) -> FailureList:
    return FailureList(place, place.parent / ".pooledhttp", source)


def test_a_list_is_replaced_when_its_successor_is_complete(place: Path) -> None:
    """An error in between leaves the old one, and nothing else."""
    place.write_text("http://a/\told\n")
    listed = failure_list(place)

    def lines() -> object:
        yield "http://a/", "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listed.write(lines(), is_complete=True)  # type: ignore[arg-type]
    assert place.read_text() == "http://a/\told\n"
    assert listed.write([("http://a/", "new\n\x1b[31m")], is_complete=True) == 1
    assert place.read_text() == "http://a/\tnew \\x1b[31m\n"
    assert listed.path == place
    assert sorted(path.name for path in place.parent.iterdir()) == [".pooledhttp", "failures.txt"]


def test_a_list_without_lines_goes_when_the_run_is_complete(place: Path) -> None:
    """And stays when it is not."""
    place.write_text("http://a/\told\n")
    failure_list(place).write([], is_complete=False)
    assert place.exists()
    failure_list(place).write([], is_complete=True)
    assert not place.exists()


def test_a_foreign_file_is_kept(place: Path) -> None:
    """The list goes to our own directory; a place that was named is refused."""
    place.write_text("dear diary\n")
    listed = failure_list(place)
    listed.write([("http://a/", "why")], is_complete=True)
    listed.write([], is_complete=True)
    assert place.read_text() == "dear diary\n"
    assert listed.path == place.parent / ".pooledhttp" / "failures.txt"
    with pytest.raises(FileExistsError, match="no list of failures"):
        FailureList(place, place.parent, must_be_ours=True)


def test_the_input_may_be_replaced_whatever_it_looks_like(place: Path) -> None:
    """A plain list of URLs under that name, when it is what is read."""
    place.write_text("http://a/\nhttp://b/\n")
    source = UrlList(place)
    listed = failure_list(place, source)
    listed.write([("http://b/", "why")], is_complete=True)
    assert place.read_text() == "http://b/\twhy\n"
    source.close()


def test_a_link_is_not_followed(place: Path) -> None:
    """Where it leads is somebody else's."""
    target = place.with_name("target")
    target.write_text("")
    place.symlink_to(target)
    listed = failure_list(place)
    listed.write([("http://a/", "why")], is_complete=True)
    assert target.read_text() == "" and place.is_symlink()


def test_a_list_has_one_line_for_each_url(place: Path) -> None:
    """What would break a line is percent-encoded."""
    listed = failure_list(place)
    listed.write([("http://a/x\ny\u2028z\x1b", "why")], is_complete=True)
    assert place.read_text() == "http://a/x%0Ay%E2%80%A8z%1B\twhy\n"
