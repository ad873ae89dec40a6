"""The versions that the searches of a request meet, and those that a point in time goes on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution.rollouts.changing import GOOD_SECONDS
from headrace.execution.rollouts.keys import meets_candidate
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.registry.live import LiveRegistry
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry import Snapshot


async def prepare(context: RequestContext) -> None:
    """Has a request meet the versions of its key.

    Where a rollout runs, it waits until this process has read all steps that may have begun: one whose polls are late
    would go on with the step before, while others are at the next one.
    """
    context.choose_versions = chosen
    registry = context.components.registry
    if registry.state == "none" or not registry.snapshot.has_rollouts:
        return
    await registry.confirm(GOOD_SECONDS)
    if any(rollout.undecided_at(context.arrived) for rollout in registry.snapshot.rollouts.values()):
        await registry.confirm(0.0)


async def prepare_again(context: RequestContext) -> None:
    """As [`prepare`], for a part of what outlives its request: it meets the steps that have begun now."""
    context.arrive_again()
    await prepare(context)


def waits(registry: LiveRegistry, snapshot: Snapshot) -> bool:
    """Whether [`prepare`] would have a request wait that meets no rollout: one may have begun.

    `snapshot`: that of the registry now.
    """
    return snapshot.has_rollouts and registry.is_older(GOOD_SECONDS)


def chosen(context: RequestContext, snapshot: Snapshot) -> Snapshot:
    """The registry as the searches of this request see it: the candidate is active where the key meets it."""
    return snapshot.with_versions(
        {
            key: rollout.record.spec.candidate
            for key, rollout in snapshot.rollouts.items()
            if rollout.is_canary and rollout.record.type is not PipelineType.DOCUMENT
            if meets_candidate(context, rollout)
        }
    )


def met(snapshot: Snapshot) -> dict[str, str]:
    """The versions of pipelines of searches with a running canary that are chosen here, by key: for a cursor."""
    return {
        key: snapshot.records.active[key]
        for key, rollout in snapshot.origin.rollouts.items()
        if rollout.is_canary and rollout.record.type is not PipelineType.DOCUMENT
    }


def kept(snapshot: Snapshot, versions: Mapping[str, str]) -> Snapshot:
    """The registry with the versions that a cursor began with, except the candidate of an aborted rollout."""
    # One that began before the rollout goes on with the stable version.
    return snapshot.origin.with_versions(
        {key: version for key, version in versions.items() if not is_aborted(snapshot, key, version)}
    )


def is_aborted(snapshot: Snapshot, key: str, version: str) -> bool:
    """Whether a version is the candidate of an aborted rollout whose stable version is active: nothing meets it."""
    record, active = snapshot.rollout_of(key), snapshot.origin.records.active.get(key)
    return (
        record is not None
        and record.state == "aborted"
        and record.spec.candidate == version
        and record.stable == active
    )
