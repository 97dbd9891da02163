"""A user's program, for type checkers alone: what it assigns is what the hints have to say.

mypy and pyright read this file in strict mode as they read a program that has pooledhttp
installed. It is never run. Comments that silence an error show what has to be an error: both
checkers report such a comment when nothing is silenced by it.
"""

from __future__ import annotations

import dataclasses
import io
import ssl
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import urllib3

import pooledhttp as requests
from pooledhttp import PoolConfig, Retry, Session, bulk, dropin, exceptions
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth
from pooledhttp.cookies import RequestsCookieJar, cookiejar_from_dict
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.utils import default_user_agent, get_netrc_auth, super_len, to_key_val_list


def functions() -> None:
    """The functions of the package give responses."""
    reply: requests.Response = requests.get("https://a.test/", params={"a": 1}, timeout=3)
    reply = requests.post("https://a.test/", data={"a": "b"}, timeout=(1, 2.5))
    reply = requests.post("https://a.test/", json=[1, None], headers={"A": "b"}, cookies={"c": "d"})
    reply = requests.put("https://a.test/", data=b"bytes", auth=("user", "password"))
    reply = requests.patch("https://a.test/", files={"f": ("n", b"x", "text/plain")})
    reply = requests.head("https://a.test/", allow_redirects=True, verify=False)
    reply = requests.options("https://a.test/", verify=ssl.create_default_context())
    reply = requests.delete("https://a.test/", stream=True, cert=("a.pem", "a.key"))
    reply = requests.request("GET", "https://a.test/", proxies={"https": "http://p.test:1"})
    print(reply)


def response(reply: requests.Response) -> None:
    """What a response tells has types."""
    status: int = reply.status_code
    text: str = reply.text
    is_ok: bool = reply.ok
    url: str = reply.url
    encoding: str | None = reply.encoding
    history: list[requests.Response] = reply.history
    seconds: float = reply.elapsed.total_seconds()
    kind: str | None = reply.headers.get("content-type")
    fields: CaseInsensitiveDict[str] = reply.headers
    request: requests.PreparedRequest = reply.request
    following: requests.PreparedRequest | None = reply.next
    pieces: Iterator[bytes] = reply.iter_content(1024)
    lines: Iterator[bytes] = reply.iter_lines()
    texts: Iterator[str | bytes] = reply.iter_lines(decode_unicode=True)
    reply.raise_for_status()
    with reply as same:
        body: bytes = same.content
        anything = same.json()
        print(anything["key"])
    print(status, text, is_ok, url, encoding, history, seconds, kind, fields, request, following)
    print(pieces, lines, texts, body)


def session() -> None:
    """A session, its settings and its pool."""
    config: PoolConfig = dataclasses.replace(PoolConfig(min_idle=1), max_total=9)
    config.min_idle = 2  # type: ignore[misc]
    with Session(
        pool=PoolConfig(max_per_host=4, acquire_timeout=5.0),
        timeout=requests.Timeout(total=30),
        retries=Retry(total=3),
        replay="off",
    ) as client:
        client.headers.update({"A": "b"})
        client.auth = HTTPBasicAuth("user", "password")
        client.auth = HTTPDigestAuth("user", "password")
        client.verify = "/path"
        client.mount("https://", HTTPAdapter(pool_maxsize=4, max_retries=urllib3.Retry(2)))
        adapter: BaseAdapter = client.get_adapter("https://a.test/")
        prepared = client.prepare_request(requests.Request("GET", "https://a.test/"))
        reply: requests.Response = client.send(prepared, stream=True, timeout=3)
        in_use: int = client.pool.stats().total.active
        idle: int = client.pool.stats().total.idle
        client.pool.warm("https://a.test/", 2)
        print(adapter, reply, in_use, idle)


def arguments(client: Session) -> None:
    """What requests accepts, in its many forms."""
    client.headers["A"] = "b"
    client.proxies["https"] = "http://p.test:1"
    client.hooks["response"].append(note)
    client.get("https://a.test/", params=[("a", 1), ("a", "b")], headers={"Accept": None})
    client.get("https://a.test/", params={"a": [1, 2], "b": None}, hooks={"response": note})
    client.get("https://a.test/", timeout=urllib3.Timeout(3), cookies=RequestsCookieJar())
    client.get(b"https://a.test/", params="a=b", verify=Path("ca.pem"), cert="both.pem")
    client.post("https://a.test/", data=[("a", "b")], files=[("f", io.BytesIO(b"x"))])
    client.post("https://a.test/", data=io.BytesIO(b"x"), hooks={"response": [note]})
    client.put("https://a.test/", data=(piece for piece in (b"a", b"b")))
    client.patch("https://a.test/", json={"a": [1, {"b": None}], "c": True})
    client.request(b"GET", "https://a.test/", proxies=None, auth=lambda request: request)
    request = requests.Request("POST", "https://a.test/", data={"a": 1}, auth=("u", "p")).prepare()
    print(request.url.upper(), request.method.lower(), request.headers["Content-Type"].lower())


