"""Jobs, and the queues they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import Job
from tests.support.scripted import ScriptedServer, answering, respond


def test_a_string_is_a_job_with_defaults() -> None:
    """A URL alone is enough."""
    assert Job.of("http://a/") == Job("http://a/", method="GET")


def test_a_job_is_taken_as_it_is() -> None:
    """No copy is made."""
    job = Job("http://a/", key=7)
    assert Job.of(job) is job


@pytest.mark.parametrize("item", [None, 3, b"http://a/", ["http://a/"]])
def test_anything_else_is_refused(item: object) -> None:
    """The message names the type that came."""
    with pytest.raises(TypeError, match=type(item).__name__):
        Job.of(item)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": None}, "the url of a job must be a str, not None"),
    ({"url": b"http://a/"}, "the url of a job must be a str, not b'http"),
    ({"method": 5}, "the method of a job must be a str, such as GET, not 5"),
    ({"name": 5}, "the name of a job must be a str or None, not 5"),
    ({"sha256": 5}, "the sha256 of a job must be a str or None, not 5"),
    ({"md5": [5]}, "the md5 of a job must be a str or None"),
    ({"size": "5"}, "must be a whole number of bytes or None, not '5'"),
    ({"size": True}, "must be a whole number of bytes or None, not True"),
    ({"headers": "a: b"}, "such as {'Accept': 'text/html'}, not a str"),
    ({"headers": [("a", "b")]}, "not a list"),
    ({"headers": {5: "b"}}, "the name of a header must be a str, not 5"),
]


@pytest.mark.parametrize(("given", "says"), WRONG, ids=range(len(WRONG)))
def test_values_of_wrong_types(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    """They fail the job, whichever function runs it, and the run goes on."""
    job = Job(**{"url": "http://127.0.0.1:1/", **given})
    with pytest.raises(TypeError) as caught:
        Job.of(job)
    assert says in str(caught.value)
    for results in (bulk.fetch([job, "x"]), bulk.download([job, "x"], tmp_path)):
        failed = {str(result.url): str(result.error) for result in results}
        assert says in failed[str(job.url)]
        assert "No scheme supplied" in failed["x"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": -1}, "the size of a job must be at least 0, not -1"),
        ({"sha256": "xyz"}, "the sha256 of a job must be 64 hexadecimal digits, not 'xyz'"),
        ({"sha256": "0" * 63 + "g"}, "must be 64 hexadecimal digits"),
        ({"sha256": "sha256:" + "0" * 64}, "must be 64 hexadecimal digits"),
        ({"sha256": "0" * 32}, "must be 64 hexadecimal digits"),
        ({"md5": ""}, "the md5 of a job must be 32 hexadecimal digits, not ''"),
    ],
)
def test_values_that_no_body_can_have(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    """The job fails before its body is downloaded, and the run goes on."""
    with ScriptedServer(answering(respond(b"body"))) as server:
        jobs = [Job(server.url("/1"), **given), Job(server.url("/2"), size=4)]
        wrong, right = bulk.download(jobs, tmp_path, ordered=True)
        assert not wrong.ok and says in str(wrong.problem)
        assert right.ok
        assert [seen.target for seen in server.requests] == ["/2"]


def test_what_counts_as_a_number_of_bytes() -> None:
    """Any whole number does, as those of numpy."""

    class Number:
        def __index__(self) -> int:
            return 5

    Job("http://a/", size=Number(), headers={b"A": "b"}).check()  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://Example.com/a?b", "http://example.com:80"),
        ("HTTPS://u:p@example.com/", "https://example.com:443"),
        ("https://example.com:8443", "https://example.com:8443"),
        (" http://[::1]:8080/x", "http://::1:8080"),
        ("no url", ""),
        ("http://[broken/", ""),
        ("http://a:99999/", ""),
        ("mailto:x@y", ""),
    ],
)
def test_jobs_queue_by_scheme_host_and_port(url: str, line: str) -> None:
    """Spelling does not matter, and a URL that cannot be read queues without a host."""
    assert Job(url).line == line
