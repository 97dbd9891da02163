"""Names of files: safe whatever the URL, and depending on the URL and on who came first alone."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooledhttp.bulk import Job
from pooledhttp.bulk.names import (
    MAX_BYTES,
    candidates,
    checked,
    folded,
    naming,
    plain_name,
    safe_part,
    with_mark,
)
from pooledhttp.bulk.urls import network_location

#: Letters that make trouble in names, and some that do not.
NASTY = st.text(
    st.sampled_from("./\\%:?#&=. -~\0\n\r\t\x1b\x7f\u202e\u2066\u200f\ufeffaBée\u0301ß漢😀")
)
TEXTS = st.one_of(NASTY, st.text(max_size=300))


def is_safe(part: str) -> bool:
    """What every part of a name has to be."""
    return (
        bool(part)
        and not part.startswith(".")
        and not part.endswith((".", " "))
        and not set(part)
        & set('/\\:*?"<>|\0\n\r\x1b\x7f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')
        and len(part.encode()) <= MAX_BYTES
    )


@given(TEXTS)
def test_any_text_becomes_a_safe_part(text: str) -> None:
    """And what is safe already stays as it is."""
    part = safe_part(text)
    assert is_safe(part)
    assert safe_part(part) == part


@given(
    TEXTS,
    TEXTS,
    st.sampled_from(["last", "tree", "{host}/{dir}/{stem}.{ext}", "{mark}-{query}/{name}"]),
)
def test_every_way_of_naming_stays_in_the_directory(path: str, query: str, way: str) -> None:
    """Each part of the path is safe, the marked forms too."""
    job = Job(f"http://host/{path}?{query}")
    for name in candidates(checked(naming(way)(job)), job.url.encode("utf-8", "surrogatepass")):
        assert all(is_safe(part) for part in name.split("/"))


@given(
    TEXTS, TEXTS, st.sampled_from(["http://h/", "https://h:8443", "HTTP://h/", "ftp://u:p@h/", ""])
)
def test_plain_urls_are_taken_apart_as_others_are(path: str, query: str, start: str) -> None:
    """The short way gives what `urlsplit` gives."""
    url = f"{start}{path}?{query}"
    try:
        parts = urlsplit(url)
    except ValueError:
        assert network_location(url) == "" and plain_name(url) == "invalid"
        return
    expected = parts.netloc.rpartition("@")[2] if parts.scheme else ""
    assert network_location(url) == expected


@given(st.text(st.characters(codec="utf-8"), max_size=100), st.binary(min_size=1, max_size=20))
def test_marks_differ_by_identity_and_keep_the_suffix(text: str, identity: bytes) -> None:
    """The same identity has the same names each time; another one has others."""
    name = safe_part(f"x{text}.tar")
    first, *marked = candidates(name, identity)
    assert first == name
    assert marked == list(candidates(name, identity))[1:]
    assert not set(marked) & set(list(candidates(name, identity + b"x"))[1:])
    assert all(other.endswith(".tar") for other in marked)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/x.jpg?X-Amz-Signature=1&X-Amz-Date=2&size=3", "x_size=3.jpg"),
        ("http://a/x.jpg?AWSAccessKeyId=1&Expires=2&Signature=3", "x.jpg"),
        ("http://a/x.jpg?sv=1&st=2&se=3&sig=4", "x.jpg"),
        ("http://a/x.jpg?st=2&se=3", "x_st=2&se=3.jpg"),
        ("http://a/x.jpg?token=1", "x.jpg"),
        ("http://a/x.jpg?%54oken=1&a=%20", "x_a= .jpg"),
        ("http://a/x?expires=soon", "x_expires=soon"),
        ("http://a/a\u202ejpg.exe", "a_jpg.exe"),
        ("http://a/a%1b%5b31m", "a_[31m"),
    ],
)
def test_what_signs_a_request_is_no_part_of_its_name(url: str, expected: str) -> None:
    """Such parameters change with every list, and the file is the same."""
    assert plain_name(url) == expected


@pytest.mark.parametrize(
    ("way", "job", "expected"),
    [
        ("tree", Job("http://a:8080/b/c/d.txt?e=1"), "a_8080/b/c/d_e=1.txt"),
        ("tree", Job("http://a/../.b/%2e%2e/c/"), "a/_b/c/index.html"),
        ("tree", Job("https://a:443/"), "a/index.html"),
        ("key", Job("http://a/x", key="cats/1.jpg"), "cats/1.jpg"),
        ("key", Job("http://a/x", key="../../etc/passwd"), "_/_/etc/passwd"),
        ("key", Job("http://a/x", key=7), "7"),
        ("{host}-{stem}.{ext}", Job("http://a/b/x.tar?q=1"), "a-x_q=1.tar"),
        (lambda job: "own/name", Job("http://a/"), "own/name"),
    ],
)
def test_ways_of_naming(way: str, job: Job, expected: str) -> None:
    """By the tree, by the key, by a template, by a function."""
    assert naming(way)(job) == expected


@pytest.mark.parametrize("way", ["lst", "{nothing}", "{host", "", "plain/{0}"])
def test_words_that_are_not_known_are_refused(way: str) -> None:
    """The message lists the fields that there are."""
    with pytest.raises(ValueError, match="names"):
        naming(way)


def test_a_job_without_key_cannot_be_named_after_it() -> None:
    """Said for that job."""
    with pytest.raises(ValueError, match="no key"):
        naming("key")(Job("http://a/x"))
    with pytest.raises(TypeError, match="names"):
        naming(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["", "/a", "a//b", "a/", ".a", "a/.b", "a/../b", "a\0b", ".pooledhttp/x"]
)
def test_names_of_the_callers_own_cannot_leave_the_directory(name: str) -> None:
    """Nor hide, nor meet what is ours."""
    with pytest.raises(ValueError, match="inside the directory"):
        checked(name)


def test_a_mark_fits_into_the_longest_name() -> None:
    """The stem gives way."""
    assert (
        with_mark("a.tar.gz", "1f") == "a-1f.tar.gz"
        and safe_part("y" * 300 + ".Tar.XZ")[-7:] == ".Tar.XZ"
    )
    name = with_mark("é" * 90 + ".jpeg", "0" * 64)
    assert len(name.encode()) <= MAX_BYTES and name.endswith(f"-{'0' * 64}.jpeg")


def test_case_and_unicode_form_are_folded() -> None:
    """Some file systems do not tell them apart."""
    assert folded("É.JPG") == folded("e\u0301.jpg") == folded("é.jpg")
