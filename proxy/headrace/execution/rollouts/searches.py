"""What the versions of a pipeline did in a search, which counts as one document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines.registry import key

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace_pipelines import Execution
    from headrace_pipelines.registry import Pipeline


def note_run(context: RequestContext, pipeline: Pipeline, execution: Execution) -> Pipeline | None:
    """Notes a run of a pipeline over a search or a response; gives the version to run where the candidate failed."""
    snapshot, definition = context.snapshot.origin, pipeline.definition
    rollout = snapshot.rollouts.get(key(definition.type, definition.name)) if snapshot.has_rollouts else None
    if (
        rollout is None
        or not rollout.is_canary
        or (pipeline is not rollout.stable and pipeline is not rollout.candidate)
    ):
        return None
    execution.canary = pipeline is rollout.candidate
    role = "candidate" if execution.canary else "stable"
    context.components.rollouts.of(rollout).add(role, execution, 1, 0, timed=True)
    return rollout.stable if execution.canary and rollout.record.spec.fallback == "stable" else None
