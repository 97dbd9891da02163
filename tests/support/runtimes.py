"""Tests of behaviour run on both runtimes: on threads, and in a greenlet on an event loop.

Each test of the folders in `ON_BOTH` has a twin `test_...[evented]`. There the test function itself
runs in a greenlet, and every session, pool and connector that it or its fixtures make on that
thread waits on the loop. So one test describes both. The few that have no twin are in
`ON_THREADS_ONLY`, with the reason.

The twins are many, so a default run has those of `IN_DEFAULT_RUN` alone. `-m evented` runs all.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pooledhttp.runtime import Runtime, current_runtime, default_runtime

__all__ = ["ON_BOTH", "pytest_generate_tests", "pytest_pyfunc_call", "runtime_kind"]

#: Folders and files whose tests run on both runtimes.
ON_BOTH = ("wire", "network", "transport", "compat", "pool/test_threads.py")

_THREADS = "has threads of its own that send requests"
_RUNTIME = "brings a runtime of its own"
_POLL = "is about `poll`, by which threads wait; on a loop the loop waits"
_INTERRUPTS = "interrupts a thread at each of its opcodes"

#: Files and tests that have no twin, and why.
ON_THREADS_ONLY = {
    "network/test_interrupts.py": _INTERRUPTS,
    "network/test_resolve.py": _THREADS,
    "network/test_stream.py::test_a_replaced_poll_is_not_kept": _POLL,
    "network/test_stream.py::test_much_data_both_ways": _THREADS,
    "pool/test_threads.py::test_an_end_under_the_lock_is_deferred": _THREADS,
    "pool/test_threads.py::test_dropped_cycles_do_not_deadlock": _THREADS,
    "pool/test_threads.py::test_interrupts_at_any_moment_leave_the_counters_right": _INTERRUPTS,
    "pool/test_threads.py::test_a_forked_child_begins_with_an_empty_pool": _THREADS,
    "pool/test_threads.py::test_without_abandon_a_child_keeps_inherited_resources_open": _THREADS,
    "transport/test_warmer.py": _RUNTIME,
    "wire/test_interrupts.py": _INTERRUPTS,
    "wire/test_tls.py::test_new_connections_read_no_ca_file_again": _THREADS,
    "wire/test_evented_seam.py": _RUNTIME,
    "wire/test_upgrades.py::test_the_socket_waits_for_a_program_on_threads": (
        "reads from the socket itself, which does not wait where a loop uses it"
    ),
}

#: The twins of these run by default: each way of waiting at least once.
IN_DEFAULT_RUN = ("wire/test_retries.py", "wire/test_upgrades.py", "network/test_socks.py")

TESTS = Path(__file__).resolve().parents[1]


def _is_in(path: Path, places: tuple[str, ...]) -> bool:
    name = path.relative_to(TESTS).as_posix()
    return any(name == place or name.startswith(place + "/") for place in places)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test its twin."""
    path = Path(metafunc.module.__file__)
    if "runtime_kind" not in metafunc.fixturenames or not _is_in(path, ON_BOTH):
        return
    file = path.relative_to(TESTS).as_posix()
    if not {file, f"{file}::{metafunc.definition.originalname}"}.isdisjoint(ON_THREADS_ONLY):
        return
    marks = [pytest.mark.evented]
    if not _is_in(path, IN_DEFAULT_RUN):
        marks.append(pytest.mark.long)
    if importlib.util.find_spec("greenlet") is None:
        marks.append(pytest.mark.skip(reason="needs the extra `aio`: greenlet"))
    kinds = [pytest.param("threads", id=pytest.HIDDEN_PARAM), pytest.param("evented", marks=marks)]
    metafunc.parametrize("runtime_kind", kinds, indirect=True)


@pytest.fixture(autouse=True)
def runtime_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """The runtime that this test waits on."""
    kind: str = getattr(request, "param", "threads")
    if kind == "threads":
        yield kind
        return
    # Not the fixture of this name: it would be undone later than the tests expect.
    with pytest.MonkeyPatch.context() as patch:
        request.node.evented_runtime = _wait_on_loop(patch)
        yield kind
        del request.node.evented_runtime  # pytest keeps the node, and so spare greenlets


def _wait_on_loop(patch: pytest.MonkeyPatch) -> Runtime:
    """Have what is made on this thread wait on a loop."""
    from pooledhttp.runtime import EventedRuntime

    runtime, thread = EventedRuntime(), threading.get_ident()

    def current() -> Runtime | None:
        return runtime if threading.get_ident() == thread else current_runtime()

    def default() -> Runtime:
        return current() or default_runtime()

    for module in ("sessions", "adapters"):
        patch.setattr(f"pooledhttp.{module}.current_runtime", current)
    for module in ("adapters", "transport.manager", "pool.pool"):
        patch.setattr(f"pooledhttp.{module}.default_runtime", default)
    return runtime


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the function of a twin in a greenlet, on a loop of its own."""
    runtime = getattr(pyfuncitem, "evented_runtime", None)
    if runtime is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(runtime.run(lambda: pyfuncitem.obj(**arguments)))
    return True
