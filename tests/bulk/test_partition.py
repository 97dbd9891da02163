"""Which partition has which job, and what share of a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooledhttp.bulk import partition
from pooledhttp.bulk.partition import Shard, Shards, Spreader, share

#: Jobs as (host, number); one host is much larger than others in most of them.
jobs = st.lists(
    st.tuples(st.sampled_from("aaaaaaaabcdefg"), st.integers(0, 10_000)), max_size=80
).map(lambda few: [(f"http://{host}:80", f"http://{host}/{n}") for host, n in few])
counts = st.integers(1, 7)
limits = st.one_of(st.none(), st.integers(1, 9))


@pytest.fixture(scope="module", autouse=True)
def short_lines_are_split() -> Iterator[None]:
    """Small examples are fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "_LEAST_SPLIT", 16)
        yield


def spread(given_jobs: list[tuple[str, str]], count: int, limit: int | None) -> list[int]:
    spreader = Spreader(count, limit)
    return [spreader.place(line, url) for line, url in given_jobs]


@settings(max_examples=25, deadline=None)
@given(jobs, counts, limits)
def test_every_job_has_a_partition_and_the_limits_hold(
    given_jobs: list[tuple[str, str]], count: int, limit: int | None
) -> None:
    """Shares of a line add up to its limit, and each partition that has the line has a share."""
    spreader = Spreader(count, limit)
    for line, url in given_jobs:
        place = spreader.place(line, url)
        assert 0 <= place < count
        assert place in spreader.places(line)
        if limit is not None:
            shares = [spreader.limit(line, each) or 0 for each in range(count)]
            assert sum(shares) == limit
            assert all(shares[each] > 0 for each in spreader.places(line))


@settings(max_examples=25, deadline=None)
@given(jobs, counts, limits)
def test_the_same_input_is_spread_the_same(
    given_jobs: list[tuple[str, str]], count: int, limit: int | None
) -> None:
    """Also when there is more of it at its end."""
    whole = spread(given_jobs, count, limit)
    part = given_jobs[: len(given_jobs) // 2]
    assert spread(part, count, limit) == whole[: len(part)]


def test_a_line_stays_whole_until_it_is_too_large() -> None:
    """Two hosts of one size are in one partition each; a third of the size of both is split."""
    two = [(f"h{n % 2}", f"{n}") for n in range(2000)]
    spreader = Spreader(2, 6)
    places = {(line, spreader.place(line, url)) for line, url in two}
    assert len(places) == 2 and len({place for _, place in places}) == 2
    large = Counter(spreader.place("large", f"{n}") for n in range(8000))
    assert set(large) == {0, 1} and min(large.values()) > 2000
    assert spreader.limit("large", 0) == spreader.limit("large", 1) == 3
    assert spreader.limit("h0", 0) in (0, 6)


def test_a_line_is_in_no_more_partitions_than_it_may_have_requests() -> None:
    """Each of them can send one at least."""
    spreader = Spreader(5, 2)
    assert len({spreader.place("h", f"{n}") for n in range(3000)}) == 2
    assert [spreader.limit("h", each) for each in range(5)].count(1) == 2


def test_hosts_without_number_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are too many go where their hash says."""
    monkeypatch.setattr(partition, "_LINES_REMEMBERED", 10)
    spreader = Spreader(3, 4)
    for n in range(50):
        place = spreader.place(f"h{n}", "u")
        assert spreader.places(f"h{n}") == (place,)
        assert spreader.limit(f"h{n}", place) == 4
    assert len(spreader._places) == 10


@settings(max_examples=25, deadline=None)
@given(jobs, counts, limits, st.randoms(use_true_random=False))
def test_shards_do_not_depend_on_the_order(
    given_jobs: list[tuple[str, str]], count: int, limit: int | None, random: object
) -> None:
    """Runs that see the same list agree, although each sees it in its own order."""
    sizes = Counter(line for line, _ in given_jobs)
    shards = Shards(count, sizes, limit)
    shuffled = list(given_jobs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = Shards(count, Counter(line for line, _ in shuffled), limit)
    for line, url in given_jobs:
        place = shards.place(line, url)
        assert place == other.place(line, url)
        assert 1 <= place <= count
        shares = [shards.limit(line, limit, each) for each in range(1, count + 1)]
        if limit is not None:
            assert sum(map(int, shares)) == limit  # type: ignore[arg-type]
            assert shares[place - 1]
        rates = [shards.limit(line, 1.5, each) or 0.0 for each in range(1, count + 1)]
        assert sum(rates) == pytest.approx(1.5)


def test_without_counts_no_line_is_split() -> None:
    """A list from a pipe is read once."""
    shards = Shards(4)
    assert len({shards.place("h", f"{n}") for n in range(2000)}) == 1


def test_shares() -> None:
    """Whole numbers stay whole, and none of them is lost."""
    assert [share(7, 3, rank) for rank in range(3)] == [3, 2, 2]
    assert [share(1.5, 3, rank) for rank in range(3)] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("numbers", [(0, 3), (4, 3), (1, 0)])
def test_a_shard_that_is_none(numbers: tuple[int, int]) -> None:
    """The numbers are from 1 to N."""
    with pytest.raises(ValueError, match="I/N"):
        Shard(*numbers)
    assert str(Shard(2, 3)) == "2/3"
