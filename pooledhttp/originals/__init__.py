"""Tells whether names of a class or module still have the values with which they were defined.

Programs override methods, and tests replace methods and functions, at any time. A step that is
skipped, because its result is known, asks here first; where a name has another value, it is called.
"""

from __future__ import annotations

from pooledhttp.originals.names import Originals, settle_attributes

__all__ = ["Originals", "settle_attributes"]
