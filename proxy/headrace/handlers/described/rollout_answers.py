"""The shape of the answers about rollouts."""

from __future__ import annotations

from typing import Literal

import msgspec

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


class Difference(Answer, kw_only=True):
    """The number of inputs that differ at a path; `[]` in it stands for any position of a list."""

    path: str
    kind: Literal["added", "removed", "changed", "type"]
    count: int


class Totals(Answer, kw_only=True):
    """Means of the total hits."""

    stable: float
    candidate: float


class ShadowSearches(Answer, kw_only=True):
    """Searches that were sent with the queries of both versions: `n`, and means over them where there are any."""

    n: int
    failed: int
    missed: int
    overlap: float | msgspec.UnsetType = msgspec.field(name="overlap@10", default=msgspec.UNSET)
    rbo: float | msgspec.UnsetType = msgspec.UNSET
    same_hits: float | msgspec.UnsetType = msgspec.UNSET
    same_total: float | msgspec.UnsetType = msgspec.UNSET
    total: Totals | msgspec.UnsetType = msgspec.UNSET


class ShadowShown(Answer, kw_only=True):
    """What a shadow compared, over all workers since the rollout began; empty in the mode `canary`."""

    same: int = 0
    different: int = 0
    only_stable_failed: int = 0
    only_candidate_failed: int = 0
    only_stable_dropped: int = 0
    only_candidate_dropped: int = 0
    unstable: int = 0
    paths: list[Difference] = []
    more_paths: int = 0
    candidate_failed: int = 0
    candidate_dropped: int = 0
    seen: int = 0
    missed: int = 0
    waiting: int = 0
    sampled: float = 0.0
    searches: ShadowSearches | msgspec.UnsetType = msgspec.UNSET


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
    shadow: ShadowShown