def note(reply: requests.Response, *args: object, **kwargs: object) -> None:
    """Look at a response."""
    print(reply.status_code, args, kwargs)


class Token(AuthBase):
    """An auth of the user's own."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add a field."""
        r.headers["Authorization"] = "token"
        return r


class Pinned(HTTPAdapter):
    """An adapter of the user's own."""

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: object
    ) -> None:
        """Pin the oldest version of TLS."""
        pool_kwargs["ssl_minimum_version"] = ssl.TLSVersion.TLSv1_3
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)


def pools(adapter: HTTPAdapter, request: requests.PreparedRequest) -> None:
    """An adapter gives pools of urllib3's class, from urllib3's managers."""
    pool: urllib3.HTTPConnectionPool = adapter.get_connection_with_tls_context(request, True)
    manager: urllib3.PoolManager = adapter.poolmanager
    proxied: urllib3.PoolManager = adapter.proxy_manager_for("http://p.test:1")
    print(pool.host, manager, proxied)


def policies() -> None:
    """The arguments of a policy have types."""
    Retry(3, 1, 2, status=1, status_forcelist=[503], backoff_factor=0.5, allowed_methods=None)
    Retry(total=False, respect_retry_after_header=False, max_retry_after=5)


def errors() -> None:
    """Errors are caught by the classes of requests, and carry their facts."""
    try:
        requests.get("https://a.test/", auth=Token())
    except requests.PoolTimeout as error:
        origin: str | None = error.origin
        print(origin)
    except requests.Timeout:
        print("late")
    except requests.HTTPError as error:
        print(error.response, error.request)
    except (requests.ConnectionError, exceptions.SSLError, requests.RequestException):
        print("failed")


def helpers() -> None:
    """Small parts."""
    jar: RequestsCookieJar = RequestsCookieJar()
    plain: CookieJar = cookiejar_from_dict({"a": "b"})
    agent: str = default_user_agent()
    length: int = super_len(b"abc")
    code: int = requests.codes.ok
    credentials: tuple[str, str] | None = get_netrc_auth("https://a.test/")
    pairs: list[tuple[str, int]] | None = to_key_val_list({"a": 1})
    cookie: str | None = jar.get("a")
    jar.update({"a": "b"})
    version: str = requests.__version__
    print(jar, plain, agent, length, code, credentials, version, pairs, cookie)


def fetched() -> None:
    """The bulk fetcher yields results."""
    for result in bulk.fetch(["https://a.test/"], jobs=4, timeout=10):
        reply: requests.Response | None = result.response
        problem: BaseException | None = result.error
        print(result.url, reply, problem, result.attempts)
    job = bulk.Job("https://a.test/", headers={"A": "b"}, key=("any", 1), sink=bulk.to_files("out"))
    with bulk.fetch([job, "https://b.test/"], Session(), sink="out", timeout=None) as fetch:
        kept: list[bulk.Result] = list(fetch)
        opened: int = fetch.stats().total.created
    print(kept[0].key, kept[0].job, opened)


def downloaded() -> None:
    """A download yields results, and a directory tells what it remembers."""
    tally = bulk.Tally()
    with bulk.download(
        [bulk.Job("https://a.test/", key=7, accept={404}, sha256="00" * 32), "https://b.test/"],
        Path("out"),
        names="tree",
        retries=2,
        timeout=requests.Timeout(connect=3, read=60),
        failures="failed.txt",
    ) as download:
        for result in download:
            path: Path | None = result.path
            problem: str | None = result.problem
            is_done: bool = result.state is bulk.State.DONE
            tally.add(result)
            print(path, problem, is_done, result.digest, result.size + result.attempts)
    with bulk.Run("out") as run:
        counts: dict[bulk.State, int] = run.counts()
        record: bulk.JobRecord | None = run.find("https://a.test/")
        failed: list[str | None] = [each.error for each in run.jobs(bulk.State.FAILED)]
    print(counts, record, failed, tally.done)


def installed() -> None:
    """The alias is a context manager."""
    with dropin.installed():
        print(dropin.is_installed())


def mistakes() -> None:
    """What has to be an error."""
    number: int = requests.get("https://a.test/").text  # type: ignore[assignment]
    requests.get()  # type: ignore[call-arg]
    Session(pool=PoolConfig(max_per_hosts=3))  # type: ignore[call-arg]
    print(number)


def modules() -> None:
    """Modules are attributes of the package, as in requests."""
    adapter: requests.adapters.HTTPAdapter = requests.adapters.HTTPAdapter()
    auth = requests.auth.HTTPBasicAuth("user", "password")
    agent: str = requests.utils.default_user_agent()
    print(adapter, auth, agent, requests.exceptions.InvalidURL, requests.models.Response)
    print(requests.packages.urllib3.PoolManager, requests.compat.urlparse, requests.certs.where())
    print(requests.sessions.Session, requests.cookies.RequestsCookieJar, requests.hooks.HOOKS)
    print(requests.status_codes.codes, requests.structures.CaseInsensitiveDict, requests.api.get)
