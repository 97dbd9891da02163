"""Jobs, and the queues they stand in."""

from __future__ import annotations

import pytest

from pooledhttp.bulk import Job


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
