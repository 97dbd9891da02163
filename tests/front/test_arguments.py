"""A wrong argument fails where it is given, with an error that names it and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.runtime import default_runtime
from pooledhttp.testing import MockAdapter
from tests.support.scripted import ScriptedServer, answering, respond


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"pool": 8}, TypeError, "pool must be a PoolConfig"),
        ({"pool": {"max_per_host": 8}}, TypeError, "pool must be a PoolConfig"),
        ({"pool": pooledhttp.PoolConfig}, TypeError, "pool must be a PoolConfig"),
        ({"retries": "x"}, TypeError, "retries must be a whole number or a Retry"),
        ({"retries": 2.5}, TypeError, "retries must be a whole number or a Retry"),
        ({"retries": pooledhttp.Retry}, TypeError, "retries must be a whole number or a Retry"),
        ({"replay": "yes"}, ValueError, 'replay must be "safe", "always" or "off"'),
        ({"replay": True}, ValueError, 'replay must be "safe", "always" or "off"'),
        ({"timeout": "x"}, ValueError, "timeout"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": (1, 2, 3)}, ValueError, "timeout"),
        ({"listeners": print}, TypeError, "listeners must be an iterable of callables"),
        ({"listeners": [3]}, TypeError, "listeners must be callables"),
        ({"runtime": "threads"}, TypeError, "runtime must have the methods of Runtime"),
    ],
)
def test_a_session_refuses(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    """The session is not made: no request has to fail first."""
    with pytest.raises(error) as caught:
        pooledhttp.Session(**settings)
    assert says in str(caught.value)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"pool": 8}, TypeError, "pool must be a PoolConfig"),
        ({"replay": "yes"}, ValueError, 'replay must be "safe", "always" or "off"'),
        ({"max_retries": "x"}, TypeError, "max_retries must be a whole number or a Retry"),
        ({"pool_maxsize": "a"}, TypeError, "pool_maxsize must be a whole number"),
        ({"pool_connections": "a"}, TypeError, "pool_connections must be a whole number"),
    ],
)
def test_an_adapter_refuses(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    """The adapter is not made: no request has to fail first."""
    with pytest.raises(error, match=says):
        HTTPAdapter(**settings)


@pytest.mark.parametrize(
    ("method", "arguments", "error", "says"),
    [
        ("resize", (8,), TypeError, "config must be a PoolConfig"),
        ("warm", ("example.com", 2), ValueError, "url must begin with a scheme"),
        ("warm", (8,), TypeError, "url must be a URL"),
        ("warm", ("http://a.test/", -1), ValueError, "count must be at least 0"),
        ("evict", (8,), TypeError, "url must be a URL"),
        ("evict", ("example.com",), ValueError, "url must begin with a scheme"),
    ],
)
def test_a_pool_refuses(
    method: str, arguments: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    """The message names the argument and what it takes."""
    with pooledhttp.Session() as session, pytest.raises(error, match=says):
        getattr(session.pool, method)(*arguments)


def test_a_session_takes_what_it_is_made_for() -> None:
    """Each kind of value that an argument takes passes the check."""
    config = pooledhttp.PoolConfig(max_per_host=2)
    with pooledhttp.Session(pool=config, retries=2, timeout=(1, None)) as one:
        for settings in (
            {"pool": one.pool, "retries": urllib3.Retry(1), "timeout": urllib3.Timeout(3)},
            {"retries": False, "timeout": pooledhttp.Timeout(total=3), "listeners": {print}},
            {"retries": 0, "timeout": 2.5, "listeners": iter([print]), "replay": "always"},
            {"runtime": default_runtime(), "replay": "off"},
        ):
            pooledhttp.Session(**settings).close()  # type: ignore[arg-type]


#: The package, as a program without types sees it.
ours: Any = pooledhttp


def manager(**settings: Any) -> object:
    return ours.transport.TransportManager(**settings)


def mocked(**settings: Any) -> object:
    add: Any = MockAdapter().add
    return add("GET", **{"url": "http://h/", **settings})


def monitor(**settings: Any) -> object:
    with pooledhttp.Session() as session:
        return ours.monitoring.PoolMonitor(session.pool, **settings)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: ours.Timeout(totl=3), TypeError, "Did you mean 'total'?"),
        (lambda: ours.Timeout(seconds=3), TypeError, "It takes total, connect, read, write"),
        (lambda: ours.PoolConfig(size=3), TypeError, "It takes min_idle, "),
        (lambda: ours.Retry(totl=3), TypeError, "Did you mean 'total'?"),
        (lambda: ours.Retry(max_retry_afer=3), TypeError, "Did you mean 'max_retry_after'?"),
        (lambda: ours.Retry("3"), TypeError, "total must be a number, not '3'"),
        (lambda: ours.Retry(backoff_factor="1"), TypeError, "backoff_factor must be a num"),
        (lambda: ours.Retry(status_forcelist=503), TypeError, "a collection, such as [503]"),
        (lambda: ours.adapters.HTTPAdapter(max_retry=3), TypeError, "Did you mean 'max_retries'?"),
        (lambda: ours.Session().pool.drain("5"), TypeError, "timeout must be a number"),
        (lambda: ours.bulk.fetch(5), TypeError, "fetch takes an iterable of URLs"),
        (lambda: ours.bulk.fetch([], job=3), TypeError, "fetch() got an unexpected keyword"),
        (lambda: ours.bulk.download([], "o", perhost=3), TypeError, "Did you mean 'per_host'?"),
        (lambda: ours.bulk.download(5, "out"), TypeError, "download takes an iterable of URLs"),
        (lambda: ours.bulk.fetch([], jobs="3"), TypeError, "jobs must be a whole number, not '3'"),
        (lambda: ours.bulk.fetch([], per_host="3"), TypeError, "per_host must be a whole number"),
        (lambda: ours.bulk.fetch(["x"], session={}), TypeError, "session must be a Session"),
        (lambda: ours.bulk.fetch(["x"], session=ours.AsyncSession()), TypeError, "be a Session w"),
        (lambda: ours.bulk.fetch(["x"], timeout="5"), ValueError, "timeout='5' cannot be used"),
        (lambda: ours.Retry(3, budget=5), TypeError, "budget must be True, False or a RetryBudget"),
        (lambda: ours.Retry(3, pause=5), TypeError, "pause must be True, False or Pauses, not 5"),
        (lambda: ours.PoolConfig.from_sqlalchemy(poolsize=5), TypeError, "mean 'pool_size'?"),
        (lambda: ours.monitoring.default_rules(max_wait=5), TypeError, "mean 'max_wait_seconds'?"),
        (
            lambda: ours.monitoring.PoolMonitor(ours.Session().pool, intervall=5),
            TypeError,
            "PoolMonitor() got an unexpected keyword argument 'intervall'. Did you mean 'interv",
        ),
        (
            lambda: MockAdapter().add("GET", "http://h/", jsn={}),  # type: ignore[call-arg]
            TypeError,
            "MockAdapter.add() got an unexpected keyword argument 'jsn'. Did you mean 'json'?",
        ),
        (
            lambda: MockAdapter().add("GET", "http://h/", status="200"),  # type: ignore[arg-type]
            TypeError,
            "status must be a whole number, not '200'",
        ),
        (lambda: ours.bulk.Workers("3"), TypeError, "count must be a whole number of processes"),
        (lambda: ours.HostLimits(max_per_hosts=3), TypeError, "Did you mean 'max_per_host'?"),
        (lambda: ours.PoolConfig(8), TypeError, "takes arguments by name only: min_idle, max_idle"),
        (lambda: ours.Session(8), TypeError, "takes arguments by name only: pool, timeout, retr"),
        (lambda: ours.AsyncSession(8), TypeError, "takes arguments by name only: pool, timeout"),
        (lambda: ours.adapters.HTTPAdapter(resolver={}), TypeError, "must have a method `resolve`"),
        (lambda: ours.adapters.HTTPAdapter(socket_options=[]), TypeError, "SocketOptions(options="),
        (lambda: ours.monitoring.PoolMonitor(ours.Session()), TypeError, "such as session.pool"),
        (lambda: ours.monitoring.PrometheusCollector(ours.Session), TypeError, "session.pool"),
        (lambda: ours.Retry(3, status_forcelist=["503"]), TypeError, "must have whole numbers"),
        (lambda: ours.Retry(3, status_forcelist="503"), TypeError, "must have whole numbers"),
        (lambda: ours.bulk.fetch([], jobs=None), TypeError, "jobs must be a whole number, not No"),
        (lambda: ours.bulk.fetch([], jobs=2.5), TypeError, "jobs must be a whole number, not 2.5"),
        (
            lambda: ours.bulk.fetch([], per_proxy="3"),
            TypeError,
            "number, or None for no limit, not",
        ),
        (lambda: ours.bulk.fetch(None), TypeError, "an iterable of URLs and Jobs, not None"),
        (lambda: ours.bulk.fetch("a.txt"), TypeError, "lists them with bulk.UrlList('a.txt')"),
        (lambda: ours.bulk.fetch(Path("a")), TypeError, "lists them with bulk.UrlList(...)"),
        (lambda: ours.bulk.fetch([], batches=5), TypeError, "batches must be bulk.Batches(jobs="),
        (lambda: ours.bulk.download([], "o", batches=5), TypeError, "must be bulk.Batches(jobs="),
        (lambda: ours.bulk.fetch([], max_in_flight_bytes="x"), TypeError, "a number of bytes"),
        (lambda: ours.bulk.fetch(lambda: ["x"]), TypeError, "not a function; call it, and pass"),
        (lambda: ours.bulk.fetch("http://h/"), TypeError, "put a single one into a list"),
        (lambda: ours.bulk.download([], None), TypeError, "directory must be a path, not None"),
        (lambda: ours.bulk.download([], "o", failures=5), TypeError, "failures must be a path"),
        (lambda: ours.bulk.download([], "o", max_size="9M"), TypeError, "a number of bytes, or No"),
        (lambda: ours.Retry([1]), TypeError, "total must be a number, not [1]"),
        (lambda: ours.Retry(3, backoff_jitter="x"), TypeError, "backoff_jitter must be a number"),
        (lambda: ours.Retry(3, max_retry_after="x"), TypeError, "max_retry_after must be a number"),
        (lambda: ours.Retry(3, allowed_methods=5), TypeError, "must be a collection of names"),
        (lambda: ours.Retry(3, remove_headers_on_redirect=5), TypeError, "a collection of names"),
        (lambda: ours.Session().pool.warm("http://h/", cuont=2), TypeError, "Did you mean 'count'"),
        (lambda: ours.Session().pool.warm("http://h/", 1, "x"), TypeError, "a number of seconds"),
        (lambda: ours.Session().pool.resize(max_totl=5), TypeError, "It takes config."),
        (
            lambda: ours.Session().pool.resize(max_total=5),
            TypeError,
            "use session.pool.resize(PoolConfig(max_total=...)).",
        ),
        (lambda: ours.adapters.HTTPAdapter(proxy_verify=5), TypeError, "proxy_verify must be True"),
        (lambda: ours.adapters.HTTPAdapter(listeners=[5]), TypeError, "that take an event, and 5"),
        (lambda: ours.adapters.HTTPAdapter(listeners=5), TypeError, "an iterable of callables"),
        (lambda: ours.adapters.HTTPAdapter(runtime=5), TypeError, "must have the methods of Runt"),
        (lambda: ours.network.StaticResolver(5), TypeError, "{'api.internal': ['10.0.0.7']}, not"),
        (lambda: ours.network.StaticResolver({"h": "10.0.0.1"}), TypeError, "must be a list, such"),
        (lambda: ours.network.StaticResolver({"h": [5]}), TypeError, "must be a str, such as '10."),
        (lambda: ours.network.StaticResolver({"h": ["nope"]}), ValueError, "is no IP address"),
        (lambda: ours.network.SocketOptions(options=5), TypeError, "arguments of setsockopt, such"),
        (lambda: ours.network.SocketOptions(keepalive=5), TypeError, "must be a KeepAlive(idle_s"),
        (lambda: ours.network.SocketOptions(source_address="h"), TypeError, "and a port, such as"),
        (
            lambda: ours.network.SocketOptions(tcp_keepalive=5),
            TypeError,
            "Did you mean 'keepalive'",
        ),
        (lambda: ours.network.KeepAlive(idle=5), TypeError, "It takes idle_seconds, interval_se"),
        (lambda: monitor(interval="x"), TypeError, "interval must be a number of seconds, not 'x'"),
        (lambda: monitor(rules=5), TypeError, "rules must be an iterable of Rules, not 5"),
        (lambda: monitor(rules=[5]), TypeError, "rules must be Rules, and 5 is not one"),
        (lambda: monitor(on_alert=5), TypeError, "on_alert must be a callable that takes an alert"),
        (lambda: MockAdapter().add(5, "http://h/"), TypeError, "such as 'GET', not 5"),  # type: ignore[arg-type]
        (lambda: ours.AsyncSession().mount("http://", 5), TypeError, "such as mount("),
        (lambda: ours.AsyncSession().prepare_request("x"), AttributeError, "takes a Request, such"),
        (lambda: manager(config={}), TypeError, "config must be a PoolConfig, such as PoolConfig("),
        (lambda: manager(resolver={}), TypeError, "resolver must have a method `resolve`, such as"),
        (lambda: manager(limits={}), TypeError, "limits must be http1.ResponseLimits(head_bytes="),
        (lambda: manager(socket_options=[]), TypeError, "must be network.SocketOptions(options="),
        (lambda: manager(listeners=[5]), TypeError, "callables that take an event, and 5 is not"),
        (lambda: manager(runtime=5), TypeError, "runtime must have the methods of Runtime"),
        (lambda: manager(resolvr=5), TypeError, "Did you mean 'resolver'?"),
        (lambda: ours.http1.ResponseLimits(head_bytes="x"), TypeError, "must be a whole number"),
        (lambda: ours.http1.ResponseLimits(head_bytes=0), ValueError, "must be at least 1, not 0"),
        (lambda: ours.http1.ResponseLimits(headbytes=1), TypeError, "Did you mean 'head_bytes'?"),
        (lambda: ours.network.KeepAlive(probes="x"), TypeError, "must be a whole number, not 'x'"),
        (lambda: ours.network.KeepAlive(probes=0), ValueError, "probes must be at least 1, not 0"),
        (lambda: ours.retry.RetryBudget("x"), TypeError, "ratio must be a number, not 'x'"),
        (lambda: ours.retry.Pauses("x"), TypeError, "max_origins must be a whole number, not 'x'"),
        (lambda: ours.bulk.Batches(jobs="x"), TypeError, "jobs must be a number, not 'x'"),
        (lambda: ours.monitoring.PrometheusCollector(5), TypeError, "such as session.pool, not 5"),
        (lambda: ours.monitoring.OpenTelemetryMetrics(5), TypeError, "must be a Meter of OpenTele"),
        (lambda: ours.monitoring.RequestDurations(5), TypeError, "must be a CollectorRegistry"),
        (
            lambda: ours.monitoring.connections_needed("x", 1),
            TypeError,
            "must be a number, not 'x'",
        ),
        (lambda: mocked(url=5), TypeError, "url must be a str, such as 'https://host/path', not 5"),
        (lambda: mocked(text=5), TypeError, "text must be a str, not an int"),
        (lambda: mocked(content="x"), TypeError, "must be bytes, not a str; text= takes a str"),
        (
            lambda: ours.Session(timeout=("a", 1)),
            ValueError,
            "both. The connect timeout is",
        ),
    ],
    ids=range(103),
)
def test_what_is_made_wrongly(
    make: Callable[[], object], error: type[Exception], says: str
) -> None:
    """The text names the argument that was meant, or what there is."""
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("make", "given", "says"),
    [
        (ours.Session, {"header": {}}, "Did you mean 'headers'? Set that attribute of the new"),
        (ours.Session, {"headers": {}}, "Set the attribute 'headers' of the new object instead."),
        (ours.Session, {"max_per_host": 8}, "use Session(pool=PoolConfig(max_per_host=...))."),
        (ours.Session, {"acquire_timeout": 8}, "use Session(pool=PoolConfig(acquire_timeout="),
        (ours.Session, {"limits": 8}, "Did you mean 'pool'?"),
        (ours.AsyncSession, {"max_total": 8}, "use AsyncSession(pool=PoolConfig(max_total=...))."),
        (ours.adapters.HTTPAdapter, {"max_total": 8}, "use HTTPAdapter(pool=PoolConfig(max_total"),
        (ours.adapters.HTTPAdapter, {"timeout": 8}, "Pass it to Session(...) instead."),
        (ours.Request, {"header": {}}, "Did you mean 'headers'?"),
        (ours.Request, {"timeout": 3}, "Pass it to Session.send(...) instead."),
        (ours.Request, {"content": b""}, "Did you mean 'data'?"),
        (ours.PoolConfig, {"pool_maxsize": 3}, "Did you mean 'max_idle_per_host'?"),
        (ours.PoolConfig, {"max_connections": 3}, "Did you mean 'max_total'?"),
        (ours.PoolConfig, {"pool_recycle": 3}, "Did you mean 'max_lifetime'?"),
        (ours.PoolConfig, {"pool_size": 3}, "Use PoolConfig.from_sqlalchemy(pool_size=...)"),
        (ours.Retry, {"max_retries": 3}, "Did you mean 'total'?"),
        (ours.Retry, {"method_whitelist": ["GET"]}, "Did you mean 'allowed_methods'?"),
        (ours.bulk.Job, {"url": "x", "header": {}}, "Did you mean 'headers'?"),
        (ours.bulk.Job, {"url": "x", "filename": "y"}, "Did you mean 'name'?"),
        (ours.bulk.Job, {"url": "x", "digest": "y"}, "Pass sha256 or md5, in hex."),
        (ours.bulk.Job, {"url": "x", "timeout": 3}, "Pass it to bulk.fetch(...) or"),
        (ours.bulk.fetch, {"jobs_or_urls": [], "max_workers": 3}, "Did you mean 'jobs'?"),
        (ours.bulk.fetch, {"jobs_or_urls": [], "headers": {}}, "Set it on a Session"),
        (ours.bulk.download, {"jobs_or_urls": [], "output": "x"}, "Did you mean 'directory'?"),
        (ours.bulk.download, {"jobs_or_urls": [], "resume": True}, "goes on where the first"),
    ],
    ids=range(25),
)
def test_names_of_other_libraries(make: Any, given: dict[str, Any], says: str) -> None:
    """A keyword that other clients and pools have leads to the argument that is here."""
    with pytest.raises(TypeError) as caught:
        make(**given)
    assert f"unexpected keyword argument {list(given)[-1]!r}. " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("make", [ours.Request, ours.bulk.Job, ours.bulk.fetch, ours.PoolConfig])
def test_signatures_stay(make: Any) -> None:
    """What explains a misspelled argument hides no argument from tools that read signatures."""
    assert len(inspect.signature(make).parameters) >= 10
    assert "kwargs" not in inspect.signature(make).parameters


class _Forwarding(pooledhttp.Session):
    """A session whose `request` hands everything on."""

    def request(self, *args: Any, **kwargs: Any) -> pooledhttp.Response:
        return super().request(*args, **kwargs)


class _Narrow(pooledhttp.Session):
    """A session whose `request` takes fewer arguments."""

    def request(  # type: ignore[override]
        self, method: Any, url: Any, params: Any = None
    ) -> Any:
        return super().request(method, url, params)


@pytest.mark.parametrize("verb", ["get", "options", "head", "post", "put", "patch", "delete"])
@pytest.mark.parametrize("owner", [ours, ours.Session(), _Forwarding()], ids=range(3))
def test_a_misspelt_argument_of_a_call(owner: Any, verb: str) -> None:
    """The text names the argument that was meant, or what there is."""
    with pytest.raises(TypeError, match=r"'timout'\. Did you mean 'timeout'\?$"):
        getattr(owner, verb)("http://127.0.0.1:1/", timout=3)
    with pytest.raises(TypeError, match=r"'retries'\. Pass it to Session\(\.\.\.\) instead\.$"):
        getattr(owner, verb)("http://127.0.0.1:1/", retries=3)
    with pytest.raises(TypeError, match=r"'idle_timeout'\. .* use Session\(pool=PoolConfig\(idle"):
        getattr(owner, verb)("http://127.0.0.1:1/", idle_timeout=3)
    with pytest.raises(TypeError, match=r"'content'\. Did you mean 'data'\?$"):
        getattr(owner, verb)("http://127.0.0.1:1/", content=b"x")
    with pytest.raises(TypeError, match=r"'xyz'\. It takes headers, cookies, timeout, .*, json\.$"):
        getattr(owner, verb)("http://127.0.0.1:1/", xyz=False)


def test_an_argument_that_only_a_subclass_refuses() -> None:
    """An argument that exists is not named as the one that was meant."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'timeout'$"):
        _Narrow().get("http://127.0.0.1:1/", timeout=3)


