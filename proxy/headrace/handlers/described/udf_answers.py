"""Shapes of answers about UDFs, sets and the proxy itself; see `answers`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Acknowledged, Answer, Counted, Kind
from headrace_pipelines.udf.manifest import LimitsConfig, Parameter


class UdfShown(Answer, kw_only=True):
    """A version of a UDF: its manifest, and what the engine found in its code. `digest` is a SHA-256."""

    name: str
    version: str
    language: str
    entry: str | None
    description: str | UnsetType = UNSET
    parameters: list[Parameter] | UnsetType = UNSET
    returns: str | UnsetType | None = UNSET
    merge: bool | UnsetType = UNSET
    metadata: bool | UnsetType = UNSET
    view: str | UnsetType | None = UNSET
    isolation: Literal["document", "request", "instance"] | UnsetType = UNSET
    clock: Literal["counted", "real"] | UnsetType | None = UNSET
    random: Literal["seeded", "real"] | UnsetType | None = UNSET
    limits: LimitsConfig | UnsetType = UNSET
    fields: list[str] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    category: str | UnsetType = UNSET
    author: str | UnsetType = UNSET
    digest: str
    size: int
    abi: str
    exports: list[str]
    created: str
    managed_by: str | UnsetType = UNSET


class UdfStored(UdfShown, kw_only=True):
    """A version of a UDF is stored."""

    acknowledged: Literal[True]


class UdfList(Answer, kw_only=True):
    """All UDFs in their latest version."""

    total: int
    udfs: list[UdfShown]


class UdfVersion(Answer, kw_only=True):
    """A stored version of a UDF."""

    version: str
    digest: str
    created: str
    latest: bool


class UdfVersions(Answer, kw_only=True):
    """All versions of a UDF, lowest first."""

    name: str
    versions: list[UdfVersion]


class UdfSource(Answer, kw_only=True):
    """The code of a UDF: `source` is a text, `wasm` a module in base64."""

    name: str
    version: str
    language: str
    digest: str
    source: str | UnsetType = UNSET
    wasm: str | UnsetType = UNSET


class UdfVersionStatistics(Counted, kw_only=True):
    """Counts of a version of a UDF."""

    version: str
    digest: str


class UdfStatistics(Counted, kw_only=True):
    """Counts of a UDF over all stages and workers, in all and by version."""

    name: str
    versions: list[UdfVersionStatistics]


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


class Alive(Answer, kw_only=True):
    """The process answers."""

    status: Literal["alive"]


class Readiness(Answer, kw_only=True):
    """Whether traffic is served."""

    status: Literal["ready", "not ready", "draining"]
    registry: Literal["current", "cached", "none"]
    cluster: Literal["reachable", "unreachable"]
    registry_ignored: int | UnsetType = UNSET
    registry_repaired: int | UnsetType = UNSET
    registry_rival: str | UnsetType = UNSET


class Information(Answer, kw_only=True):
    """Versions, settings without secrets, and fingerprints of the secrets that proxies share."""

    name: str
    version: str
    engine: str
    python: str
    machine: str
    process: int
    now_ms: int
    uptime_seconds: int
    registry: str
    settings: dict[str, Any]
    fingerprints: dict[str, str]


class Reloaded(Acknowledged, kw_only=True):
    """The names of settings that have changed, and of those that need a restart."""

    changed: list[str]
    restart_needed: list[str]


class PipelineRow(Answer, kw_only=True):
    """A pipeline in a table."""

    name: str | UnsetType = UNSET
    type: Kind | UnsetType = UNSET
    version: str | UnsetType = UNSET
    enabled: str | UnsetType = UNSET
    stages: str | UnsetType = UNSET
    attached: str | UnsetType = UNSET
    managed_by: str | UnsetType | None = UNSET
    updated: str | UnsetType = UNSET


class UdfRow(Answer, kw_only=True):
    """A UDF in a table."""

    name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    abi: str | UnsetType = UNSET
    size: str | UnsetType = UNSET
    versions: str | UnsetType = UNSET
    managed_by: str | UnsetType | None = UNSET
    created: str | UnsetType = UNSET
