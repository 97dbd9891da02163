"""Values made of named fields: what `dataclasses` gives, at a seventh of the cost of definition."""

from __future__ import annotations

from pooledhttp.records.definition import field, record, replace
from pooledhttp.records.spelling import (
    argument_names,
    check_whole_number,
    described,
    did_you_mean,
    explain_misspelt,
    explain_misspelt_call,
    explain_misspelt_fields,
    explain_unexpected,
    nearest,
    unknown_argument,
)

__all__ = [
    "argument_names",
    "check_whole_number",
    "did_you_mean",
    "explain_misspelt",
    "explain_misspelt_call",
    "explain_misspelt_fields",
    "explain_unexpected",
    "field",
    "described",
    "nearest",
    "record",
    "replace",
    "unknown_argument",
]
