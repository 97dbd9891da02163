"""How an adapter finds the pool of a request, without a socket."""

from __future__ import annotations

import gc
import os
import socket
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest
import requests

import pooledhttp
from pooledhttp.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from pooledhttp.exceptions import ConnectionError


def pool_for(adapter: HTTPAdapter, url: str, verify: Any = True, cert: Any = None) -> Any:
    """What the adapter would send a request through whose URL was set by hand."""
    request = pooledhttp.Request("GET", "http://example.test/").prepare()
    request.url = url
    return adapter._connection_for(request, verify, None, cert)


@pytest.mark.parametrize("off", [None, False, 0, ""])
def test_verification_switched_off_for_one_request_is_on_for_the_next(off: object) -> None:
    """Requests that differ in what is verified never share a pool, however it is written."""
    adapter = HTTPAdapter()
    assert pool_for(adapter, "https://h.test/").cert_reqs == "CERT_REQUIRED"
    assert pool_for(adapter, "https://h.test/", off).cert_reqs == "CERT_NONE"
    assert pool_for(adapter, "https://h.test/").cert_reqs == "CERT_REQUIRED"


def test_certificates_trusted_by_one_request_are_not_by_the_next(tmp_path: Path) -> None:
    """Also where their path comes as bytes."""
    (tmp_path / "own.pem").touch()
    adapter, own = HTTPAdapter(), os.fsencode(tmp_path / "own.pem")
    assert pool_for(adapter, "https://h.test/").ca_certs == DEFAULT_CA_BUNDLE_PATH
    assert pool_for(adapter, "https://h.test/", own).ca_certs == os.fsdecode(own)
    assert pool_for(adapter, "https://h.test/").ca_certs == DEFAULT_CA_BUNDLE_PATH


def test_ports_are_told_apart_in_addresses_without_a_path() -> None:
    """The last letter of such a URL belongs to its origin."""
    adapter = HTTPAdapter()
    assert pool_for(adapter, "http://h.test:8081").port == 8081
    assert pool_for(adapter, "http://h.test:8082").port == 8082
    assert pool_for(adapter, "http://h.test:8082?q").port == 8082


def test_a_certificate_may_come_as_a_list(tmp_path: Path) -> None:
    """As a tuple does."""
    (tmp_path / "own.pem").touch()
    own = str(tmp_path / "own.pem")
    assert pool_for(HTTPAdapter(), "https://h.test/", cert=[own, own]).key_file == own


def test_a_setting_changed_while_a_route_is_made_counts() -> None:
    """A thread that made a route of the old value must not leave it for others to find."""
    pool = pool_for(HTTPAdapter(), "https://h.test/")
    make, changes = pool._make_route, [True]

    def overtaken(is_forwarded: bool) -> Any:
        made = make(is_forwarded)
        if changes.pop():
            changes.append(False)
            pool.assert_hostname = "other.test"
        return made

    object.__setattr__(pool, "_make_route", overtaken)
    assert pool.route().tls.assert_hostname is None
    assert pool.route().tls.assert_hostname == "other.test"


def test_an_error_is_gone_when_nobody_has_it() -> None:
    """No circle of error and frames keeps the request, and what belongs to it, in memory."""

    def fail() -> weakref.ref[BaseException]:
        with pooledhttp.Session() as session, pytest.raises(ConnectionError) as caught:
            session.get("http://127.0.0.1:1/", timeout=5)
        error = weakref.ref(caught.value)
        caught._excinfo = None  # pytest's own reference
        return error

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "method", ["add_headers", "cert_verify", "request_url", "get_connection_with_tls_context"]
)
def test_an_oserror_of_an_overridden_method_stays_what_it_is(method: str) -> None:
    """Only what fails on the way to the server becomes a RequestException, as in requests."""

    def fail(self: object, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "token file")

    session = pooledhttp.Session()
    session.mount("http://", type("Mine", (HTTPAdapter,), {method: fail})())
    with pytest.raises(PermissionError) as caught:
        session.get("http://127.0.0.1:1/")
    assert type(caught.value) is PermissionError and caught.value.args == (13, "token file")


@pytest.mark.parametrize(
    "named",
    [
        {"verify": "/no/ca.pem"},
        {"cert": "/no/both.pem"},
        {"cert": ("/no/cert.pem", "/no/key.pem")},
    ],
)
def test_a_missing_file_is_a_plain_oserror(named: dict[str, Any]) -> None:
    """google-auth repeats a RequestException and lets an OSError through: repeating is no help."""
    with pytest.raises(OSError, match="/no/") as caught:
        pooledhttp.get("https://127.0.0.1:1/", **named)
    assert type(caught.value) is OSError
    with pytest.raises(OSError) as theirs:
        requests.get("https://127.0.0.1:1/", **named)
    assert str(caught.value) == str(theirs.value)


def test_errors_of_requests_own_kind_carry_the_request() -> None:
    """What an overridden method raises of the package's own errors is completed, not replaced."""

    class Mine(HTTPAdapter):
        def add_headers(self, request: Any, **kwargs: Any) -> None:
            raise pooledhttp.exceptions.InvalidHeader("no")

    session = pooledhttp.Session()
    session.mount("http://", Mine())
    with pytest.raises(pooledhttp.exceptions.InvalidHeader, match="no") as caught:
        session.get("http://127.0.0.1:1/")
    assert caught.value.request is not None


def test_the_traceback_of_a_refused_connection_is_no_longer_than_that_of_requests() -> None:
    """The frames of dialling are left out: the message has what they would say."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # it does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        lines = {}
        for library in (requests, pooledhttp):
            with pytest.raises(library.ConnectionError) as caught:
                library.get(url)
            lines[library] = "".join(traceback.format_exception(caught.value)).splitlines()
    assert len(lines[pooledhttp]) <= len(lines[requests])
    assert "Connection refused" in lines[pooledhttp][-1]
