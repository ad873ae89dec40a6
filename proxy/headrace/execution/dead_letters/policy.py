"""Which dead letters concern a document: those of its pipelines, then those of the patterns of its index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution import choice
from headrace.security import registry_guard
from headrace_pipelines import PipelineType

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.definition import DeadLetters
    from headrace_pipelines.registry import Pipeline

PERMANENT = frozenset({400, 413})
"""Statuses of a document that no retry can index: neither conflicts, nor rejections, nor failures of the cluster."""


async def of_target(
    context: RequestContext, snapshot: Snapshot, index: str | None, chosen: Pipeline | None
) -> DeadLetters | None:
    """The dead letters of documents that are sent to `index` and meet the pipeline `chosen`, if there are any.

    The first that says anything counts: the chosen pipeline, the final one of the index, the patterns of the index.
    """
    if index is None or not snapshot.has_dead_letters:
        return None
    found = chosen.definition.dead_letters if chosen is not None else None
    resolver = context.components.resolver
    if found is None:
        final = await choice.for_document(snapshot, resolver, index, final=True)
        found = final.definition.dead_letters if final is not None else None
    if found is None and snapshot.associations.has_dead_letters:
        found = snapshot.associations.dead_letters((await resolver.write_target(index)).name)
    return allowed(context, found)


def of_failed(snapshot: Snapshot, label: str) -> DeadLetters | None:
    """The dead letters of a pipeline that failed, by its `name@version`."""
    pipeline = snapshot.active(PipelineType.DOCUMENT, label.rpartition("@")[0])
    return pipeline.definition.dead_letters if pipeline is not None else None


def allowed(context: RequestContext, found: DeadLetters | None) -> DeadLetters | None:
    """The same, unless they keep nothing, or their stream is the registry."""
    registry = context.components.settings.registry_index
    if found is None or not found.on or registry_guard.names_registry(found.stream, registry):
        return None
    return found
