"""Reads a package's imports from its source, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pooledhttp"


@dataclass(frozen=True)
class Import:
    """One import: which module names which other, and where.

    `target` is a module of the package (`pooledhttp.pool.lease`), or an outside module followed by
    the imported name (`threading.Event`).
    """

    source: str
    target: str
    line: int
    is_typing_only: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


class Tree:
    """The modules of a package on disk, each with its parsed source."""

    def __init__(self, root: Path, package: str = PACKAGE) -> None:
        self.package = package
        self.parsed: dict[str, ast.Module] = {}
        self.subpackages: set[str] = set()
        for path in sorted((root / package).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
                self.subpackages.add(".".join(parts))
            self.parsed[".".join(parts)] = ast.parse(path.read_text(), str(path))

    def imports(self) -> list[Import]:
        """Every import of every module, those inside functions included."""
        return [found for module in self.parsed for found in self._imports_of(module)]

    def uses(self) -> list[Import]:
        """Every `module.name` that is read off an imported outside module."""
        return [found for module in self.parsed for found in self._uses_in(module)]

    def _imports_of(self, module: str) -> Iterator[Import]:
        tree = self.parsed[module]
        typing_only = _typing_only_lines(tree)
        for node in ast.walk(tree):
            for target in self._targets(module, node):
                yield Import(module, target, node.lineno, node.lineno in typing_only)  # type: ignore[attr-defined]

    def _targets(self, module: str, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            keep = len(parts) - node.level + (module in self.subpackages)
            base = ".".join([*parts[:keep], *([base] if base else [])])
        if base.split(".")[0] != self.package:
            return [f"{base}.{alias.name}" for alias in node.names]
        # `from pooledhttp import hooks` names a module, `from pooledhttp.hooks import X` does not.
        full = [f"{base}.{alias.name}" for alias in node.names]
        return sorted({name if name in self.parsed else base for name in full})

    def _uses_in(self, module: str) -> Iterator[Import]:
        tree = self.parsed[module]
        names = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name.split(".")[0]] = alias.name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                outside = names.get(node.value.id, "")
                if outside and outside.split(".")[0] != self.package:
                    yield Import(module, f"{outside}.{node.attr}", node.lineno, False)


def _typing_only_lines(tree: ast.Module) -> set[int]:
    """Lines that stand in the body of an `if TYPE_CHECKING:`."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def loops(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle (Tarjan's components of two or more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            group, stack[cut:] = stack[cut:], []
            if len(group) > 1 or node in edges.get(node, ()):
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found
