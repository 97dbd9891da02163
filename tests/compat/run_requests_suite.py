"""Runs requests' own test suite on requests and on pooledhttp, and compares test by test.

The suite comes from the source distribution on the package index, in exactly the release we
follow, and runs in a virtual environment of its own: once as it is, once with `requests` meaning
pooledhttp. A test that fails on requests itself on this machine (some want the open network) says
nothing and is left out. What passes there has to pass here, except the tests named in
`differences.toml`; one named there that passes is an error too, so that the list stays true.

    python tests/compat/run_requests_suite.py            # exit status 0 when all is as expected
    python tests/compat/run_requests_suite.py -k cookie  # a part; the list need not be met whole
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RELEASE = "2.34.2"
SDIST = f"requests-{RELEASE}.tar.gz"
SDIST_SHA256 = "f288924cae4e29463698d6d60bc6a4da69c89185ad1e0bcc4104f584e960b9ed"

#: What that suite needs, as its own requirements say, and requests' SOCKS extra.
NEEDS = (
    f"requests[socks]=={RELEASE}",
    "pytest<10",
    "pytest-httpbin==2.1.0",
    "httpbin>=0.10.2,<0.11",
    "pytest-mock",
    "pytest-timeout",
    "trustme",
)

RUN_SECONDS = 420

Outcomes = dict[str, str]


def main() -> int:
    """Prepare, run both, compare, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-k", dest="expression", default="", help="run only tests that match")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / ".cache" / "requests-suite", help="kept between runs"
    )
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    bench = prepare(args.cache)
    selection = ["-k", args.expression] if args.expression else []
    outcomes = bench.run_both(selection)
    outcomes = bench.settle(outcomes)
    verdict = compare(*outcomes, known_differences(), complete=not selection)
    print(verdict.text())
    return 0 if verdict.is_good else 1


@dataclass(frozen=True)
class Bench:
    """An unpacked suite, and the interpreter to run it with."""

    suite: Path
    python: Path
    cache: Path
    #: What is run when no single tests are asked for, relative to the suite.
    tests: tuple[str, ...] = ("tests",)
    #: For pytest.
    options: tuple[str, ...] = ()
    #: A run takes about a minute on two cores; several of them mean it hangs.
    seconds: float = RUN_SECONDS

    def run_both(self, arguments: list[str]) -> tuple[Outcomes, Outcomes]:
        """Outcomes on requests and on pooledhttp, run side by side."""
        running = [self._start(on, arguments) for on in ("requests", "pooledhttp")]
        first, second = (self._finish(process, on) for process, on in running)
        return first, second

    def run_one_by_one(self) -> tuple[Outcomes, Outcomes]:
        """The same one after the other, for suites whose tests open fixed ports or files."""
        first, second = (self._finish(*self._start(on, [])) for on in ("requests", "pooledhttp"))
        return first, second

    def settle(self, outcomes: tuple[Outcomes, Outcomes]) -> tuple[Outcomes, Outcomes]:
        """Run again, alone, what passed there and failed here: a slow machine is no difference."""
        reference, ours = outcomes
        again = [test for test in sorted(reference) if _differs(test, reference, ours)]
        if again and len(again) <= 60:
            print(f"once more: {len(again)} tests that differ")
            for outcome, repeated in zip(outcomes, self.run_both(again), strict=True):
                outcome.update({test: repeated.get(test, "missing") for test in again})
        return outcomes

    def _start(self, on: str, arguments: list[str]) -> tuple[subprocess.Popen[bytes], str]:
        for old in (self._outcomes(on), self._output(on)):
            old.unlink(missing_ok=True)
        tests = [] if any("::" in argument for argument in arguments) else self.tests
        command = [str(self.python), "-m", "pytest", *tests, *arguments, "-p", "suite_plugin"]
        command += self.options
        command += ["-q", "--tb=short", "-p", "no:cacheprovider", "--timeout=60"]
        with self._output(on).open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.suite,
                env=_environment(on, self._outcomes(on)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return process, on

    def _finish(self, process: subprocess.Popen[bytes], on: str) -> Outcomes:
        try:
            process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        text = self._output(on).read_text(errors="replace").rstrip()
        if not self._outcomes(on).exists():
            raise SystemExit(f"the suite did not run to its end on {on}:\n{text[-4000:]}")
        print(f"on {on}: {text.splitlines()[-1]}")
        found: Outcomes = json.loads(self._outcomes(on).read_text())
        return found

    def _outcomes(self, on: str) -> Path:
        return self.cache / f"outcomes-{on}.json"

    def _output(self, on: str) -> Path:
        return self.cache / f"output-{on}.txt"


def _environment(on: str, outcomes: Path) -> dict[str, str]:
    """This process's environment without what would change how a client behaves."""
    bundles = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("PYTEST_", "POOLEDHTTP_"))
        and name not in bundles
    }
    added = {"SUITE_ON": on, "SUITE_OUTCOMES": str(outcomes), "PYTHONPATH": str(HERE)}
    return {**kept, **added, "NETRC": os.devnull}


