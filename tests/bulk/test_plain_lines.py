"""Plain URLs are registered many at a time, as they would be one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pooledhttp.bulk import Job
from pooledhttp.bulk.hashes import HashTable, add_free
from pooledhttp.bulk.jobs import bare_jobs
from pooledhttp.bulk.names import first_marked, last_name, naming
from pooledhttp.bulk.row_set import RowSet
from pooledhttp.bulk.workspace import Options, Task, Workspace

#: URLs whose names others have, and the names with their marks: one stands in the directory, one is
#: reserved, and one is the plain name of another URL.
_MARKED = [f"http://m{number}.example/same.txt" for number in range(6)]
_MARKED_NAMES = [first_marked("same.txt", url.encode()) for url in _MARKED]

_LINES = [
    *_MARKED,
    f"http://n.example/{_MARKED_NAMES[3]}",
    *(f"http://p.example/{number % 3}/page-{number}/" for number in range(12)),
    *(f"http://r{number}.example/{'r' * 196}.txt" for number in range(3)),
    *(f"https://h.example/files/{number}.bin" for number in range(40)),
    *(f"http://H.example:8080/{number}.bin" for number in range(5)),  # names that are taken
    "http://h/A.BIN",
    "http://h/a.bin",
    "http://h",
    "http://h/",
    "http://h/x/",
    "http://h/con",
    "http://h/CON.txt",
    "http://h/console",
    "http://h/com1.zip",
    "http://h/company",
    "http://h/.hidden",
    "http://h/..",
    "http://h/ends.",
    "http://h/ends...",
    "http://h/%2e%2e%2fetc",
    "http://h/%C3%9Cber.txt",
    "http://h/%ff",
    "http://h/a:b*c",
    f"http://h/{'n' * 200}",
    f"http://h/{'n' * 201}.txt",
    "http://h/q.txt?a=b&c=d",
    "http://h/q.txt?a=b&c=d",
    "http://h/signed?X-Amz-Signature=1&part=2",
    "http://h/dup#fragment",
    "http://h/dup",
    " http://h/dup ",
    "http://h:99999/port",
    "http://user@h/user",
    "HTTP://h/upper",
    "http://[::1]/v6",
    "http://h/ü",
    "http://h/reserved.txt",
    "http://h/standing.txt",
    "http://h/STANDING.TXT",
    "no url",
    "",
]


def _registered(place: Path, batches: list[list[object]], *, at_once: bool) -> list[object]:
    """Return what became of each item, and what is in the journal."""
    place.mkdir()
    (place / "standing.txt").touch()
    (place / _MARKED_NAMES[1].upper()).touch()
    options = Options(naming("last"), reserved=frozenset({"reserved.txt", _MARKED_NAMES[2]}))
    found: list[object] = []
    workspace = Workspace(place, options)
    try:
        for items in batches:
            with workspace.batch(len(items)):
                lines = workspace.plain_lines(items) if at_once else None
                at = 0
                while at < len(items):
                    steps: list[object] = []
                    if lines is not None:
                        steps = list(workspace.register_plain(lines, at))
                    steps = steps or [workspace.register(Job.of(items[at]), at)]
                    at += len(steps)
                    for step in steps:
                        if isinstance(step, Task):
                            found.append((step, vars(step.job), step.job.line == step.line))
                        else:
                            found.append(None if step is None else str(step))
        for row in workspace.journal.rows():
            found.append((row, workspace.was_seen(row.id), workspace.is_said_by_url(row)))
            assert workspace.journal.find(row.url, row.identity) == row
        query = "SELECT id, identity_hash, name_hash, name FROM jobs WHERE id>?"
        found += workspace.journal._found(query, 0)
    finally:
        workspace.close()
    return [str(each).replace(str(place), "DIR") for each in found]


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_registered_as_one_by_one(tmp_path: Path, seed: int) -> None:
    """Names, rows, hashes and tasks are the same, in whichever order lines come."""
    chance = random.Random(seed)
    items: list[object] = [*_LINES, *chance.sample(_LINES, 20)]
    items += [Job("http://h/job"), Job("http://h/9.bin", name="10.bin"), Job("http://h/k", key=3)]
    if seed % 2:
        chance.shuffle(items)
    if seed % 5 == 4:
        items.insert(30, Job("http://h/f", name="folder/file"))
    cut = chance.randrange(len(items))
    batches = [items[:cut], items[cut:]]
    one_by_one = _registered(tmp_path / "one", batches, at_once=False)
    assert _registered(tmp_path / "all", batches, at_once=True) == one_by_one


def test_most_lines_need_no_look_of_their_own(tmp_path: Path) -> None:
    """Of plain lines with names of their own, all are registered at once."""
    workspace = Workspace(tmp_path, Options(naming("last"), overwrite=True))
    items: list[object] = [f"http://h/{number}" for number in range(3000)]
    try:
        with workspace.batch(len(items)):
            lines = workspace.plain_lines(items)
            assert lines is not None
            tasks = workspace.register_plain(lines, 0)
            assert [task.job.url for task in tasks] == items
            assert {task.replaces for task in tasks} == {-1}
            assert workspace.register_plain(lines, len(items)) == []
        assert len(list(workspace.journal.rows())) == 3000
        with workspace.batch(len(items)):
            known = workspace.plain_lines(items)
            assert known is not None
            assert workspace.register_plain(known, 0) == []
    finally:
        workspace.close()


def test_lines_with_the_same_name_need_none_either(tmp_path: Path) -> None:
    """All but the first get the name with their mark, together."""
    workspace = Workspace(tmp_path, Options(last_name))
    items: list[object] = [f"http://h{number}/robots.txt" for number in range(500)]
    try:
        with workspace.batch(len(items)):
            lines = workspace.plain_lines(items)
            assert lines is not None
            tasks = workspace.register_plain(lines, 0)
        names = [task.row.name for task in tasks]
        marked = [first_marked("robots.txt", str(url).encode()) for url in items]
        assert names == ["robots.txt", *marked[1:]]
    finally:
        workspace.close()


def test_what_is_not_committed_is_not_known(tmp_path: Path) -> None:
    """A batch that fails leaves nothing, and its lines can be registered again."""
    workspace = Workspace(tmp_path, Options(last_name))
    items: list[object] = ["http://h/a", "http://h/b"]
    try:
        with pytest.raises(KeyboardInterrupt), workspace.batch(2):
            lines = workspace.plain_lines(items)
            assert lines is not None and len(workspace.register_plain(lines, 0)) == 2
            raise KeyboardInterrupt
        assert list(workspace.journal.rows()) == []
        with workspace.batch(2):
            steps = [workspace.register(Job.of(item), 0) for item in items]
        assert [step.row.name for step in steps if isinstance(step, Task)] == ["a", "b"]
    finally:
        workspace.close()


@pytest.mark.parametrize("options", [{"adopt": True}, {"naming": naming("tree")}])
def test_other_ways_look_at_each_line(tmp_path: Path, options: dict[str, object]) -> None:
    """Files to adopt, and names of another form, are for the general way."""
    workspace = Workspace(tmp_path, Options(**{"naming": last_name, **options}))  # type: ignore[arg-type]
    try:
        with workspace.batch(1):
            assert workspace.plain_lines(["http://h/a"]) is None
    finally:
        workspace.close()


def test_tables_grow_and_find_what_was_added_together() -> None:
    """Also hashes that meet in the table; a hash that is there ends it."""
    chance = random.Random(1)
    identities, names = HashTable(8), HashTable(8)
    first = [chance.randrange(1, 1 << 62) & ~7 | 1 for _ in range(500)]  # all at the same place
    second = [chance.randrange(-(1 << 62), 0) for _ in range(500)]

    def no_other_name(place: int) -> int:
        return 0

    assert add_free(identities, names, first, second, 0, 10, no_other_name) == 500
    assert [list(identities.rows(number)) for number in first] == [[n] for n in range(10, 510)]
    assert [list(names.rows(number)) for number in second] == [[n] for n in range(10, 510)]
    assert len(identities) == len(names) == 500
    assert add_free(identities, names, [5, first[3]], [6, 7], 0, 600, no_other_name) == 1
    assert add_free(identities, names, [8, 0, 9], [9, 0, 9], 0, 700, no_other_name) == 1
    assert add_free(identities, names, [10], [second[0]], 0, 800, no_other_name) == 0
    assert len(identities) == len(names) == 502
    # Of three rows with names that are there, one gets a free name, and one another that is taken.
    others = {0: 11, 1: second[2], 2: 12}
    taken = [second[0], second[1], second[3]]
    assert add_free(identities, names, [31, 32, 33], taken, 0, 900, others.__getitem__) == 1
    assert list(names.rows(11)) == [900] and list(names.rows(second[0])) == [10]
    assert add_free(identities, names, [31, 32, 33], taken, 2, 901, others.__getitem__) == 1
    assert list(names.rows(12)) == [901] == list(identities.rows(33))


def test_a_range_of_rows_is_as_each_of_them() -> None:
    """Wherever it begins and ends."""
    for first in (1, 7, 8, 9, 1023 * 8, 20_000):
        for count in (0, 1, 7, 8, 9, 64, 5000):
            rows, each = RowSet(), RowSet()
            rows.add(3)
            each.add(3)
            rows.add_range(first, count)
            for number in range(first, first + count):
                each.add(number)
            span = range(first + count + 100)
            assert [n in rows for n in span] == [n in each for n in span]


def test_bare_jobs_are_as_of_makes_them() -> None:
    """Each with what `Job.of` gives it."""
    urls = ["http://h/a", "http://h/b"]
    assert [vars(job) for job in bare_jobs(urls)] == [vars(Job.of(url)) for url in urls]
    assert bare_jobs(urls) == [Job(url) for url in urls]
