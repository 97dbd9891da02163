r"""Alerts about a pool: each is sent once when it begins, and once when it is over.

    rule          an origin breaks it when, since the last check                      for
    utilisation   more than 80 % of its maximum is in use at the moment               30 s
    wait          a request waited longer than a limit for a connection               at once
    exhaustion    a request waited until its timeout, or an idle connection           at once
                  was closed because too many were idle
    leaks         a response was dropped, or held and forgotten                       at once
    reuse         less than half of its requests found a connection open              30 s

    quiet --broken--> suspected --broken for that long--> FIRING --kept for a minute--> quiet
                          \__ kept: quiet                   \__ broken: the minute starts again

`check` checks once and can be called from anywhere, with the clock of a test too; `start` has it
called at regular intervals. Alerts go to the log (WARNING when one begins, INFO when it is over)
and to a callback. Utilisation is checked for the whole pool as well, if it has a maximum.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pooledhttp.monitoring.metrics import StatsSource, check_source, difference
from pooledhttp.pool import OriginStats, PoolStats
from pooledhttp.records import explain_misspelt, explain_misspelt_call
from pooledhttp.runtime import Runtime, Task, Waiter, default_runtime, new_lock, register_fork_reset
from pooledhttp.timing import Deadline

__all__ = ["Alert", "PoolMonitor", "Rule", "default_rules"]

logger = logging.getLogger(__name__)

#: The `origin` of alerts about the pool as a whole.
WHOLE_POOL = "the whole pool"


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule began to be broken, or is kept again.

    Args:
        rule: The rule's name.
        origin: The origin of the connections; `"the whole pool"` for the total.
        firing: True when it begins, False when it is over.
        value: The measured value; 0.0 if the alert is over and nothing was measured.
        limit: The limit of the rule.
        message: The same as a sentence, with what to do.
    """

    rule: str
    origin: str
    firing: bool
    value: float
    limit: float
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a pool keeps or breaks: what is measured of an origin, and its limit.

    Args:
        name: Its name in alerts.
        measure: Computes the value from the counts of an origin since the last check; `None` if
            there is nothing to measure, which keeps the rule.
        limit: The last value that keeps the rule.
        below: Whether values below the limit break the rule, instead of above.
        advice: What to do; the end of the message.
        for_seconds: How long it must be broken without interruption before it fires.
        clear_seconds: How long it must be kept before the alert is over.
        whole_pool: Whether the total of the pool is checked too, if it has a maximum.
    """

    name: str
    measure: Callable[[OriginStats], float | None]
    limit: float
    below: bool = False
    advice: str = ""
    for_seconds: float = 0.0
    clear_seconds: float = 60.0
    whole_pool: bool = False

    def is_broken_by(self, value: float | None) -> bool:
        """Return whether a measured value breaks it."""
        if value is None:
            return False
        return value < self.limit if self.below else value > self.limit


@explain_misspelt_call()
def default_rules(
    *,
    max_utilisation: float = 0.8,
    max_wait_seconds: float = 1.0,
    min_reuse_rate: float = 0.5,
    min_leases: int = 20,
    sustained_seconds: float = 30.0,
    clear_seconds: float = 60.0,
) -> tuple[Rule, ...]:
    """Make the five rules.

    Args:
        max_utilisation: Part of the maximum (without one: of the advised size) in use.
        max_wait_seconds: Longest wait for a connection. Waits are known only as buckets of the
            pool's histogram (... 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 s), and rounded up.
        min_reuse_rate: Part of the requests that should find a connection open.
        min_leases: With fewer requests between two checks, reuse is not measured.
        sustained_seconds: How long utilisation and reuse must break the rule before it fires.
        clear_seconds: How long each rule must be kept before its alert is over.
    """

    def reuse(part: OriginStats) -> float | None:
        return part.reuse_rate if part.acquired >= min_leases else None

    return (
        Rule(
            "utilisation",
            lambda part: part.utilisation,
            max_utilisation,
            advice="Raise max_per_host (pool.advise() says how far), or send less at once.",
            for_seconds=sustained_seconds,
            clear_seconds=clear_seconds,
            whole_pool=True,
        ),
        Rule(
            "wait",
            lambda part: part.wait.quantile(1.0),
            max_wait_seconds,
            advice="Requests waited up to so many seconds for a connection. Raise max_per_host, or"
            " read and close responses sooner.",
            clear_seconds=clear_seconds,
        ),
        Rule(
            "exhaustion",
            lambda part: part.acquire_timeouts + part.exhausted,
            0,
            advice="Requests found no connection, or good ones were closed because too many were"
            " idle. Raise max_per_host or max_idle_per_host.",
            clear_seconds=clear_seconds,
        ),
        Rule(
            "leaks",
            lambda part: part.leaks,
            0,
            advice="Responses were not read to their end or closed. Use `with`, and set"
            " leak_threshold to learn where.",
            clear_seconds=clear_seconds,
        ),
        Rule(
            "reuse",
            reuse,
            min_reuse_rate,
            below=True,
            advice="Connections are opened for single requests. Look at stats().closed for why"
            " they end, and at the server's keep-alive time.",
            for_seconds=sustained_seconds,
            clear_seconds=clear_seconds,
        ),
    )


def _checked(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return rules as a tuple.

    Raises:
        TypeError: One of them is no `Rule`, or they are no iterable.
    """
    if not isinstance(rules, Iterable):
        raise TypeError(f"rules must be an iterable of Rules, not {rules!r}")
    checked = tuple(rules)
    for rule in checked:
        if not isinstance(rule, Rule):
            raise TypeError(f"rules must be Rules, and {rule!r} is not one")
    return checked


