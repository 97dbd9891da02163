"""A user's mistakes, for type checkers alone: each marked line is an error, and no other line is.

mypy and pyright read this file in strict mode. It is never run. `test_hints.py` compares the lines
that they report with those that end in `# error`.
"""

from __future__ import annotations

import pooledhttp as requests
from pooledhttp import PoolConfig, Retry, Session, bulk
from pooledhttp.adapters import HTTPAdapter

URL = "https://a.test/"


def of_sessions(session: Session) -> None:
    """Settings of a session, and what its pool is asked."""
    Session(pool=3)  # error
    Session(retries="x")  # error
    Session(replay="yes")  # error
    Session(timeout="x")  # error
    Session(listeners=print)  # error
    Session(pool=PoolConfig(max_per_hosts=3))  # error
    session.pool.resize(8)  # error
    session.pool.warm(URL, "2")  # error
    session.pool.stat()  # error
    session.pool.stats().total.idel  # error
    session.max_redirects = "3"  # error
    session.mount("https://", requests.get)  # error
    session.send(requests.Request("GET", URL))  # error


def of_calls(session: Session) -> None:
    """Arguments of one call."""
    requests.get()  # error
    requests.get(3)  # error
    requests.get(URL, timeout="x")  # error
    requests.get(URL, timeout=(1, 2, 3))  # error
    requests.get(URL, tiemout=3)  # error
    requests.get(URL, headers=["a"])  # error
    requests.get(URL, params=3)  # error
    requests.get(URL, verify=3)  # error
    requests.get(URL, cert=3)  # error
    requests.get(URL, proxies="http://p.test:1")  # error
    requests.get(URL, auth="user")  # error
    requests.get(URL, allow_redirects="no")  # error
    requests.post(URL, data=3)  # error
    requests.post(URL, json={1, 2})  # error
    requests.post(URL, files=3)  # error
    requests.request("GET", URL, cookies="a=b")  # error
    session.get(URL, hooks=[print])  # error
    session.put(URL, stream="yes")  # error
    session.request("GET")  # error


def of_messages(reply: requests.Response) -> None:
    """What requests and responses are made of."""
    number: int = reply.text  # error
    reply.iter_content("1024")  # error
    reply.request.url = 3  # error
    reply.header  # error
    length: int = reply.headers.get("Content-Length")  # error
    requests.Request("GET", URL, timeout=3)  # error
    requests.Request("GET", URL, headers=3)  # error
    print(number, length)


def of_adapters(adapter: HTTPAdapter, request: requests.PreparedRequest) -> None:
    """What adapters are made with, and what they send."""
    HTTPAdapter(max_retries="x")  # error
    HTTPAdapter(pool=3)  # error
    HTTPAdapter(pool_maxsize="x")  # error
    adapter.send(requests.Request("GET", URL))  # error
    adapter.send(request, timeout="x")  # error


def of_policies() -> None:
    """What a policy is made with."""
    Retry(3, "x")  # error
    Retry(3, status_forcelist=503)  # error
    Retry(3, backoff="x")  # error
    Retry(3, backoff_factor="x")  # error


def of_bulk() -> None:
    """What is fetched, and where to."""
    bulk.fetch(URL, sink=3)  # error
    bulk.fetch([URL, 3])  # error
    bulk.fetch([URL], timeout="x")  # error
    bulk.Job(URL, headers=["a"])  # error
    bulk.download([URL])  # error
    bulk.download([URL], "out", names=3)  # error
    bulk.download([URL], "out").result  # error
    bulk.Run(3)  # error
    for result in bulk.download([URL], "out"):
        result.response  # error
