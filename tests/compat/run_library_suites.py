"""Runs the test suites of libraries built on requests, on requests and on pooledhttp, and compares.

As with requests' own suite: the tests come from each library's source distribution and run in a
virtual environment of that library, once as they are, once with `requests` meaning pooledhttp.
What fails on requests itself (no open network, a newer pytest) says nothing. What passes there has
to pass here, but for what `differences.toml` lists under the library's name.

    python -m tests.compat.run_library_suites                    # all: three quarters of an hour
    python -m tests.compat.run_library_suites responses docker   # some of them
    python -m tests.compat.run_library_suites --here responses   # with this checkout, not a copy
    python -m tests.compat.run_library_suites --seconds 3000 httpie   # on a busy machine
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tomllib
import venv
from dataclasses import dataclass, replace
from pathlib import Path

from tests.compat.run_requests_suite import (
    HERE,
    RELEASE,
    ROOT,
    RUN_SECONDS,
    Bench,
    Outcomes,
    compare,
    known_differences,
)


@dataclass(frozen=True)
class Library:
    """A library, and what its tests take; an entry of `libraries.toml`.

    Args:
        name: On the package index.
        version: The release that is installed.
        needs: What its tests import beyond itself and pytest; `./...` is a package inside `tests`.
        tests: Folders and files of its source distribution that hold them.
        run: What of them pytest is pointed at. Empty means all folders of `tests`.
        options: For pytest: what cannot run without a server, or hangs without a network.
        seconds: What one run may take; the run ends there, as it hangs.
        suite: The release whose source distribution has the tests, where `version`'s has none.
    """

    name: str
    version: str
    needs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)
    run: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    seconds: float = RUN_SECONDS
    suite: str = ""


def known_libraries(path: Path = HERE / "libraries.toml") -> list[Library]:
    """The libraries whose suites can be run."""
    listed = tomllib.loads(path.read_text())["library"]
    return [
        Library(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        for entry in listed
    ]


def main() -> int:
    """Run the suites asked for, and say what they found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("libraries", nargs="*", help="names; all when there is none")
    parser.add_argument("--here", action="store_true", help="use this checkout as it stands")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "library-suites")
    parser.add_argument(
        "--seconds", type=float, help="what one run may take, instead of the listed"
    )
    args = parser.parse_args()
    wanted = {name.lower() for name in args.libraries}
    libraries = known_libraries()
    chosen = [one for one in libraries if not wanted or one.name.lower() in wanted]
    if len(wanted) > len(chosen):
        parser.error(f"known are {', '.join(one.name for one in libraries)}")
    verdicts = {}
    for listed in chosen:
        library = listed if args.seconds is None else replace(listed, seconds=args.seconds)
        bench = prepare(library, args.cache / library.name.lower(), is_editable=args.here)
        outcomes: tuple[Outcomes, Outcomes] = bench.run_one_by_one()
        outcomes = bench.settle(outcomes)
        verdicts[library] = compare(*outcomes, known_differences(suite=library.name))
        print(verdicts[library].text(f"{library.name} {library.version}"), flush=True)
    print(f"{'':22} on requests  of those on pooledhttp")
    for library, verdict in verdicts.items():
        print(f"{library.name:22} {verdict.passed_there:11} {verdict.passed_here:23}")
    return 0 if all(verdict.is_good for verdict in verdicts.values()) else 1


def prepare(library: Library, cache: Path, *, is_editable: bool) -> Bench:
    """Fetch a library's tests and make its environment, unless the cache has them."""
    cache.mkdir(parents=True, exist_ok=True)
    suite = cache / "suite"
    if not suite.exists():
        _unpack(_fetch(library, cache), library.tests, suite)
    python = cache / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q"]
    if not python.exists():
        venv.create(cache / "venv", with_pip=True)
        _do([*install, f"{library.name}=={library.version}", *library.needs], cwd=suite)
        # Last, so that this release is installed even if the others require another.
        _do([*install, f"requests[socks]=={RELEASE}", "pytest<10", "pytest-timeout"])
        _do([*install, f"{ROOT}[socks]"])
    # A second time for itself alone: pip takes an installed 0.1.0 for this checkout's.
    _do([*install, "--no-deps", "--force-reinstall", *(["-e"] if is_editable else []), str(ROOT)])
    options = ("--continue-on-collection-errors", *library.options)
    return Bench(suite, python, cache, _test_paths(library), options, library.seconds)


def _test_paths(library: Library) -> tuple[str, ...]:
    """What of a library's files pytest is pointed at."""
    return library.run or tuple(path for path in library.tests if "." not in Path(path).name)


def _fetch(library: Library, cache: Path) -> Path:
    release = f"{library.name}=={library.suite or library.version}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    _do([*pip, "--no-binary", library.name, "-d", str(cache), release])
    return next(cache.glob("*.tar.gz"))


def _unpack(archive: Path, wanted: tuple[str, ...], suite: Path) -> None:
    """Unpack tests alone: the library itself has to be the installed one."""
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            inside = member.name.partition("/")[2]
            parents = [str(parent) for parent in Path(inside).parents]
            if inside in wanted or any(parent in wanted for parent in parents):
                member.name = inside
                packed.extract(member, suite, filter="data")
    package = suite / "tests" / "__init__.py"
    if package.parent.exists() and not package.exists():
        package.touch()
    if not (suite / "pytest.ini").exists():
        (suite / "pytest.ini").write_text("[pytest]\n")


def _do(command: list[str], cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=cwd)


if __name__ == "__main__":
    sys.exit(main())
