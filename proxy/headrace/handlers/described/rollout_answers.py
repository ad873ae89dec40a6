"""The shape of the answers about rollouts."""

from __future__ import annotations

from typing import Any, Literal

from headrace.handlers.described.answers import Answer, Kind
from headrace_pipelines.registry.rollouts.record import AbortLimits, Step


class RolloutVersion(Answer, kw_only=True):
    """What a version did since the rollout began; durations are those of its runs since the start of the proxy."""

    version: str
    documents: int
    failed: int
    dropped: int
    error_rate: float
    dropped_rate: float
    p50_duration_ms: float
    p99_duration_ms: float


class RolloutVersions(Answer, kw_only=True):
    """Both versions beside each other."""

    stable: RolloutVersion
    candidate: RolloutVersion


class RolloutShown(Answer, kw_only=True):
    """A rollout: what was asked for, and how far it is; times in ISO 8601.

    `judged_by`: the process that aborted it. `reason`: of an abort.
    """

    name: str
    type: Kind
    stable: str
    candidate: str
    mode: Literal["shadow", "canary"]
    key: str
    steps: list[Step] = []
    ignore: list[str] = []
    abort_if: AbortLimits
    min_samples: int = 500
    fallback: Literal["error", "stable"] = "error"
    execute: float = 0.0
    state: Literal["running", "paused", "aborted", "promoted"]
    step: int
    percent: float
    step_since: str | None
    next_step_in_seconds: float | None
    created: str
    created_by: str
    changed: str
    changed_by: str
    reason: str
    judged_by: str
    versions: RolloutVersions
    shadow: dict[str, Any]
