"""The shapes of the answers about the proxy itself, and the rows of the tables under `_cat`."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Acknowledged, Answer, Kind


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


class QuotaMatchShown(Answer, kw_only=True):
    """The requests that a quota is about."""

    users: list[str]
    indexes: list[str]
    headers: dict[str, str]
    operations: list[Literal["search", "write", "other"]]


class QuotaKey(Answer, kw_only=True):
    """A key that a quota has refused."""

    key: str
    refused: int
    empty_in_seconds: float
    in_progress: int


class QuotaShown(Answer, kw_only=True):
    """A quota, its refusals since the start, and the keys that were refused most."""

    name: str
    match: QuotaMatchShown
    per: str
    burst: str
    limits: dict[str, float]
    refused: dict[str, int]
    keys: list[QuotaKey]


class QuotasShown(Answer, kw_only=True):
    """The quotas in force, over all workers."""

    workers: int
    quotas: list[QuotaShown]


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


class StageActivity(Answer, kw_only=True):
    """What a stage did in a minute: runs over a batch, documents, fuel in points."""

    name: str
    runs: int
    documents: int
    failures: int
    dropped: int
    fuel: int
    p50_ms: float
    p99_ms: float


class ErrorCount(Answer, kw_only=True):
    """Documents that failed in a stage with a type of error."""

    stage: str
    type: str
    count: int


class PipelineActivity(Answer, kw_only=True):
    """What a version of a pipeline did in a minute."""

    runs: int
    documents: int
    failures: int
    dropped: int
    fuel: int
    p50_ms: float
    p99_ms: float
    stages: list[StageActivity]
    errors: list[ErrorCount]


class SurfaceActivity(Answer, kw_only=True):
    """Requests of a surface in a minute; errors are answers of 5xx."""

    requests: int
    errors: int
    p50_ms: float
    p99_ms: float


class Minute(Answer, kw_only=True):
    """A minute by its start, and the seconds of it that have passed."""

    start: str
    seconds: float
    pipelines: dict[str, PipelineActivity]
    surfaces: dict[str, SurfaceActivity]


class History(Answer, kw_only=True):
    """The last minutes, the earliest first; the last one is in progress."""

    interval_seconds: int
    workers: int
    minutes: list[Minute]


class StageTotals(Answer, kw_only=True):
    """What a stage did since the start; durations of runs by the number of their bucket."""

    name: str
    runs: int
    documents: int
    failures: int
    dropped: int
    fuel: int
    durations: dict[str, int]


class PipelineTotals(Answer, kw_only=True):
    """What a version of a pipeline did since the start."""

    runs: int
    documents: int
    failures: int
    dropped: int
    fuel: int
    durations: dict[str, int]
    stages: list[StageTotals]


class SurfaceTotals(Answer, kw_only=True):
    """Requests of a surface since the start, by class of status."""

    statuses: dict[str, int]
    durations: dict[str, int]


class Totals(Answer, kw_only=True):
    """What pipelines and surfaces did since the start; other processes: counting began anew."""

    processes: list[str]
    pipelines: dict[str, PipelineTotals]
    surfaces: dict[str, SurfaceTotals]
