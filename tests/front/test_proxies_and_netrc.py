"""What the environment says: proxies, exceptions to them, credentials, trust in archives."""

from __future__ import annotations

import builtins
import os
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp import certs
from pooledhttp.certs import atomic_open, extract_zipped_paths
from pooledhttp.client.netrc import get_netrc_auth
from pooledhttp.network import proxies
from pooledhttp.network.proxies import (
    address_in_network,
    dotted_netmask,
    get_environ_proxies,
    is_ipv4_address,
    is_valid_cidr,
    resolve_proxies,
    select_proxy,
    set_environ,
    should_bypass_proxies,
)


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("http://10.1.2.3/", "10.0.0.0/8", True),
        ("http://11.1.2.3/", "10.0.0.0/8", False),
        ("http://10.1.2.3:80/", "10.1.2.3", True),
        ("http://10.1.2.3:80/", "10.1.2.3:80", True),
        ("http://10.1.2.3:81/", "10.1.2.3:80", False),
        ("http://10.1.2.3/", "0.0.0.0/0", True),
        ("http://a.example/", "0.0.0.0/0", False),
        ("http://10.1.2.3/", "10.1.2.999/8, 10.0.0.0/x", False),
        ("http://[fd00::1]/", "fd00::/8", True),
        ("http://[fd00::1]:8080/", "fc00::/8,fd00::/8", True),
        ("http://[fe80::1%25eth0]/", "fe80::/10", True),
        ("http://[::1]/", "::1", True),
        ("http://[::1]/", "[::1]", True),
        ("http://[::1]:8/", "[0::1]:8", True),
        ("http://[::1]:8/", "[::1]:9", False),
        ("http://[::1]/", "10.0.0.0/8", False),
        ("http://10.0.0.1/", "::/1", False),
        ("http://a.example/", "example", True),
        ("http://a.example/", ".A.Example", True),
        ("http://a.example/", "*.example", True),
        ("http://b.a.example:8/", "*.Example:8", True),
        ("http://a.example/", "*.b.example", False),
        ("http://a.example/", "*a.example", False),
        ("http://aexample/", "*.example", False),
        ("http://a.example./", "a.example", True),
        ("http://a.example/", "a.example.", True),
        ("http://a.example/", "b.example a.example", True),
        ("http://a.example/", "b.example, *", True),
        ("http://ba.example/", "a.example", False),
        ("http://a.example:8/", "a.example:8", True),
        ("http://a.example/", "a.example:8", False),
        ("http://a.example/", "*", True),
        ("http://a.example/", "", False),
        ("http://a.example/", ",., ,", False),
        ("http://10.0.0.0.example/", "10.0.0.0/8", False),
        ("file:///x", "", True),
        ("http://[oops", "", True),
        ("http://a.example:99999/", "a.example", True),
    ],
)
def test_exceptions_are_addresses_networks_and_names(
    url: str, no_proxy: str, expected: bool
) -> None:
    """Each of them with or without a port; IPv6 as well as IPv4."""
    assert should_bypass_proxies(url, no_proxy) is expected


def test_the_callers_exceptions_replace_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given exceptions, even none, the variable is not looked at, and nothing is written to it."""
    monkeypatch.setenv("no_proxy", "a.example")
    monkeypatch.setenv("NO_PROXY", "ignored.example")
    before = dict(os.environ)
    assert should_bypass_proxies("http://a.example/", None)
    assert not should_bypass_proxies("http://ignored.example/", None)
    assert not should_bypass_proxies("http://a.example/", "")
    assert should_bypass_proxies("http://b.example/", "b.example")
    assert dict(os.environ) == before


def test_the_platform_is_asked_with_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither port nor credentials; what it cannot make sense of counts as no."""
    asked = []

    def bypass(host: str) -> bool:
        asked.append(host)
        if host == "odd":
            raise TypeError
        return host == "yes"

    monkeypatch.setattr(proxies, "proxy_bypass", bypass)
    assert should_bypass_proxies("http://u:p@yes:80/", None)
    assert not should_bypass_proxies("http://no/", None)
    assert not should_bypass_proxies("http://odd/", None)
    assert should_bypass_proxies("http://yes/", "other")
    assert asked == ["yes", "no", "odd", "yes"]


def test_on_a_platform_with_settings_the_callers_exceptions_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS and Windows consult their settings only where the environment names no proxy."""

    def settings(host: str) -> bool:
        return not urllib.request.getproxies_environment() and host == "local"

    monkeypatch.setattr(proxies, "proxy_bypass", settings)
    monkeypatch.setattr(proxies, "_PLATFORM_BYPASS", settings)
    assert should_bypass_proxies("http://local/", "other")
    monkeypatch.setenv("http_proxy", "http://p")
    assert not should_bypass_proxies("http://local/", "other")


def test_the_environment_is_read_anew_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable set or deleted between two requests counts at once."""
    assert get_environ_proxies("http://a.example/") == {}
    monkeypatch.setenv("http_proxy", "http://p:1")
    assert get_environ_proxies("http://a.example/") == {"http": "http://p:1"}
    monkeypatch.setenv("no_proxy", "a.example")
    assert get_environ_proxies("http://a.example/") == {}
    assert get_environ_proxies("http://a.example/", no_proxy="b")["http"] == "http://p:1"


