"""Shapes of the answers of our endpoints, for their description: what handlers send, and nothing else."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

Kind = Literal["document", "query", "result"]


class Answer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of answers: they have no other members."""


class Cause(msgspec.Struct, kw_only=True):
    """A cause of an error; `field` is the path of what is wrong in the request."""

    type: str
    reason: str | None = None
    field: str | UnsetType = UNSET
    pipeline: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET


class ErrorObject(Cause, kw_only=True):
    """An error in OpenSearch's shape."""

    root_cause: list[Cause]


class Error(msgspec.Struct, kw_only=True):
    """The answer to a request that failed."""

    error: ErrorObject
    status: int


class Acknowledged(Answer, kw_only=True):
    """A change is in force."""

    acknowledged: Literal[True]


class PipelineStored(Acknowledged, kw_only=True):
    """A version of a pipeline is stored and active."""

    name: str
    version: str
    type: Kind


class PipelinesImported(Acknowledged, kw_only=True):
    """Pipelines that were made of one of the cluster."""

    pipelines: list[ImportedPipeline]


class ImportedPipeline(Answer, kw_only=True):
    """A pipeline that was made of one of the cluster."""

    name: str
    version: str
    type: Kind


class PipelineActivated(Acknowledged, kw_only=True):
    """A version of a pipeline is active."""

    name: str
    version: str


class PipelineShown(Answer, kw_only=True):
    """A pipeline: its definition, and what the registry knows of it. `fault`: why it cannot run."""

    name: str
    version: str
    type: Kind
    description: str
    enabled: bool
    stages: list[dict[str, Any]]
    on_failure: str | list[dict[str, Any]] | UnsetType = UNSET
    dead_letters: dict[str, Any] | UnsetType = UNSET
    retry: dict[str, Any] | UnsetType = UNSET
    timeout: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    created: str
    updated: str
    active: bool
    managed_by: str | UnsetType = UNSET
    fault: str | UnsetType = UNSET


class PipelineList(Answer, kw_only=True):
    """All pipelines in their active version."""

    total: int
    pipelines: list[PipelineShown]


class PipelineVersion(Answer, kw_only=True):
    """A stored version of a pipeline."""

    version: str
    created: str
    active: bool
    enabled: bool


class PipelineVersions(Answer, kw_only=True):
    """All versions of a pipeline, oldest first."""

    name: str
    type: Kind
    versions: list[PipelineVersion]


class Failure(msgspec.Struct, kw_only=True):
    """The failure of a trial run."""

    type: str
    reason: str
    stage: str
    status: int


class Trial(Answer, kw_only=True):
    """The result of a trial run; nothing is indexed, searched or counted."""

    output: Any
    duration_ms: float
    success: bool
    expanded: int | UnsetType = UNSET
    filtered: bool | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    stage_results: list[dict[str, Any]] | UnsetType = UNSET


class DocumentTrial(Answer, kw_only=True):
    """The result of a trial run over one document: `doc`, `docs` where it became several, or `error`."""

    doc: dict[str, Any] | UnsetType | None = UNSET
    docs: list[dict[str, Any]] | UnsetType = UNSET
    filtered: bool | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    stage_results: list[dict[str, Any]] | UnsetType = UNSET


class DocumentTrials(Answer, kw_only=True):
    """The results of a trial run over documents, in their order."""

    docs: list[DocumentTrial]


class ErrorSample(Answer, kw_only=True):
    """A failure: when, where and why, and the names and types of the document. Reasons are for administrators."""

    time: str
    stage: str
    type: str
    reason: str | UnsetType = UNSET
    document: str


class Durations(Answer, kw_only=True):
    """Durations in milliseconds."""

    average_duration_ms: float
    p50_duration_ms: float
    p95_duration_ms: float
    p99_duration_ms: float


class Counted(Durations, kw_only=True):
    """Counts of a stage or a UDF."""

    executions: int
    documents_in: int
    documents_changed: int
    documents_dropped: int
    documents_expanded: int
    failures: int
    fuel: int
    memory_peak_bytes: int


class BreakerState(Answer, kw_only=True):
    """The breaker of a stage: how often it has opened, and the workers in which it is open."""

    opened: int
    open_in_workers: int


class StageStatistics(Counted, kw_only=True):
    """Counts of a stage; `breaker` once it has opened."""

    name: str
    skips: int
    retries: int
    breaker: BreakerState | UnsetType = UNSET


class PipelineStatistics(Durations, kw_only=True):
    """Counts of a version of a pipeline since the start, over all workers."""

    name: str
    version: str
    type: Kind
    total_executions: int
    successful_executions: int
    failed_executions: int
    current: int
    documents_in: int
    documents_out: int
    documents_dropped: int
    documents_failed: int
    retries: int
    skips: int
    fuel: int
    memory_peak_bytes: int
    last_executed: str | None
    stage_stats: list[StageStatistics]
    last_errors: list[ErrorSample]


class AllStatistics(Answer, kw_only=True):
    """Counts of all active pipelines."""

    total: int
    pipelines: list[PipelineStatistics]


class Slots(Answer, kw_only=True):
    """The pipelines of one type that are attached."""

    default_pipeline: str | UnsetType = UNSET
    final_pipeline: str | UnsetType = UNSET


class Attached(Answer, kw_only=True):
    """The pipelines that are attached to an index."""

    document: Slots | UnsetType = UNSET
    query: Slots | UnsetType = UNSET
    result: Slots | UnsetType = UNSET


class AssociationShown(Attached, kw_only=True):
    """What is attached to all indexes whose names match."""

    pattern: str
    priority: int
    dead_letters: dict[str, Any] | UnsetType = UNSET
    managed_by: str | UnsetType = UNSET


class AssociationStored(AssociationShown, kw_only=True):
    """An association is in force."""

    acknowledged: Literal[True]


class AssociationList(Answer, kw_only=True):
    """All associations, the highest priority first."""

    total: int
    associations: list[AssociationShown]


class Resolved(Answer, kw_only=True):
    """A pipeline that would run, and why: `by` names the index, the template or the pattern."""

    pipeline: str
    version: str
    enabled: bool
    source: Literal["index", "template", "pattern", "default"]
    by: str | None
    fault: str | UnsetType = UNSET


class ResolvedSlots(Answer, kw_only=True):
    """The pipelines of one type that would run."""

    default: Resolved | UnsetType = UNSET
    final: Resolved | UnsetType = UNSET


class Resolution(Answer, kw_only=True):
    """The pipelines that would run on an index."""

    document: ResolvedSlots | UnsetType = UNSET
    query: ResolvedSlots | UnsetType = UNSET
    result: ResolvedSlots | UnsetType = UNSET
