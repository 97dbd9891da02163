"""Imports only point down: the table of layers, and a reading of every import against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.imports import PACKAGE, Import, Tree, loops

ROOT = Path(__file__).resolve().parents[1]

#: From the top to the bottom. A line is a layer; `<` orders the groups of a layer, lowest first;
#: `|` parts groups of one layer that must not know each other; names between commas are equals.
TABLE = """
7  cli, pooledhttp, __main__, models, utils, compat, packages, help, _internal_utils, \
dropin, as_requests, pytest_plugin, testing
6  bulk
5  aio | monitoring | mocking
4  client < sessions < api
3  adapters
2  transport
1  cookie_rules < cookies < digest < auth < message | retry | pool | network | http1
0  __version__, renaming, loading, buffers < records < syntax < originals < structures \
< status_codes, hooks, certs < faults < exceptions < timing < events < runtime
"""

#: Re-export modules: they import from inside subpackages, to share patches of a name.
REEXPORTS = {
    PACKAGE,
    *(f"{PACKAGE}.{name}" for name in ("models", "utils", "compat", "packages", "help")),
    f"{PACKAGE}._internal_utils",
    f"{PACKAGE}.__main__",
}

#: In the top layer all may know each other, as long as there is no loop.
EQUALS_AT_THE_TOP = 7

#: Those whose annotations name classes that live above them.
MAY_LOOK_UP_FOR_TYPES = {f"{PACKAGE}.exceptions", f"{PACKAGE}.hooks", f"{PACKAGE}.auth"}

#: Outside names and the only modules or subpackages that may use them.
RESERVED = {
    "h11": {"http1.h11_parser"},
    "httptools": {"http1.fast_parser"},
    "greenlet": {"runtime"},
    "asyncio": {"runtime", "aio", "cli.origin"},  # the demo's server, which is not our client
    "select": {"runtime", "network.liveness"},  # the probe of an idle connection waits for no time
    "selectors": {"runtime"},
    "queue": {"runtime"},
    # The caller's engine for many processes; nothing here waits for a future of it.
    "concurrent.futures": {"runtime", "bulk.executors", "bulk.processes"},
    "time.sleep": {"runtime"},
    # CPython 3.14 may leave one held after an interrupt: see `runtime.locks`.
    "threading.Lock": {"runtime"},
    "threading.RLock": {"runtime"},
    "threading.Event": {"runtime"},
    "threading.Condition": {"runtime"},
    "threading.Semaphore": {"runtime"},
    "threading.BoundedSemaphore": {"runtime"},
    "threading.Barrier": {"runtime"},
    "threading.Timer": {"runtime"},
    "socket.create_connection": set(),
    "socket.setdefaulttimeout": set(),
}

#: Rooms that must do without some of the outside world.
FORBIDDEN = {
    "message": ("socket", "ssl", "select", "h11"),
    "pool": ("socket", "ssl", "h11", "urllib3", "http"),
    "retry": ("socket", "h11"),
    "network": ("h11",),
    "http1": ("select", "selectors"),
    "timing": ("socket", "ssl", "h11"),
    "events": ("socket", "ssl", "h11"),
}

Place = tuple[int, int, int]


def _read_table() -> dict[str, Place]:
    """Each unit's layer, group within the layer, and rank within the group."""
    places: dict[str, Place] = {}
    for line in TABLE.strip().splitlines():
        number, _, groups = line.partition("  ")
        for group_number, group in enumerate(groups.split("|")):
            for rank, names in enumerate(group.split("<")):
                for name in names.split(","):
                    places[name.strip()] = (int(number), group_number, rank)
    return places


PLACES = _read_table()


def unit_of(module: str) -> str:
    """The root file or the subpackage a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def points_down(source: str, target: str) -> bool:
    """Whether one unit may import another."""
    above, below = PLACES[source], PLACES[target]
    if above[0] != below[0]:
        return above[0] > below[0]
    if above[0] == EQUALS_AT_THE_TOP:
        return True
    return above[1] == below[1] and above[2] > below[2]


def judge(found: Import, subpackages: set[str]) -> str | None:
    """What is wrong with an import inside the package, or None."""
    source, target = unit_of(found.source), unit_of(found.target)
    if source == target:
        inside_subpackage = f"{PACKAGE}.{source}" in subpackages and found.source not in subpackages
        if inside_subpackage and found.target in subpackages and found.target.count(".") == 1:
            return f"{found}: inside a subpackage import the file"
        return None
    if found.is_typing_only and found.source in MAY_LOOK_UP_FOR_TYPES:
        return None
    if not points_down(source, target):
        return f"{found}: imports point down"
    if found.target.count(".") > 1 and found.source not in REEXPORTS:
        return f"{found}: from outside import the subpackage"
    return None


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The package's source."""
    return Tree(ROOT)


