"""A wrong argument fails where it is given, with an error that names it and what it takes."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.runtime import default_runtime


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
