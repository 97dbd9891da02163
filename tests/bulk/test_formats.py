"""Lists in every format: what is a job, and what is a bad line in its place."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import closing
from pathlib import Path

import pytest

from pooledhttp.bulk import Job, UrlList
from pooledhttp.bulk.formats import Item, format_of, read_items
from pooledhttp.bulk.jobs import BadLine

CSV = 'Name,URL,sha256,size,headers,extra\r\n"a, b.txt",http://h/a,F00,7,X-A: 1,?\r\n,http://h/é,,,,\r\n'


def items(data: bytes | str, format: str) -> list[Item]:
    raw = data.encode() if isinstance(data, str) else data
    return list(read_items(io.BytesIO(raw), format))


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("a", "txt"),
        ("a.CSV", "csv"),
        ("b.tsv.gz", "tsv"),
        ("c.jsonl.gz", "jsonl"),
        ("c.ndjson", "jsonl"),
        ("d.gz", "txt"),
        ("e.csv.txt", "txt"),
    ],
)
def test_names_tell_formats(path: str, format: str) -> None:
    """Whatever the case, compressed or not."""
    assert format_of(path) == format


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_bytes_become_the_same_items(encoding: str, is_compressed: bool) -> None:
    """Byte order marks, UTF-16, CRLF and gzip make no difference."""
    if encoding.endswith("with mark"):
        data = b"\xfe\xff" + CSV.encode("utf-16-be")
    else:
        data = CSV.encode(encoding)
    found = items(gzip.compress(data) if is_compressed else data, "csv")
    assert found == [
        Job("http://h/a", name="a, b.txt", sha256="F00", size=7, headers={"X-A": "1"}),
        Job("http://h/é"),
    ]
    text = CSV.removeprefix("\ufeff")
    assert items(text.replace(",", "\t").replace('"', ""), "tsv")[1] == Job("http://h/é")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_end_in_any_way(end: str, encoding: str) -> None:
    """Also as on old Macs, and a quoted cell of CSV keeps its line ends."""
    urls = ["http://h/a", "http://h/b"]
    assert items(f"{end}{end.join(urls)}".encode(encoding), "txt") == urls
    assert items(f'"{urls[0]}"{end}"{urls[1]}"{end}'.encode(encoding), "jsonl") == urls
    table = f'url,data{end}{urls[0]},"x{end}y"{end}{urls[1]},{end}'
    assert items(table.encode(encoding), "csv") == [
        Job(urls[0], "POST", data=f"x{end}y".encode()),
        Job(urls[1]),
    ]


def test_rows_without_names_begin_with_the_url() -> None:
    """Blank rows and comments do not count."""
    rows = "# mine\n\nhttp://h/a,what,ever\n ,\nhttp://h/b\n"
    assert items(rows, "csv") == [Job("http://h/a"), Job("http://h/b")]


def test_lines_of_json_are_urls_or_jobs() -> None:
    """With the same names as columns."""
    lines = [
        "http://h/a",
        {"url": "http://h/b", "key": 7, "json": {"a": [1]}, "unknown": 1},
        {"url": " http://h/c ", "data": "x=1", "method": "PUT", "headers": {"A": "b"}},
        {"url": "http://h/d", "name": "d/e.txt", "md5": "00", "size": 0, "key": None},
    ]
    assert items("\n\n".join(map(json.dumps, lines)), "jsonl") == [
        "http://h/a",
        Job("http://h/b", "POST", key="7", json={"a": [1]}),
        Job("http://h/c", "PUT", {"A": "b"}, b"x=1"),
        Job("http://h/d", name="d/e.txt", md5="00", size=0),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("7", "neither"),
        ('{"key": "a"}', "no URL"),
        ('{"url": 3}', "url must be"),
        ('{"url": "u", "size": "x"}', "size must be"),
        ('{"url": "u", "size": -1}', "size must be"),
        ('{"url": "u", "headers": ["a"]}', "headers must be"),
        ('{"url": "u", "headers": "no colon"}', "headers must be"),
        ('{"url": "u", "headers": {"a": 1}}', "headers must be"),
        ('{"url": "u", "json": "{"}', "Expecting"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"url": "u", "size": {"1" * 5000}}}', "digits"),
        (json.dumps({"url": "u", "headers": "{" * 100_000}), "Expecting"),
        (json.dumps({"url": "u", "json": "[" * 100_000}), "nested too deeply"),
    ],
)
def test_a_bad_line_is_bad_in_its_place(line: str, problem: str) -> None:
    """And the next one is read."""
    bad, good = items(f'{line}\n"http://h/a"\n', "jsonl")
    assert isinstance(bad, BadLine) and problem in bad.problem
    assert good == "http://h/a"


def test_a_row_that_is_no_csv_is_bad_in_its_place() -> None:
    """A quote that does not end where it should, a field without end."""
    found = items('url\n"http://h/a"x\nhttp://h/b\n', "csv")
    assert isinstance(found[0], BadLine) and found[1] == Job("http://h/b")
    (last,) = items('url\n"http://h/a', "csv")
    assert isinstance(last, BadLine)


def test_the_lines_that_an_open_quote_has_taken_are_named() -> None:
    """They are in no other item, so nothing else tells that they were not fetched."""
    text = 'url,name\nhttp://h/1,a\nhttp://h/2,"b\nhttp://h/3,c\nhttp://h/4,d\n'
    *good, bad = items(text, "csv")
    assert good == [Job("http://h/1", name="a")] and isinstance(bad, BadLine)
    assert bad.text == "lines 3 to 5" and bad.problem.startswith("lines 3 to 5: ")
    long = "url\n" + '"http://h/0\n' + "".join(f"http://h/{n}\n" for n in range(1, 20_000))
    found = items(long, "csv")
    assert isinstance(found[0], BadLine) and found[0].text.startswith("lines 2 to ")
    last_bad = int(found[0].text.rpartition(" ")[2])
    assert found[1:] == [Job(f"http://h/{n}") for n in range(last_bad - 1, 20_000)]


def test_a_list_that_is_cut_is_an_error() -> None:
    """After what could be read."""
    data = gzip.compress("".join(f"http://h/{n}\n" for n in range(20_000)).encode())
    reader = read_items(io.BytesIO(data[: len(data) // 2]), "txt")
    assert next(reader) == "http://h/0"
    with pytest.raises(OSError, match="the list is cut or damaged"):
        list(reader)


@pytest.mark.parametrize("cut", [5, 100, -4, -1, None])
def test_the_list_that_is_damaged_is_named(tmp_path: Path, cut: int | None) -> None:
    """Wherever it is cut, and whatever is behind it; there may be several lists."""
    path = tmp_path / "some.txt.gz"
    data = gzip.compress("".join(f"http://h/{n}\n" for n in range(1000)).encode())
    path.write_bytes(data + b"no gzip" if cut is None else data[:cut])
    with closing(UrlList(path)) as source:
        for read in (source.count, lambda: list(source)):
            with pytest.raises(OSError, match=r"some\.txt\.gz is cut or damaged"):
                read()
