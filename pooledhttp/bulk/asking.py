"""What a download asks for: the whole body, the rest of it, or only a newer one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.responses import Asked
from pooledhttp.bulk.workspace import Task

__all__ = ["PLAIN_FIELDS", "ask", "can_resume"]

_CONDITIONS = {"if-none-match", "if-modified-since"}

#: The fields of a request that has nothing to say but its URL; its response is asked for as well.
PLAIN_FIELDS: Mapping[str, str] = MappingProxyType({"Accept-Encoding": "identity"})
_NOTHING_SPECIAL = Asked()
_NO_FIELDS: frozenset[str] = frozenset()


def can_resume(job: Job) -> bool:
    """Whether the rest of the body may be asked for."""
    return job.method.upper() == "GET" and "range" not in _own_fields(job)


def ask(
    task: Task, offset: int = 0, total: int | None = None, validator: str | None = None
) -> tuple[Asked, Mapping[str, str]]:
    """Return what a request asks for, and the header fields that say so.

    Args:
        task: The task. The fields of its job come before the others.
        offset: Bytes of the body that are there.
        total: The length of the whole body, if it is known.
        validator: What the bytes are a part of; None for the whole body.
    """
    job = task.job
    if job.is_bare and total is None and not (offset or task.is_conditional):
        return _NOTHING_SPECIAL, PLAIN_FIELDS
    own = _own_fields(job)
    asked = Asked(
        offset=offset,
        total=total,
        validator=validator,
        is_conditional=bool(task.is_conditional or own & _CONDITIONS),
        has_own_range="range" in own,
        accept=job.accept,
    )
    return asked, _request_fields(task, asked)


def _request_fields(task: Task, asked: Asked) -> Mapping[str, str]:
    if not (asked.offset or task.is_conditional or task.job.headers):
        return PLAIN_FIELDS
    fields = dict(PLAIN_FIELDS)
    if asked.offset and asked.validator is not None:
        fields["Range"] = f"bytes={asked.offset}-"
        fields["If-Range"] = asked.validator
    elif task.is_conditional:
        if task.row.etag:
            fields["If-None-Match"] = task.row.etag
        if task.row.modified:
            fields["If-Modified-Since"] = task.row.modified
    for name, value in (task.job.headers or {}).items():
        for same in [key for key in fields if key.lower() == name.lower()]:
            del fields[same]
        fields[name] = value
    return fields


def _own_fields(job: Job) -> frozenset[str]:
    return frozenset(map(str.lower, job.headers)) if job.headers else _NO_FIELDS
