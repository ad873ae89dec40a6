"""The shapes of the answers about sets."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Answer, Kind


class Drift(Answer, kw_only=True):
    """The revision in which an object was changed by hand."""

    revision: int
    created: str | UnsetType = UNSET
    user: str | UnsetType = UNSET


class Named(Answer, kw_only=True):
    """An object of a set."""

    kind: Literal["pipeline", "udf", "association"]
    name: str
    type: Kind | UnsetType = UNSET
    action: Literal["create", "update", "activate", "unchanged", "detach", "delete"]


class Change(Answer, kw_only=True):
    """A change of an object; `patch` is a JSON patch (RFC 6902)."""

    kind: Literal["pipeline", "udf", "association"]
    name: str
    type: Kind | UnsetType = UNSET
    action: Literal["create", "update", "activate", "unchanged", "detach", "delete"]
    before: str | None = msgspec.field(name="from")
    after: str | None = msgspec.field(name="to")
    patch: list[dict[str, Any]]
    adopted: Literal[True] | UnsetType = UNSET
    drift: Drift | UnsetType = UNSET


class Changes(Answer, kw_only=True):
    """A revision of a set, and what changes with it."""

    revision: int
    changes: list[Change]


class Worker(Answer, kw_only=True):
    """What a worker has in force."""

    process: int
    registry: str
    revision: int


class Process(Worker, kw_only=True):
    """What a process of any proxy has in force."""

    host: str


class RevisionShown(Answer, kw_only=True):
    """A revision of a set."""

    revision: int
    created: str
    action: Literal["apply", "rollback", "by_hand"]
    in_force: bool
    source: dict[str, str]
    changes: list[Named]
    user: str | UnsetType = UNSET


class SetShown(RevisionShown, kw_only=True):
    """A set with the revision that is in force."""

    set: str
    objects: int


class SetList(Answer, kw_only=True):
    """All sets."""

    total: int
    sets: list[SetShown]


class Revisions(Answer, kw_only=True):
    """The kept revisions of a set, newest first, and what each worker and each proxy has in force."""

    set: str
    revision: int
    revisions: list[RevisionShown]
    workers: list[Worker]
    proxies: list[Process]
    expected_workers: int
    poll_seconds: float


class Exported(Answer, kw_only=True):
    """Objects in the form in which they are applied."""

    set: str | UnsetType = UNSET
    revision: int | UnsetType = UNSET
    udfs: list[dict[str, Any]]
    pipelines: list[dict[str, Any]]
    associations: dict[str, dict[str, Any]]