def test_a_type_error_of_a_callback() -> None:
    """Errors of the caller's own functions stay what they are."""

    def auth(request: Any) -> Any:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="^mine$"):
        ours.get("http://127.0.0.1:1/", auth=auth)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"timeout": "5"}, ValueError, "timeout='5' cannot be used: it must be an int, float"),
        ({"timeout": [1, 2]}, ValueError, "a (connect, read) tuple or a Timeout"),
        ({"timeout": pooledhttp.Timeout(10)}, ValueError, "by name, such as Timeout(total=10)"),
        ({"headers": "a: b"}, AttributeError, "headers must be a mapping, such as {'Accept': "),
        ({"headers": [("a", "b")]}, AttributeError, "not a list"),
        ({"cookies": "a=b"}, TypeError, "cookies must be a mapping, such as {'name': "),
        ({"proxies": "http://p"}, AttributeError, "proxies must be a mapping, such as {'https': "),
        ({"verify": 5}, TypeError, "verify must be True, False, the path of a CA bundle or an ssl"),
        ({"hooks": print}, AttributeError, "hooks must be a mapping, such as {'response': "),
        ({"url": "//h/x"}, pooledhttp.exceptions.MissingSchema, "meant https://h/x?"),
        ({"url": "http:/h/x"}, pooledhttp.exceptions.InvalidURL, "meant http://h/x?"),
        ({"url": "http:h"}, pooledhttp.exceptions.InvalidURL, "meant http://h?"),
        ({"url": "http:///x"}, pooledhttp.exceptions.InvalidURL, "No host supplied"),
        ({"url": "http://u:a\\b@h/"}, pooledhttp.exceptions.InvalidURL, "percent-encode it: %5C"),
        ({"url": None}, pooledhttp.exceptions.MissingSchema, "Pass a URL such as https://"),
        ({"url": ""}, pooledhttp.exceptions.MissingSchema, "Pass a URL such as https://"),
        ({"method": "http://h/"}, pooledhttp.exceptions.InvalidHeader, "seem to be swapped"),
        ({"method": None}, AttributeError, "method must be a str, such as 'GET', not None"),
        ({"params": [1]}, TypeError, "(name, value) pairs are needed here, and 1 is no pair"),
        ({"data": [1]}, TypeError, "(name, value) pairs are needed here, and 1 is no pair"),
        ({"files": {"a": ("n",)}}, ValueError, "file of the field 'a' must be a file, its con"),
        ({"cert": 5}, TypeError, "cert must be a path or a tuple (certificate, key), not 5"),
        ({"proxies": {"https": 5}}, TypeError, "proxies must be URLs, such as 'http://proxy:"),
        ({"hooks": {"respons": print}}, ValueError, "The events are 'response'."),
    ],
    ids=range(24),
)
def test_a_request_refuses(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    """The class is that of requests, where it has one; the text says what the argument takes."""
    with pooledhttp.Session() as session, pytest.raises(error) as caught:
        session.request(**{"method": "GET", "url": "https://127.0.0.1:9/", **arguments})
    assert says in str(caught.value)


def test_a_body_that_is_no_body() -> None:
    """The text says what can be sent."""
    with ScriptedServer(answering(respond(b""))) as server, pooledhttp.Session() as session:
        with pytest.raises(TypeError, match="data must be a mapping, pairs, text.* not int"):
            session.post(server.url(), data=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="data must yield bytes or text, not int"):
            session.post(server.url(), data={1, 2})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [(HTTPAdapter(), "https://"), ("https://", HTTPAdapter), ("https://", pooledhttp.PoolConfig())],
    ids=range(3),
)
def test_mount_refuses(arguments: tuple[Any, Any]) -> None:
    """What is swapped, or not made, does not become an entry of the table."""
    with pooledhttp.Session() as session:
        with pytest.raises(TypeError, match="such as mount"):
            session.mount(*arguments)
        assert list(session.adapters) == ["https://", "http://"]


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    """The text says what is wanted, not only that something is there."""
    file = tmp_path / "out"
    file.touch()
    with pytest.raises(FileExistsError, match="A file has this name, and a directory is wanted"):
        bulk.download([], file)