def _ours(target: str) -> bool:
    return target.split(".")[0] == PACKAGE


def test_every_unit_stands_in_the_table(tree: Tree) -> None:
    """A new root file or subpackage has to be given its layer."""
    assert {unit_of(module) for module in tree.parsed} <= PLACES.keys()


def test_imports_point_down(tree: Tree) -> None:
    """No import points up or sideways, and from outside only the subpackage is imported."""
    inside = [found for found in tree.imports() if _ours(found.target)]
    assert [wrong for found in inside if (wrong := judge(found, tree.subpackages))] == []


def test_no_loops(tree: Tree) -> None:
    """No modules import each other in a circle, not even inside functions or for annotations.

    Only `exceptions`, `hooks` and `auth` may look up: a caught error has a typed `response`, a
    hook gets one, and auth is called with a request. Requests are made of auth and hooks, so no
    annotation of these three can point down.
    """
    edges: dict[str, set[str]] = {module: set() for module in tree.parsed}
    for found in tree.imports():
        may_look_up = found.is_typing_only and found.source in MAY_LOOK_UP_FOR_TYPES
        if _ours(found.target) and not may_look_up:
            edges[found.source].add(found.target)
    assert loops(edges) == []


def _is_or_within(name: str, whole: str) -> bool:
    return name == whole or name.startswith(whole + ".")


def test_reserved_names_stay_where_they_belong(tree: Tree) -> None:
    """Waiting is done in runtime/ alone, and h11 stands behind one file."""
    wrong = []
    for found in [*tree.imports(), *tree.uses()]:
        for name, owners in RESERVED.items():
            if _is_or_within(found.target, name) and not any(
                _is_or_within(found.source, f"{PACKAGE}.{owner}") for owner in owners
            ):
                wrong.append(f"{found}: {name} is for {sorted(owners) or 'no module'}")
    assert wrong == []


def test_engines_do_without_the_outside_world(tree: Tree) -> None:
    """message/ has no socket, pool/ no HTTP, and so on."""
    wrong = [
        str(found)
        for found in tree.imports()
        for name in FORBIDDEN.get(unit_of(found.source), ())
        if _is_or_within(found.target, name)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("sessions", "adapters", True),
        ("adapters", "sessions", False),
        ("message", "cookies", True),
        ("cookies", "message", False),
        ("message", "pool", False),
        ("pool", "retry", False),
        ("exceptions", "hooks", True),
        ("hooks", "exceptions", False),
        ("status_codes", "certs", False),
        ("cli", "dropin", True),
        ("bulk", "dropin", False),
        ("aio", "monitoring", False),
    ],
)
def test_the_table_is_read_as_it_is_meant(source: str, target: str, allowed: bool) -> None:
    """Samples of what the table allows and refuses."""
    assert points_down(source, target) is allowed


def test_the_reader_sees_every_kind_of_import(tmp_path: Path) -> None:
    """Relative, absolute, nested and typing-only imports are resolved to modules."""
    pool = tmp_path / PACKAGE / "pool"
    pool.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("from . import hooks\nfrom .pool import Pool\n")
    (tmp_path / PACKAGE / "hooks.py").write_text("import threading as t\nt.Event()\n")
    (pool / "__init__.py").write_text("from .pool import Pool\n")
    (pool / "lease.py").write_text("from pooledhttp.pool import Pool\nfrom ..hooks import x\n")
    (pool / "pool.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from .lease import Lease\n"
        "def f():\n    import time\n    time.sleep(1)\n"
    )
    tree = Tree(tmp_path)
    seen = {(found.source, found.target, found.is_typing_only) for found in tree.imports()}
    assert seen == {
        ("pooledhttp", "pooledhttp.hooks", False),
        ("pooledhttp", "pooledhttp.pool", False),
        ("pooledhttp.hooks", "threading", False),
        ("pooledhttp.pool", "pooledhttp.pool.pool", False),
        ("pooledhttp.pool.lease", "pooledhttp.pool", False),
        ("pooledhttp.pool.lease", "pooledhttp.hooks", False),
        ("pooledhttp.pool.pool", "typing.TYPE_CHECKING", False),
        ("pooledhttp.pool.pool", "pooledhttp.pool.lease", True),
        ("pooledhttp.pool.pool", "time", False),
    }
    assert {found.target for found in tree.uses()} == {"threading.Event", "time.sleep"}
    assert loops({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert (
        len(
            [
                found
                for found in tree.imports()
                if _ours(found.target) and judge(found, tree.subpackages)
            ]
        )
        == 1
    )
