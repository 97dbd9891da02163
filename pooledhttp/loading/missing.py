"""The error where a package that only one class needs is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["explain_missing"]


@contextmanager
def explain_missing(user: str, package: str) -> Iterator[None]:
    """Have the import inside say what needs the package, and how it is installed.

    Args:
        user: What needs it, for the text.
        package: Its name for pip, which may differ from that of the module.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{user} needs {package}, which is not installed: pip install {package}",
            name=error.name,
        ) from error