class _State:
    """The state of one rule for one origin. States that are quiet are not kept."""

    __slots__ = ("broken_since", "firing", "last_broken")

    def __init__(self, now: float) -> None:
        self.broken_since = now
        self.last_broken = now
        self.firing = False


class PoolMonitor:
    """Watches a pool, and sends an alert when a rule begins to be broken or is kept again.

        monitor = PoolMonitor(session.pool, on_alert=page_somebody)
        with monitor:
            ...

    Args:
        pool: The pool to watch: `session.pool`, or any pool. What happened before does not count.
        on_alert: Called with every alert, in the thread that checks. What it raises is logged.
        rules: The rules; `None` for `default_rules()`.
        interval: Seconds between two checks, once started.
        runtime: How to wait; `None` for threads.

    Raises:
        ValueError: The interval is not positive, or two rules have one name.
        TypeError: `pool` is a session, or another argument is of a wrong type.
    """

    @explain_misspelt()
    def __init__(
        self,
        pool: StatsSource,
        *,
        on_alert: Callable[[Alert], object] | None = None,
        rules: Iterable[Rule] | None = None,
        interval: float = 5.0,
        runtime: Runtime | None = None,
    ) -> None:
        check_source(pool)
        if not isinstance(interval, (int, float)):
            raise TypeError(f"interval must be a number of seconds, not {interval!r}")
        if interval <= 0:
            raise ValueError(f"interval must be more than 0 seconds, not {interval}")
        if not (on_alert is None or callable(on_alert)):
            raise TypeError(f"on_alert must be a callable that takes an alert, not {on_alert!r}")
        self._rules = default_rules() if rules is None else _checked(rules)
        if len({rule.name for rule in self._rules}) < len(self._rules):
            raise ValueError("rules must have different names")
        self._pool = pool
        self._on_alert = on_alert
        self._interval = interval
        self._runtime = runtime or default_runtime()
        self._stop: Waiter | None = None
        self._task: Task | None = None
        self._begin()
        register_fork_reset(self)

    def _begin(self) -> None:
        self._lock = new_lock()
        self._before: PoolStats = self._pool.stats()
        self._states: dict[tuple[str, str], _State] = {}

    def reset_after_fork(self) -> None:
        """Go on in a forked child, which has a pool without connections and none of the threads."""
        is_started = self._stop is not None
        self._stop = self._task = None
        self._begin()
        if is_started:
            self.start()

    def __enter__(self) -> PoolMonitor:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def firing(self) -> tuple[tuple[str, str], ...]:
        """The alerts that are not over, as pairs of rule and origin."""
        return tuple(key for key, state in self._states.copy().items() if state.firing)

    def check(self) -> list[Alert]:
        """Check once, and send the alerts that began or ended since the last check.

        Returns:
            The alerts; they were logged and passed to the callback already.
        """
        stats, now = self._pool.stats(), self._runtime.now()
        with self._lock:
            alerts = list(self._judge_locked(stats, now))
            self._before = stats
        for alert in alerts:
            self._send(alert)
        return alerts

    def start(self) -> None:
        """Check at regular intervals until stopped. The thread does not keep the process alive."""
        if self._stop is None:
            self._stop = stop = self._runtime.waiter()
            self._task = self._runtime.spawn(lambda: self._check_until(stop), "pooledhttp-monitor")

    def stop(self) -> None:
        """Stop checking. It can be started again; alerts that fire stay so until a later check."""
        stop, task, self._stop, self._task = self._stop, self._task, None, None
        if stop is not None and task is not None:
            stop.set()
            task.join(Deadline.after(self._interval, self._runtime.now))

    def _check_until(self, stop: Waiter) -> None:
        while not stop.wait(Deadline.after(self._interval, self._runtime.now)):
            try:
                self.check()
            except Exception:  # a check that failed must not be the last one
                logger.exception("Checking the pool failed")

    def _judge_locked(self, stats: PoolStats, now: float) -> Iterator[Alert]:
        seen: set[tuple[str, str]] = set()
        for origin, part in stats.origins.items():
            period = difference(part, self._before.origins.get(origin))
            for rule in self._rules:
                seen.add((rule.name, origin))
                yield from self._judge_rule(rule, origin, period, now)
        for rule in self._rules:
            if rule.whole_pool and stats.total.max_open is not None:
                seen.add((rule.name, WHOLE_POOL))
                yield from self._judge_rule(rule, WHOLE_POOL, stats.total, now)
        # The pool forgets origins that are not used. Their alerts are over.
        rules = {rule.name: rule for rule in self._rules}
        for name, origin in self._states.keys() - seen:
            yield from self._step(rules[name], origin, None, now)

    def _judge_rule(
        self, rule: Rule, origin: str, period: OriginStats, now: float
    ) -> Iterator[Alert]:
        value = rule.measure(period)
        if (rule.name, origin) in self._states or rule.is_broken_by(value):
            yield from self._step(rule, origin, value, now)

    def _step(self, rule: Rule, origin: str, value: float | None, now: float) -> Iterator[Alert]:
        """Move the state of one rule and origin on, as drawn above."""
        key = (rule.name, origin)
        state = self._states.get(key)
        if rule.is_broken_by(value):
            if state is None:
                state = self._states[key] = _State(now)
            state.last_broken = now
            if not state.firing and now - state.broken_since >= rule.for_seconds:
                state.firing = True
                yield _alert(rule, origin, value, firing=True)
        elif state is not None and not state.firing:
            del self._states[key]
        elif state is not None and now - state.last_broken >= rule.clear_seconds:
            del self._states[key]
            yield _alert(rule, origin, value, firing=False)

    def _send(self, alert: Alert) -> None:
        logger.log(logging.WARNING if alert.firing else logging.INFO, "%s", alert.message)
        if self._on_alert is None:
            return
        try:
            self._on_alert(alert)
        except Exception:  # the next alert has to be sent as well
            logger.exception("The alert callback %r failed on %r", self._on_alert, alert)


def _alert(rule: Rule, origin: str, value: float | None, *, firing: bool) -> Alert:
    measured = 0.0 if value is None else float(value)
    if firing:
        side = "below" if rule.below else "above"
        message = f"{origin}: {rule.name} is {measured:g}, {side} {rule.limit:g}. {rule.advice}"
    else:
        message = f"{origin}: {rule.name} is good again."
    return Alert(rule.name, origin, firing, measured, rule.limit, message.rstrip())