@pytest.mark.parametrize(
    ("url", "table", "expected"),
    [
        ("HTTP://H/", {"http://h": "1", "http": "2", "all://h": "3", "all": "4"}, "1"),
        ("http://x/", {"http://h": "1", "http": "2", "all": "4"}, "2"),
        ("ftp://h/", {"http": "2", "all://h": "3", "all": "4"}, "3"),
        ("ftp://x/", {"http": "2", "all://h": "3", "all": "4"}, "4"),
        ("https://", {"all://h": "3", "all": "4"}, "4"),
        ("http://h/", {"http": None, "all": "4"}, None),
        ("http://h/", None, None),
    ],
)
def test_the_most_telling_entry_of_a_table_wins(url: str, table: Any, expected: str | None) -> None:
    """Scheme and host, scheme, any scheme and host, all."""
    assert select_proxy(url, table) == expected


@pytest.mark.parametrize("last", ["LAST", "L"])
def test_a_proxy_is_seen_whatever_variable_is_set_last(
    monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Also when the number of variables and the last one are those of the request before."""
    monkeypatch.setenv("FIRST", "1")
    monkeypatch.setenv(last, "1")
    assert get_environ_proxies("http://a.example/") == {}
    monkeypatch.delenv(last)
    monkeypatch.delenv("FIRST")
    monkeypatch.setenv("Http_Proxy", "http://proxy.example:3128")
    monkeypatch.setenv(last, "1")
    assert get_environ_proxies("http://a.example/") == {"http": "http://proxy.example:3128"}


def test_another_environment_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may end in the same variable."""
    monkeypatch.setenv("LAST", "1")
    assert get_environ_proxies("http://a.example/") == {}
    variables = {b"http_proxy": b"http://p:1", **os.environ._data}  # type: ignore[attr-defined]
    monkeypatch.setattr(os.environ, "_data", variables)
    assert get_environ_proxies("http://a.example/") == {"http": "http://p:1"}


def test_the_callers_table_is_filled_up_and_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment fills the URL's scheme only, and only where trusted and no exception."""
    monkeypatch.setenv("https_proxy", "http://env")
    monkeypatch.setenv("all_proxy", "http://all")
    request = SimpleNamespace(url="https://a.example/")
    mine = {"http": "http://mine"}
    assert resolve_proxies(request, mine) == {"http": "http://mine", "https": "http://env"}
    assert resolve_proxies(request, {"https": "http://x"}) == {"https": "http://x"}
    assert resolve_proxies(request, mine, trust_env=False) == mine == {"http": "http://mine"}
    assert "https" not in resolve_proxies(request, {"no_proxy": "a.example"})
    request.url = "ftp://a.example/"
    assert resolve_proxies(request, None) == {"ftp": "http://all"}


def test_networks_and_masks() -> None:
    """Addresses in every spelling a resolver takes; networks with 1 to 32 bits."""
    assert dotted_netmask(25) == "255.255.255.128" and dotted_netmask(0) == "0.0.0.0"
    assert is_ipv4_address("127.1") and not is_ipv4_address("::1")
    assert is_valid_cidr("10.0.0.0/1") and not is_valid_cidr("10.0.0.0/0")
    assert not is_valid_cidr("10.0.0.0/\u0663") and not is_valid_cidr("::/8")
    assert address_in_network("10.9.9.9", "10.1.2.3/8")


def test_a_variable_is_set_for_a_block() -> None:
    """The old state comes back, also after an error; None changes nothing."""
    with pytest.raises(KeyError), set_environ("POOLEDHTTP_TEST", "1"):
        assert os.environ["POOLEDHTTP_TEST"] == "1"
        with set_environ("POOLEDHTTP_TEST", "2"), set_environ("POOLEDHTTP_TEST", None):
            assert os.environ["POOLEDHTTP_TEST"] == "2"
        assert os.environ["POOLEDHTTP_TEST"] == "1"
        raise KeyError
    assert "POOLEDHTTP_TEST" not in os.environ


@pytest.fixture
def netrc_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A netrc file with an entry for example.com."""
    file = tmp_path / "netrc"
    file.write_text(
        "machine example.com login me password secret\nmachine ::1 login six password 6\n"
    )
    monkeypatch.setenv("NETRC", str(file))
    return file


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://Example.COM:8443/x",
        "http://other@example.com/",
        " http://example.com/",
        b"http://example.com/",
    ],
)
def test_netrc_answers_for_the_host_alone(netrc_file: Path, url: str | bytes) -> None:
    """Port, scheme, case and user info play no part."""
    assert get_netrc_auth(url) == ("me", "secret")
    assert get_netrc_auth("http://[::1]:80/") == ("six", "6")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:@evil.example/",
        "http://example.com:80@evil.example/",
        "http://evil.example\\@example.com/",
        "http://evil.example\t@example.com/",
        "http://evil.example @example.com/",
        "http://evil.example/@example.com/",
        "http://evil.example#@example.com/",
        "http://evil.example?@example.com/",
        "http://example.com.evil.example/",
        "http://example.com\0.evil.example/",
        "http:///example.com/",
        "example.com",
        "http://[::1",
        "http://exam\nple.com/",
        "",
    ],
)
def test_netrc_is_not_talked_into_another_host(netrc_file: Path, url: str) -> None:
    """No trick with user info, backslashes or control characters gets example.com's password."""
    assert get_netrc_auth(url) is None


def test_netrc_entries_may_be_partial(netrc_file: Path) -> None:
    """`account` stands in for a missing login; an empty default is none; a full one is used."""
    netrc_file.write_text("machine a.example account acc password p\ndefault\n")
    assert get_netrc_auth("http://a.example/") == ("acc", "p")
    assert get_netrc_auth("http://b.example/") is None
    netrc_file.write_text("default login d password p\n")
    assert get_netrc_auth("http://b.example/") == ("d", "p")


def age(file: Path, seconds: float = 60) -> None:
    """Let a file look as if it was written some time ago."""
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_a_netrc_that_has_not_changed_is_not_parsed_again(
    netrc_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hosts are known; it is read for a host that it names, and after each change."""
    age(netrc_file)
    assert get_netrc_auth("http://other.example/") is None
    opened: list[object] = []
    real = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *a, **k: opened.append(a[0]) or real(*a, **k))
    assert get_netrc_auth("http://other.example/") is None and not opened
    assert get_netrc_auth("http://example.com/") == ("me", "secret") and len(opened) == 1
    netrc_file.write_text("machine other.example login new password p\n")
    assert get_netrc_auth("http://other.example/") == ("new", "p")
    netrc_file.write_text("machine others.exampl login new password p\n")  # as long, and as new
    assert get_netrc_auth("http://other.example/") is None


def test_no_password_of_a_netrc_is_kept(netrc_file: Path) -> None:
    """What is known of a file is which hosts it names."""
    age(netrc_file)
    assert get_netrc_auth("http://example.com/") == ("me", "secret")
    assert "secret" not in repr(vars(sys.modules[get_netrc_auth.__module__]))


def test_a_broken_netrc_is_ignored_unless_asked(netrc_file: Path) -> None:
    """Errors are raised on request only; the file is read each time."""
    netrc_file.write_text("nonsense")
    assert get_netrc_auth("http://example.com/") is None
    with pytest.raises(Exception, match="nonsense"):
        get_netrc_auth("http://example.com/", raise_errors=True)
    netrc_file.unlink()
    assert get_netrc_auth("http://example.com/", raise_errors=True) is None


def test_without_the_variable_the_home_directory_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.netrc` before `_netrc`."""
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert get_netrc_auth("http://h/") is None
    (tmp_path / "_netrc").write_text("machine h login second password p\n")
    assert get_netrc_auth("http://h/") == ("second", "p")
    (tmp_path / ".netrc").write_text("machine h login first password p\n")
    assert get_netrc_auth("http://h/") == ("first", "p")


def test_a_file_in_an_archive_is_extracted_once_and_privately(tmp_path: Path) -> None:
    """The copy is where no other user can write; it is replaced when it or the archive changed."""
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("certifi/cacert.pem", "trust")
    path = f"{archive}/certifi/cacert.pem"
    copy = Path(extract_zipped_paths(path))
    assert copy.read_text() == "trust" and copy.name == "cacert.pem"
    assert copy.parent.stat().st_mode & 0o077 == 0
    assert extract_zipped_paths(path) == str(copy)
    copy.unlink()
    again = Path(extract_zipped_paths(path))
    assert again.read_text() == "trust"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("certifi/cacert.pem", "other trust")
    assert Path(extract_zipped_paths(path)).read_text() == "other trust"


@pytest.mark.parametrize("path", ["/", __file__, "/no/such/file", "relative", "", r"\\host\x\y"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    """What exists, and what no archive holds."""
    assert extract_zipped_paths(path) == path


def test_a_member_that_is_not_there_leaves_the_path(tmp_path: Path) -> None:
    """The caller's own error message then names the path the user gave."""
    archive = tmp_path / "app.zip"
    zipfile.ZipFile(archive, "w").close()
    assert extract_zipped_paths(f"{archive}/none") == f"{archive}/none"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error inside the block leaves the old content and no litter."""
    target = tmp_path / "file"
    with atomic_open(target) as stream:
        stream.write(b"old")
        assert not target.exists()
    with pytest.raises(KeyError), atomic_open(target) as stream:
        stream.write(b"new")
        raise KeyError
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
    assert certs.where() == certs.DEFAULT_CA_BUNDLE_PATH and os.path.exists(certs.where())
