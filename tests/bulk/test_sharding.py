"""Several runs that share a list and a directory, and know nothing of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import partition
from pooledhttp.bulk.sharding import Sharding
from pooledhttp.cli.main import main
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


def body_of(path: str) -> bytes:
    return path.encode() * 3


def serve(seen: SeenRequest) -> bytes:
    return respond(body_of(seen.target))


@pytest.fixture(autouse=True)
def short_lines_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "_LEAST_SPLIT", 16)


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A list with two hosts, one of them three times as large; all have the same last segment."""
    with ScriptedServer(answering(serve)) as large, ScriptedServer(answering(serve)) as small:
        urls = [large.url(f"/{n}/same.txt") for n in range(30)]
        urls += [small.url(f"/{n}/same.txt") for n in range(10)]
        path = tmp_path / "urls.txt"
        path.write_text("".join(f"{url}\n" for url in urls))
        yield path, urls


def records(directory: Path) -> dict[str, tuple[str | None, str | None]]:
    with bulk.Run(directory) as run:
        return {each.url: (each.name, each.digest) for each in run}


def test_the_command_counts_a_list_once_for_its_shard(
    listed: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hosts, and then what of it is in the shard; the download does not count again."""
    path, _ = listed
    read: list[object] = []
    real = bulk.UrlList.peek_rest

    def peek_rest(self: bulk.UrlList) -> Iterator[bulk.Item]:
        read.append(self)
        return real(self)

    monkeypatch.setattr(bulk.UrlList, "peek_rest", peek_rest)
    arguments = ["fetch", "-i", str(path), "-q", "-d", str(tmp_path / "out"), "--shard", "1/2"]
    assert main([*arguments, "--failures", str(tmp_path / "failures.txt")]) == 0
    assert len(read) <= 3  # the third time for the list of failures
    with bulk.Run(tmp_path / "out") as run:
        assert 0 < sum(run.counts().values()) < 40


def test_the_union_of_shards_is_one_run(
    listed: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same URLs with the same bodies, each once; every name has the mark of its URL."""
    path, _ = listed
    common = ["fetch", "-i", str(path), "-q", "--digest", "sha256", "-d"]
    assert main([*common, str(tmp_path / "one")]) == 0
    for shard in ("1/3", "2/3", "3/3"):
        assert main([*common, str(tmp_path / "many"), "--shard", shard]) == 0
    one, many = records(tmp_path / "one"), records(tmp_path / "many")
    assert {url: digest for url, (_, digest) in one.items()} == {
        url: digest for url, (_, digest) in many.items()
    }
    assert len(many) == 40
    for url, (name, digest) in many.items():
        assert name == f"same-{hashlib.sha256(url.encode()).hexdigest()[:16]}.txt"
        body = (tmp_path / "many" / name).read_bytes()
        assert digest == f"sha256:{hashlib.sha256(body).hexdigest()}"
    capsys.readouterr()
    assert main(["status", str(tmp_path / "many")]) == 0
    assert "40 URLs" in capsys.readouterr().out
    again = bulk.download(bulk.UrlList(path), tmp_path / "many", shard="2/3")
    assert all(result.ok and not result.is_new for result in again)
    assert main([*common[:3], "-d", str(tmp_path / "many"), "--dry-run", "--shard", "1/3"]) == 0
    assert capsys.readouterr().out == ""


def test_shards_over_workers_divide_the_limits_of_a_split_host(
    listed: tuple[Path, list[str]],
) -> None:
    """All shares of it together are the limit; a redirect may lead to any host."""
    path, urls = listed
    line = bulk.Job(urls[0]).line
    with closing(bulk.UrlList(path)) as source:
        shards = [Sharding(bulk.Shard(number, 3), source, 6, 1.5) for number in range(1, 4)]
    assert all(line in each.divided for each in shards)
    limits = [each.limit_of(line) for each in shards if any(map(each.has, urls[:30]))]
    assert sum(limit or 0 for limit in limits) == 6
    assert all(each.limit_of("http://elsewhere:80") == 2 for each in shards)
    assert [sum(each.has(url) for each in shards) for url in urls] == [1] * 40
    assert Sharding(bulk.Shard(1, 3), None, None).limit_of(line) is None


@pytest.mark.parametrize("shard", ["0/3", "4/3", "x", "1/"])
def test_a_shard_that_is_none(shard: str, tmp_path: Path) -> None:
    """It is refused before anything is done."""
    with pytest.raises(ValueError, match="I/N"):
        bulk.download([], tmp_path, shard=shard)
    with pytest.raises(SystemExit):
        main(["fetch", "http://a.example/", "--shard", shard])
