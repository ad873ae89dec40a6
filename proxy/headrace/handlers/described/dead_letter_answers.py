"""The shapes of the answers about dead letters."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Acknowledged, Answer


class Location(Answer, kw_only=True):
    """Where a record is."""

    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")


class Group(Answer, kw_only=True):
    """Records that failed alike: of one type of error, one stage, one field and one index."""

    group: str
    count: int
    first: str | None
    last: str | None
    conflicts: int
    target: str | UnsetType = UNSET
    pipeline: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET
    sample: Location


class Groups(Answer, kw_only=True):
    """The groups of a stream, the largest first."""

    total: int
    groups: list[Group]


class Records(Answer, kw_only=True):
    """Records with their documents, the oldest first."""

    records: list[dict[str, Any]]


class Dropped(Acknowledged, kw_only=True):
    """Records are deleted."""

    deleted: int


class Redrive(Answer, kw_only=True):
    """A task. Times are seconds since 1970; `request` is what was asked for, with its query."""

    task: str
    state: Literal["running", "done", "failed", "interrupted"]
    request: dict[str, Any]
    started: float
    updated: float
    total: int
    indexed: int
    dropped: int
    conflict: int
    failed: int
    reason: str


class DryRun(Answer, kw_only=True):
    """What pipelines would make of the oldest records."""

    dry_run: Literal[True]
    total: int
    examined: int
    indexed: int
    dropped: int
    failed: int
    failures: list[dict[str, Any]]
