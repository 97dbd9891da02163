"""The options of `pooledhttp fetch` that say how requests are sent, and `--config`."""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

import pooledhttp
from pooledhttp.certs import where
from pooledhttp.cli.main import main, parse
from pooledhttp.cli.numbers import bytes_count
from tests.support.certificates import Authority
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

COOKIES = (
    "# Netscape HTTP Cookie File\n"
    "127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n"
    "127.0.0.1\tFALSE\t/\tFALSE\t1000000000\texpired\tx\n"
)


def fetch(*arguments: object) -> int:
    return main(["fetch", "-q", *map(str, arguments)])


def echo(seen: SeenRequest) -> bytes:
    fields = {name: seen.header(name) for name in ("user-agent", "cookie", "authorization")}
    return respond(json.dumps({**fields, "method": seen.method, "target": seen.target}).encode())


def sent(tmp_path: Path, server: ScriptedServer, *arguments: object) -> dict[str, str | None]:
    """Fetch one URL with these options; returns what the server got."""
    assert fetch(server.url("/x"), "-d", tmp_path / "out", *arguments) == 0
    found: dict[str, str | None] = json.loads((tmp_path / "out" / "x").read_text())
    return found


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ((), "user-agent", f"pooledhttp/{pooledhttp.__version__}"),
        (("-A", "me/1"), "user-agent", "me/1"),
        (("-H", "User-Agent: you"), "user-agent", "you"),
        (("-X", "OPTIONS"), "method", "OPTIONS"),
        (("--cookies", "jar"), "cookie", "session=abc"),
        (("--cookies", "headless"), "cookie", "session=abc"),
        (("--netrc-file", "nrc"), "authorization", "Basic dTpw"),
    ],
)
def test_what_is_sent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    field: str,
    value: str,
) -> None:
    """By default, and with an option."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jar").write_text(COOKIES)
    (tmp_path / "headless").write_text(COOKIES.partition("\n")[2])
    (tmp_path / "nrc").write_text("machine 127.0.0.1 login u password p\n")
    with ScriptedServer(answering(echo)) as server:
        assert sent(tmp_path, server, *options)[field] == value


def test_a_proxy_that_is_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the variables, which are as before afterwards; an empty one means none."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    with ScriptedServer(answering(echo)) as proxy, ScriptedServer(answering(echo)) as server:
        assert sent(tmp_path / "a", server, "--proxy", proxy.url(""))["target"] == server.url("/x")
        monkeypatch.delenv("no_proxy")
        assert sent(tmp_path / "b", server, "--proxy", "")["target"] == "/x"
    assert os.environ["http_proxy"] == "http://127.0.0.1:1"


def test_cas_are_added_or_replace_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--cacert` keeps those that are trusted anyway, `--cacert-only` does not."""
    for name in ("mine", "usual"):
        (tmp_path / name).mkdir()
    mine, usual = Authority(tmp_path / "mine"), Authority(tmp_path / "usual")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", usual.bundle)
    with (
        ScriptedServer(answering(echo), tls=mine.server_context()) as one,
        ScriptedServer(answering(echo), tls=usual.server_context()) as two,
    ):
        urls = (one.url("/1"), two.url("/2"))
        out = tmp_path / "out"
        only = ("--cacert-only", mine.bundle, "--retries", 0)
        assert fetch(*urls, "-d", out, *only) == 1 and not (out / "2").exists()
        assert fetch(*urls, "-d", out, "--cacert", mine.bundle) == 0
        assert (out / "1").exists() and (out / "2").exists()


def test_a_body_may_be_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its length, or while it comes; nothing of it stays, and it is not tried again."""

    def answer(seen: SeenRequest) -> bytes:
        if seen.target == "/chunked":
            head = [("Transfer-Encoding", "chunked")]
            return respond(b"9\r\n123456789\r\n0\r\n\r\n", head, length=None)
        return respond(b"x" * int(seen.target[1:]))

    out = tmp_path / "out"
    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(path) for path in ("/8", "/9", "/chunked")]
        assert fetch(*urls, "-d", out, "--max-size", 8) == 1
        assert len(server.requests) == 3
    assert (out / "8").exists() and not (out / "9").exists() and not (out / "chunked").exists()
    assert list(out.glob(".pooledhttp/parts/*")) == []
    assert capsys.readouterr().err.count("TooLarge: more than 8 bytes") == 2


def test_files_get_the_time_that_the_server_says(tmp_path: Path) -> None:
    """With `--mtime`; what is no time changes nothing."""

    def answer(seen: SeenRequest) -> bytes:
        when = "soon" if seen.target == "/b" else "Tue, 01 Jan 2019 00:00:00 GMT"
        return respond(b"x", [("Last-Modified", when)])

    with ScriptedServer(answering(answer)) as server:
        urls = (server.url("/a"), server.url("/b"))
        assert fetch(*urls, "-d", tmp_path, "--mtime") == 0
    assert (tmp_path / "a").stat().st_mtime == 1546300800
    assert (tmp_path / "b").stat().st_mtime > 1546300800


def test_a_dry_run_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And asks and changes nothing, not even the directory."""
    out = tmp_path / "out"
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(3)]
        assert main(["fetch", *urls, "-d", str(out), "--dry-run"]) == 0
        assert not out.exists() and server.requests == []
        assert capsys.readouterr().out.split() == urls
        assert fetch(*urls[:2], "-d", out) == 0
        (out / "1").unlink()
        before = sorted(out.rglob("*"))
        assert main(["fetch", *urls, "-d", str(out), "--dry-run"]) == 0
        assert sorted(out.rglob("*")) == before and len(server.requests) == 2
    said = capsys.readouterr()
    assert said.out.split() == urls[1:] and said.err == "2 to fetch, 1 there already\n"


