"""Settings: the values that they refuse, and the two other vocabularies for them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from pooledhttp.pool import HostLimits, Limits, PoolConfig, default_max_idle_total


def test_defaults_block_nothing() -> None:
    """No request waits unless a maximum is set."""
    config = PoolConfig()
    assert config.max_per_host is None and config.max_total is None
    assert config.max_idle_per_host is None
    assert config.max_idle_total == default_max_idle_total() <= 1024
    assert (config.idle_timeout, config.max_lifetime, config.acquire_timeout) == (30, 3600, 30)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_idle", -1),
        ("min_idle", None),
        ("max_idle_per_host", -1),
        ("max_idle_total", -1),
        ("max_per_host", 0),
        ("max_total", 0),
        ("max_total", 2.5),
        ("max_per_host", True),
        ("acquire_timeout", -0.1),
        ("acquire_timeout", "5"),
        ("idle_timeout", 0),
        ("max_lifetime", float("nan")),
        ("lifetime_jitter", 1.0),
        ("max_requests", 0),
        ("validate_after", -1),
        ("leak_threshold", 0),
        ("patience", -1),
        ("overrides", [("https://a", HostLimits())]),
    ],
)
def test_errors_name_the_field(field: str, value: Any) -> None:
    """A wrong value is refused when the settings are built; the error names the field."""
    with pytest.raises((TypeError, ValueError), match=field):
        PoolConfig(**{field: value})


def test_minimum_above_maximum_is_refused() -> None:
    """A host cannot have more warm connections than its maximum allows."""
    with pytest.raises(ValueError, match="min_idle.*max_per_host"):
        PoolConfig(min_idle=3, max_per_host=2)


def test_settings_pickle_and_hash() -> None:
    """Settings can be sent to other processes and used as keys."""
    config = PoolConfig(max_per_host=3, overrides={"https://a": HostLimits(max_per_host=1)})
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))


def test_later_changes_of_the_overrides_do_not_reach_the_settings() -> None:
    """The settings keep a copy of what was checked."""
    overrides = {"https://a": HostLimits(max_per_host=1)}
    config = PoolConfig(overrides=overrides)
    overrides["nonsense"] = HostLimits()
    assert list(config.overrides) == ["https://a"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"max_idle_per_host": 5, "max_per_host": 15, "acquire_timeout": 30.0}),
        ({"pool_size": 3, "max_overflow": 0}, {"max_idle_per_host": 3, "max_per_host": 3}),
        ({"max_overflow": -1}, {"max_idle_per_host": 5, "max_per_host": None}),
        ({"pool_size": 0}, {"max_idle_per_host": None, "max_per_host": None}),
        ({"pool_size": 0, "max_overflow": 0}, {"max_per_host": None}),
        ({"pool_timeout": None}, {"acquire_timeout": None}),
        ({"pool_recycle": -1}, {"max_lifetime": None, "max_requests": None}),
        ({"pool_recycle": 0}, {"max_lifetime": None, "max_requests": 1}),
        ({"pool_recycle": 90}, {"max_lifetime": 90, "lifetime_jitter": 0.0}),
        ({"pool_pre_ping": True}, {"validate_after": 0.0}),
        ({"pool_pre_ping": False}, {"validate_after": None, "idle_timeout": None}),
    ],
)
def test_sqlalchemy_vocabulary(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    """The arguments of an engine have the same meaning here, including -1 and 0."""
    config = PoolConfig.from_sqlalchemy(**arguments)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"pool_size": -1}, "pool_size"),
        ({"pool_size": None}, "pool_size"),
        ({"max_overflow": -2}, "max_overflow"),
        ({"pool_recycle": -2}, "pool_recycle"),
        ({"pool_timeout": -1}, "pool_timeout"),
    ],
)
def test_sqlalchemy_errors_name_the_argument(arguments: dict[str, Any], field: str) -> None:
    """The error names the argument of the caller."""
    with pytest.raises((TypeError, ValueError), match=field):
        PoolConfig.from_sqlalchemy(**arguments)


def test_adapter_vocabulary() -> None:
    """`pool_maxsize` is what is kept idle; only `pool_block` makes it a maximum."""
    config = PoolConfig.from_adapter(pool_connections=1, pool_maxsize=7)
    assert (config.max_idle_per_host, config.max_per_host, config.max_total) == (7, None, None)
    assert PoolConfig.from_adapter(pool_maxsize=7, pool_block=True).max_per_host == 7
    assert PoolConfig.from_adapter(pool_maxsize=0, pool_block=True).max_per_host is None
    with pytest.raises(ValueError, match="pool_maxsize"):
        PoolConfig.from_adapter(pool_maxsize=-1)


@pytest.mark.parametrize(
    ("url", "max_open"),
    [
        ("https://api.example.com:443", 1),
        ("https://api.example.com/path", 1),
        ("https://api.example.com:8443", 9),
        ("https://api.example.com.evil.org", 9),
        ("https://www.example.com", 2),
        ("https://a.b.example.com", 3),
        ("https://example.com", 9),
        ("http://localhost:8080", 4),
        ("http://localhost", 50),
        ("http://[::1]:80", 5),
    ],
)
def test_the_most_specific_override_wins(url: str, max_open: int) -> None:
    """Overrides match by scheme, host and port; a longer wildcard wins over a shorter one."""
    config = PoolConfig(
        max_per_host=50,
        overrides={
            "https://": HostLimits(max_per_host=9),
            "https://api.example.com": HostLimits(max_per_host=1),
            "https://*.example.com": HostLimits(max_per_host=2),
            "https://*.b.example.com/": HostLimits(max_per_host=3),
            "http://localhost:8080": HostLimits(max_per_host=4),
            "http://[::1]": HostLimits(max_per_host=5),
        },
    )
    assert config.limits_for(url).max_open == max_open


def test_an_override_inherits_the_fields_it_leaves_out() -> None:
    """None removes a limit; a field left out keeps the setting of the pool."""
    config = PoolConfig(
        max_per_host=5,
        max_idle_per_host=2,
        overrides={"https://a": HostLimits(max_per_host=None, min_idle=1)},
    )
    assert config.limits_for("https://a:443") == Limits(None, 2, 1)


@pytest.mark.parametrize("prefix", ["a.example.com", "https://a/path", "https://u:p@a", 3])
def test_prefixes_that_cannot_have_limits_are_refused(prefix: Any) -> None:
    """A prefix without a scheme, or with more than a port, is an error."""
    with pytest.raises((TypeError, ValueError), match="overrides"):
        PoolConfig(overrides={prefix: HostLimits()})
