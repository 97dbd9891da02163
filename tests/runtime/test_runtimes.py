"""The table of tests that have no twin on an event loop is up to date."""

from __future__ import annotations

import re

from tests.support.runtimes import IN_DEFAULT_RUN, ON_THREADS_ONLY, TESTS


def test_the_table_names_tests_that_exist() -> None:
    """Each file is there, and each test in it."""
    for name in (*ON_THREADS_ONLY, *IN_DEFAULT_RUN):
        file, _, test = name.partition("::")
        source = (TESTS / file).read_text()
        assert re.search(rf"^def {test or 'test_'}", source, re.MULTILINE), name