def test_the_pace_is_kept(tmp_path: Path) -> None:
    """Requests and bytes a second reach the engine: the times are those of its own clock."""
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(6)]
        began = time.monotonic()
        assert fetch(*urls, "-d", tmp_path, "--rate", 20, "--per-host-rate", 15) == 0
        assert time.monotonic() - began >= 5 / 15
        began = time.monotonic()
        options = ("--limit-rate", "1k", "--low-speed", 1)
        assert fetch(*urls, "-d", tmp_path / "b", *options) == 0
        size = sum(path.stat().st_size for path in (tmp_path / "b").glob("[0-9]"))
        assert time.monotonic() - began >= (size - 256 - 200) / 1024


def test_a_dry_run_reads_each_kind_of_list_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to its end of now where it may grow; what is in it twice is one file."""
    urls = ["http://h/a", "http://h/b"]
    path = tmp_path / "urls.txt"
    path.write_text("\n".join([*urls, urls[0], f"{urls[1]}#part"]))
    for options in (["-i", path], ["--follow", "-i", path], ["-i", path, *urls]):
        arguments = ["fetch", "--dry-run", "-d", tmp_path / "out", *options]
        assert main(list(map(str, arguments))) == 0
        said = capsys.readouterr()
        assert said.out.split() == urls and said.err == "2 to fetch, 0 there already\n"


@pytest.mark.parametrize(
    ("text", "value"), [("500", 500), ("2k", 2048), ("1.5M", 1572864), ("1G", 1 << 30)]
)
def test_bytes_have_units(text: str, value: int) -> None:
    """As curl and wget have them."""
    assert bytes_count(text) == value


@pytest.mark.parametrize("text", ["", "k", "0", "-1", "1T", "inf", "nan", "x"])
def test_what_is_no_number_of_bytes_is_told(text: str) -> None:
    """With an example."""
    with pytest.raises(ArgumentTypeError, match="500k"):
        bytes_count(text)


@pytest.mark.parametrize(("share", "status"), [("0.5", 0), ("0.9", 1), ("0", 0)])
def test_a_part_of_all_may_be_enough(tmp_path: Path, share: str, status: int) -> None:
    """`--ok-if`: one of three fails."""

    def answer(seen: SeenRequest) -> bytes:
        return respond(b"no", status=404) if seen.target == "/2" else respond(b"x")

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(f"/{number}") for number in range(3)]
        assert fetch(*urls, "-d", tmp_path, "--ok-if", share) == status


@pytest.mark.parametrize("is_dry", [False, True])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-A", "a\nb"), "User-Agent"),
        (("-A", "\u20ac"), "latin-1"),
        (("-H", "a b: c"), "header name"),
        (("-H", "a: b\r\nc: d"), "header value"),
        (("-H", "a: \u20ac"), "latin-1"),
        (("-X", ""), "single word"),
        (("-X", "G T"), "single word"),
        (("-X", "GET\n"), "single word"),
        (("--proxy", "ftp://h:1"), "--proxy"),
        (("--proxy", "socks9://h:1"), "--proxy"),
        (("--proxy", "http://h:99999"), "--proxy"),
        (("--proxy", "http://[h"), "--proxy"),
        (("--proxy", "http://"), "--proxy"),
        (("--cacert", "garbage"), "no certificates could be read from"),
        (("--cacert", "empty"), "no certificates could be read from"),
        (("--cacert", "folder"), "openssl rehash"),
        (("--cacert-only", "garbage"), "no certificates could be read from"),
        (("--cacert-only", "folder"), "openssl rehash"),
        (("--cert", "garbage"), "could not be loaded"),
        (("--cert", "folder"), "--cert: "),
        (("--cert", "chain.pem:garbage"), "could not be loaded"),
        (("--cert", "chain.pem:other.key"), "could not be loaded"),
        (("--cert", "chain.pem"), "could not be loaded"),
        (("--cookies", "garbage"), "no file of cookies"),
        (("--cookies", "folder"), "--cookies: "),
        (("--netrc-file", "garbage"), "--netrc-file: "),
        (("--netrc-file", "binary"), "--netrc-file: "),
        (("--netrc-file", "folder"), "--netrc-file: "),
        (("--names", "{name:d}"), "is no template"),
        (("--names", "{nmae}"), "names must be"),
        (("--digest", "shake_128"), "digest must be"),
        (("--digest", "sha257"), "digest must be"),
    ],
)
def test_a_value_that_no_request_can_have_is_wrong_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    authority: Authority,
    options: tuple[str, ...],
    said: str,
    is_dry: bool,
) -> None:
    """One line tells it before anything is asked or made, not a failure for each URL."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage").write_text("this is none\n")
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0\xf0" * 50)
    (tmp_path / "folder").mkdir()
    chain, _ = authority.write_certificate(stem="one")
    _, other = authority.write_certificate(stem="two")
    (tmp_path / "chain.pem").write_bytes(Path(chain).read_bytes())
    (tmp_path / "other.key").write_bytes(Path(other).read_bytes())
    with ScriptedServer(answering(echo)) as server:
        arguments = ["fetch", server.url("/a"), "-d", "out", *options]
        try:
            status = main(arguments + ["--dry-run"] * is_dry)
        except SystemExit as exit:
            status = int(str(exit.code))
        assert server.requests == []
    lines = capfd.readouterr().err.splitlines()
    assert (status, len(lines) - lines[0].startswith("usage:")) == (2, 1), lines
    assert said in lines[-1] and lines[-1].startswith("pooledhttp fetch: ")
    assert not (tmp_path / "out").exists()


