"""A user's program passes mypy and pyright in strict mode, and its mistakes do not.

So do the code on the pages and the examples. All that runs mypy stands in this file: its tests run
in one process, after each other, and share the cache of mypy.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.test_docs_code import BEFORE, DOCSTRINGS, NOT_RUN

HERE = Path(__file__).parent
PROGRAMS = [HERE / "api.py", HERE / "async_api.py"]
MISTAKES = [HERE / "wrong_calls.py", HERE / "wrong_async_calls.py"]
ROOT = HERE.parents[1]

#: Pages whose blocks are checked, and examples.
PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

#: Public modules whose parameters are counted, and the files of ours that define their classes.
COUNTED = {
    "sessions": ("sessions.py",),
    "api": ("api.py",),
    "adapters": ("adapters.py",),
    "models": ("message/request.py", "message/prepared.py", "message/response.py"),
    "auth": ("auth.py",),
    "cookies": ("cookies.py",),
    "hooks": ("hooks.py",),
    "structures": ("structures.py",),
    "retry": ("retry/policy.py", "retry/budget.py"),
    "transport": ("transport/urllib3_face.py", "transport/view.py", "transport/manager.py"),
    "network": ("network/addresses.py", "network/proxies.py", "network/route.py"),
    "monitoring": tuple(
        f"monitoring/{path.name}" for path in (ROOT / "pooledhttp/monitoring").glob("[a-z]*.py")
    ),
    "aio": ("aio/session.py", "aio/response.py", "aio/pool.py"),
    "bulk": tuple(f"bulk/{path.name}" for path in (ROOT / "pooledhttp/bulk").glob("[a-z]*.py")),
}

#: Parameters that are `Any`, each with its reason.
KNOWN_ANY = {
    "SessionRedirectMixin.send kwargs": "handed to the adapter as they are",
    "SessionRedirectMixin.resolve_redirects adapter_kwargs": "handed to the adapter as they are",
    "Session.send kwargs": "handed to the adapter as they are; adapters may take their own",
    "HTTPAdapter.init_poolmanager pool_kwargs": "handed to urllib3, which types them",
    "HTTPAdapter.proxy_manager_for proxy_kwargs": "handed to urllib3, which types them",
    "HTTPAdapter.cert_verify conn": "a pool of ours, urllib3's, or a stand-in with its attributes",
    "HTTPAdapter.add_headers kwargs": "the keywords of `send`",
    "HTTPAdapter.build_response resp": "anything with some attributes of urllib3's response",
    "Response.json kwargs": "handed to `json.loads`",
    "AsyncSession.send kwargs": "as `Session.send`",
    "HTTPDigestAuth.handle_redirect kwargs": "what the request was sent with",
    "HTTPDigestAuth.handle_401 kwargs": "what the request was sent with",
    "MockResponse.__init__ headers": "a message of `email` or `http.client`, or one like them",
    "RequestsCookieJar.set kwargs": "fields of a cookie, which `create_cookie` checks",
    "RequestsCookieJar.set_cookie args": "handed to `http.cookiejar`",
    "RequestsCookieJar.set_cookie kwargs": "handed to `http.cookiejar`",
    "create_cookie kwargs": "fields of a cookie, of several types",
    "extract_cookies_to_jar response": "urllib3's response, or an object like it",
    "jar_for jar": "a jar, or what programs put in its place",
    "dispatch_hook kwargs": "what the request was sent with",
    "Retry.__init__ further": "handed to urllib3, which types them",
    "Retry.new kw": "arguments of several types, as in urllib3",
    "PoolFacade.__init__ settings": "settings of urllib3's pools",
    "PoolFacade.urlopen response_kw": "handed to urllib3, which types them",
    "install_facades manager": "urllib3's manager, or a mock in its place",
}


def lines_marked(path: Path) -> set[int]:
    """The numbers of the lines that end in `# error`."""
    lines = path.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def program(page: Path) -> str:
    """The blocks of a page as one program; a comment above each says where it stands."""
    text = page.read_text()
    parts = []
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text.count("\n", 0, match.start(1)) + 1
        parts.append(f"# {page.name}, line {line}\n{match[1]}")
    return "\n".join(parts)


def mypy(paths: list[Path], cache: Path) -> tuple[int, str]:
    """Run mypy as a user would who has pooledhttp installed."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install 'pooledhttp[dev]'")
    options = ["--strict", "--warn-unused-ignores", "--cache-dir", str(cache)]
    return _run(sys.executable, "-m", "mypy", *options, *map(str, paths), cwd=ROOT)


