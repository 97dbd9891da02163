"""The table of advisories names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_each_advisory_has_its_test() -> None:
    """Every row of `docs/security.md` with a CVE names at least one test that is there."""
    page = (TESTS.parent / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| CVE-")]
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        for path, name in named:
            assert f"def {name}(" in (TESTS / path).read_text(), f"{path}::{name}"
