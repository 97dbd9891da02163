"""Fixtures for the tests of one connection."""

from __future__ import annotations

from tests.support.parsers import each_parser

__all__ = ["each_parser"]