def test_files_that_are_right_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """A folder with names that OpenSSL finds, an empty netrc file, an empty file of cookies."""
    (tmp_path / "empty").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "0a1b2c3d.0").write_bytes(Path(authority.bundle).read_bytes())
    chain, key = authority.write_certificate(stem="client")
    empty = str(tmp_path / "empty")
    with ScriptedServer(answering(echo)) as server:
        for options in (
            ["--cacert", folder, "--netrc-file", empty, "--cookies", empty],
            ["--cacert-only", authority.bundle, "--cert", f"{chain}:{key}"],
            ["--proxy", "", "-A", "\u00e9"],
        ):
            assert fetch(server.url("/a"), "-d", tmp_path / "out", *options) == 0


@pytest.mark.parametrize("options", [(), ("--shard", "1/1")])
def test_a_journal_is_set_aside_only_when_all_options_are_right(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Without it the next run would take the files for those of others; each shard has its own."""

    def there() -> set[str]:
        return {str(path) for path in (tmp_path / ".pooledhttp").rglob("*")}

    with ScriptedServer(answering(echo)) as server:
        arguments = [server.url("/a"), "-d", tmp_path, *options]
        assert fetch(*arguments) == 0
        before = there()
        for wrong in (["--names", "{"], ["--cookies", tmp_path], ["--proxy", "ftp://h"]):
            assert fetch(*arguments, "--rebuild", *wrong) == 2
            assert there() == before
        assert fetch(*arguments, "--rebuild") == 0
        (journal,) = (name for name in before if name.endswith(".sqlite3"))
        aside = [name for name in there() - before if name.startswith(journal)]
        assert len([name for name in aside if not name.endswith("-journal")]) == 1
        assert len(server.requests) == 1  # the file was taken over


def test_options_come_from_a_file(tmp_path: Path) -> None:
    """Under the names of the command line, which wins wherever it stands."""
    config = tmp_path / "fetch.toml"
    config.write_text(
        f'user-agent = "file/1"\njobs = 3\nmtime = true\ndirectory = "{tmp_path / "out"}"\n'
        'header = ["Authorization: mine"]\n'
    )
    with ScriptedServer(answering(echo)) as server:
        assert fetch("--config", config, server.url("/a")) == 0
        assert fetch("-A", "line/1", "--config", config, server.url("/b")) == 0
        assert fetch("--config", config, "-A", "line/1", server.url("/c")) == 0
        agents = [seen.header("user-agent") for seen in server.requests]
        assert agents == ["file/1", "line/1", "line/1"]
        assert server.requests[0].header("authorization") == "mine"
    assert (tmp_path / "out" / "a").exists()


@pytest.mark.parametrize("is_first", [True, False])
def test_the_command_line_wins_also_with_what_is_the_default(
    tmp_path: Path, is_first: bool
) -> None:
    """What may be repeated adds up."""
    config = tmp_path / "fetch.toml"
    config.write_text('jobs = 3\nheader = ["A: file"]\ninput = "urls.txt"\nmtime = true\n')
    line = ["--jobs", "32", "-H", "B: line", "-i", "more.txt"]
    options = ["--config", str(config)]
    args = parse(["fetch", *(options + line if is_first else line + options)])
    assert (args.jobs, args.mtime) == (32, True)
    assert args.header == [("A", "file"), ("B", "line")]
    assert args.input == ["urls.txt", "more.txt"]


_NONE = {"ca": None, "cacert_only": None, "insecure": False}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("insecure = true", ["--cacert-only", __file__], {"cacert_only": __file__}),
        ("insecure = true", ["--ca", __file__], {"ca": __file__}),
        (f'cacert-only = "{__file__}"', ["-k"], {"insecure": True}),
        (f'cacert = "{__file__}"', ["--cacert-only", where()], {"cacert_only": where()}),
        (f'cacert = "{__file__}"', ["--verify", where()], {"ca": where()}),
        ("insecure = true", [], {"insecure": True}),
        (f'insecure = false\ncacert = "{__file__}"', [], {"ca": __file__}),
    ],
    ids=str,
)
def test_the_command_line_wins_over_what_it_excludes(
    tmp_path: Path, text: str, line: list[str], expected: dict[str, object], is_first: bool
) -> None:
    """Verification is not off because a file says so, if the line says what is trusted."""
    (tmp_path / "fetch.toml").write_text(text)
    options = ["--config", str(tmp_path / "fetch.toml")]
    args = parse(["fetch", "http://h/", *(options + line if is_first else line + options)])
    assert {name: getattr(args, name) for name in _NONE} == _NONE | expected


def test_of_two_files_the_later_one_wins(tmp_path: Path) -> None:
    """Also over what it excludes. A byte order mark is no part of a file."""
    (tmp_path / "a.toml").write_text("workers = 3\ninsecure = true\njobs = 4\n")
    (tmp_path / "b.toml").write_bytes(
        b"\xef\xbb\xbf" + f'dask = "tcp://h"\ncacert-only = "{where()}"\njobs = 5\n'.encode()
    )
    options = [word for name in "ab" for word in ("--config", str(tmp_path / f"{name}.toml"))]
    args = parse(["fetch", "http://h/", *options])
    assert (args.workers, args.dask, args.jobs) == (None, "tcp://h", 5)
    assert (args.insecure, args.cacert_only) == (False, where())
    args = parse(["fetch", "http://h/", *options, "--workers", "2"])
    assert (args.workers, args.dask) == (2, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('insecure = true\ncacert-only = "."', "cacert-only and insecure do not go together"),
        ('workers = 2\ndask = "x"', "workers and dask do not go together"),
        ('H = "a: b"', "there is no option 'H'."),
        ("jbos = 3", "no option 'jbos'. Did you mean 'jobs'?"),
        ("jobs = 0", "above 0"),
        ("jobs = true", "a text or a number"),
        ("quiet = 1", "true or false"),
        ("jobs = [1, 2]", "one value"),
        ('decode = "maybe"', "invalid choice"),
        ("[files]\njobs = 1", "no option 'files'"),
        ("config = 'x'", "no option 'config'"),
        ("help = true", "no option 'help'"),
        ("jobs =", "fetch.toml"),
    ],
)
def test_a_wrong_file_of_options_is_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    """It names the file and what is wrong."""
    (tmp_path / "fetch.toml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        fetch("--config", tmp_path / "fetch.toml", "http://127.0.0.1:1/")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and problem in said and "fetch.toml" in said


@pytest.mark.parametrize("option", [("--proxy", "http://p"), ("--cacert", where())])
def test_what_a_cluster_does_not_see_is_refused(
    option: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a scheduler is looked for."""
    arguments = ["--dask", "tcp://127.0.0.1:9", *option, "http://a.example/", "-d", str(tmp_path)]
    assert main(["fetch", *arguments]) == 2
    assert f"--dask cannot be used with {option[0]}" in capsys.readouterr().err


def test_paths_that_cannot_be_used_are_told_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate that is not there, and a file in the place of the directory."""
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(SystemExit) as caught:
        fetch("http://a.example/", "--cert", f"{taken}:none.key")
    assert caught.value.code == 2
    assert "argument --cert: there is no file 'none.key'" in capsys.readouterr().err
    assert fetch("http://a.example/", "-d", taken) == 2
    text = f"pooledhttp fetch: {taken} is a file, and a directory is wanted\n"
    assert capsys.readouterr().err == text