def pyright(paths: list[Path], directory: Path) -> tuple[int, str]:
    """Run pyright in strict mode; it comes from the package index and fetches itself for node."""
    if importlib.util.find_spec("pyright") is None or shutil.which("node") is None:
        pytest.skip("needs node, and pyright: pip install pyright")
    settings = {
        "include": [path.name for path in paths],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT)],
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    for path in paths:
        shutil.copy(path, directory)
    options = ["--pythonpath", sys.executable]
    return _run(sys.executable, "-m", "pyright", *options, "-p", str(directory), cwd=directory)


def _run(*command: str, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of mypy, which reads the package once."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture(scope="module")
def pyright_errors(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[tuple[str, int]], str]:
    """File and line of what pyright reports in the programs and the mistakes, and its output."""
    _, output = pyright([*PROGRAMS, *MISTAKES], tmp_path_factory.mktemp("pyright"))
    assert "errors," in output, output
    found = re.findall(r"(\w+\.py):(\d+):\d+ - error", output)
    return {(name, int(line)) for name, line in found}, output


def test_mypy_accepts_a_program(mypy_cache: Path) -> None:
    """Strict, and with a complaint about every ignored error that is none."""
    code, output = mypy(PROGRAMS, mypy_cache)
    assert code == 0, output


def docstrings(folder: Path) -> Iterator[Path]:
    """Write the code of each docstring into a file, after what the text before it names."""
    for number, (module, code) in enumerate(DOCSTRINGS):
        if module in NOT_RUN:
            continue
        path = folder / f"docstring_{number}_{module.replace('.', '_')}.py"
        # Its functions are sketches without hints, and it shows some calls one after another.
        rules = "# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs\n"
        path.write_text(f"{rules}{BEFORE.get(module, '')}\n{code}\n")
        yield path


def test_code_type_checks(tmp_path: Path, mypy_cache: Path) -> None:
    """The blocks of a page are one program without errors; so are examples and docstrings."""
    files = [*EXAMPLES, *docstrings(tmp_path)]
    for page in PAGES:
        if "```python" in page.read_text():
            name = re.sub(r"\W", "_", str(page.relative_to(ROOT)))
            files.append(tmp_path / f"{name}.py")
            files[-1].write_text(program(page))
    code, output = mypy(files, mypy_cache)
    assert code == 0, output


def test_pyright_accepts_a_program(pyright_errors: tuple[set[tuple[str, int]], str]) -> None:
    """The same program, in pyright's strict mode."""
    found, output = pyright_errors
    names = {path.name for path in PROGRAMS}
    assert [one for one in found if one[0] in names] == [], output


def marked() -> set[tuple[str, int]]:
    """The file and line of every mistake."""
    return {(path.name, number) for path in MISTAKES for number in lines_marked(path)}


def test_mypy_finds_each_mistake(mypy_cache: Path) -> None:
    """mypy reports the marked lines and no others."""
    _, output = mypy(MISTAKES, mypy_cache)
    found = re.findall(r"(\w+\.py):(\d+): error", output)
    assert {(name, int(line)) for name, line in found} == marked(), output


def test_pyright_finds_each_mistake(pyright_errors: tuple[set[tuple[str, int]], str]) -> None:
    """pyright reports the marked lines and no others."""
    found, output = pyright_errors
    names = {path.name for path in MISTAKES}
    assert {one for one in found if one[0] in names} == marked(), output


def test_public_parameters_have_types() -> None:
    """A public parameter is `Any` only where a reason is given, and not more often than there."""
    import requests

    theirs, ours = Path(requests.__file__).parent, ROOT / "pooledhttp"
    any_there, any_here, any_of_ours_alone = [], [], []
    for name, files in COUNTED.items():
        module = importlib.import_module(f"pooledhttp.{name}")
        public = [*dir(module), *getattr(module, "__all__", ())]
        found = [each for file in files for each in _any_in(ours / file, public)]
        if (theirs / f"{name}.py").exists():
            any_there += _any_in(theirs / f"{name}.py", public)
            any_here += found
        else:
            any_of_ours_alone += found
    assert {*any_here, *any_of_ours_alone} == set(KNOWN_ANY)
    assert len(any_here) <= len(any_there) == 21


def _any_in(path: Path, public: list[str]) -> Iterator[str]:
    """Name the parameters of a file's public functions that are `Any`, or have no type."""
    for owner, function in _functions(ast.parse(path.read_text()).body):
        if (owner.partition(".")[0] or function.name) not in public:
            continue
        given = function.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        for argument in every:
            if argument is None or argument.arg in ("self", "cls"):
                continue
            if argument.annotation is None or ast.unparse(argument.annotation) == "Any":
                yield f"{owner}{function.name} {argument.arg}"


Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function]]:
    overloaded: set[str] = set()
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            is_overload = any(ast.unparse(one) == "overload" for one in node.decorator_list)
            is_public = not node.name.startswith("_") or node.name == "__init__"
            if is_public and (is_overload or node.name not in overloaded):
                yield owner, node
            if is_overload:  # what comes below them is not seen by callers
                overloaded.add(node.name)