def prepare(cache: Path) -> Bench:
    """Fetch the source distribution and make the environment, unless the cache has them."""
    archive = cache / SDIST
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        _do([*pip, "-d", str(cache), f"requests=={RELEASE}"])
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"{archive} is not the release we know: sha256 {found}")
    suite = cache / f"requests-{RELEASE}"
    if not suite.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(cache, filter="data")
    python = cache / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q"]
    if not python.exists():
        venv.create(cache / "venv", with_pip=True)
    _do([*install, *NEEDS, f"{ROOT}[socks]"])
    # A second time for itself alone: pip takes an installed 0.1.0 for this checkout's.
    _do([*install, "--no-deps", "--force-reinstall", str(ROOT)])
    return Bench(suite, python, cache)


def _do(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def known_differences(
    path: Path = HERE / "differences.toml", suite: str = "requests"
) -> dict[str, str]:
    """Test id and reason of each difference that is listed for a suite."""
    listed = tomllib.loads(path.read_text()).get("difference", [])
    for entry in listed:
        if not str(entry.get("reason", "")).strip():
            raise SystemExit(f"{path}: {entry.get('test')} has no reason")
    return {
        entry["test"]: entry["reason"]
        for entry in listed
        if entry.get("suite", "requests") == suite
    }


@dataclass(frozen=True)
class Verdict:
    """What came out of a comparison."""

    passed_there: int
    passed_here: int
    listed: list[str]
    new: list[str]
    passing_though_listed: list[str]
    unknown: list[str]

    @property
    def is_good(self) -> bool:
        """Whether everything is as the list says."""
        return self.passed_there > 0 and not (
            self.new or self.passing_though_listed or self.unknown
        )

    def text(self, title: str = "requests' own tests") -> str:
        """The report."""
        share = 100 * self.passed_here / self.passed_there if self.passed_there else 0.0
        lines = [
            f"{title}: {self.passed_there} pass on requests, "
            f"{self.passed_here} of those on pooledhttp ({share:.2f} %)"
        ]
        for heading, tests in (
            ("expected differences", self.listed),
            ("NEW differences", self.new),
            ("LISTED, yet they pass", self.passing_though_listed),
            ("LISTED, yet there is no such test", self.unknown),
        ):
            lines += [f"{heading}: {len(tests)}", *(f"  {test}" for test in tests)]
        return "\n".join(lines)


def _differs(test: str, reference: Outcomes, ours: Outcomes) -> bool:
    return reference.get(test) == "passed" and ours.get(test) != "passed"


def compare(
    reference: Outcomes, ours: Outcomes, known: dict[str, str], *, complete: bool = True
) -> Verdict:
    """Hold the outcomes on pooledhttp against those on requests and the list.

    Args:
        reference: Outcomes on requests.
        ours: Outcomes on pooledhttp.
        known: The listed differences.
        complete: Whether the whole suite ran, so that a listed test that is missing does not exist.
    """
    passed = [test for test, outcome in reference.items() if outcome == "passed"]
    different = [test for test in sorted(passed) if _differs(test, reference, ours)]
    return Verdict(
        passed_there=len(passed),
        passed_here=len(passed) - len(different),
        listed=[test for test in different if test in known],
        new=[test for test in different if test not in known],
        passing_though_listed=[test for test in known if ours.get(test) == "passed"],
        unknown=[test for test in known if complete and test not in reference],
    )


if __name__ == "__main__":
    sys.exit(main())
