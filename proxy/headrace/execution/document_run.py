"""Document pipelines over the actions of a bulk: the default ones, then the finals of where documents now go."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from headrace.execution import choice, read_guard
from headrace.execution.rollouts.splitting import SplitRun, canary_of
from headrace.ops.observers import skip_observed
from headrace.ops.runner import INLINE_BYTES
from headrace.protocol.indices.resolver import dated
from headrace.security import registry_guard
from headrace_pipelines import PipelineType, RunOptions, record_skipped
from headrace_pipelines.errors import InvalidError, MissingIndexError, RefusedError
from headrace_pipelines.registry.association import DOCUMENT_FINAL, NONE, QUERY_FINAL, RESULT_FINAL, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.server.request import RequestContext
    from headrace_pipelines import Batch, Bulk, Execution, Snapshot
    from headrace_pipelines.registry import Pipeline

SHOWS = ("_source", "_source_includes", "_source_excludes")
"""URL parameters by which an update answers with the document that it leaves."""
_SHOWING = (
    QUERY_FINAL,
    RESULT_FINAL,
    Slot(PipelineType.RESULT),
)
DEFAULT, FINAL = Slot(PipelineType.DOCUMENT), DOCUMENT_FINAL

Group = tuple["Pipeline", list[int]]
"""A pipeline and the positions of the bulk's targets that it runs on."""


async def run(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk, groups: list[Group]
) -> list[tuple[Slot, Execution]]:
    """Runs the chosen default pipelines, then the finals; a final pipeline cannot change a document's index."""
    runs: list[tuple[Slot, Execution]] = []
    touched = False
    for pipeline, keys in groups:
        idle = _ruled_out(parsed, snapshot, pipeline, keys)
        if idle is not None:
            if idle:
                runs.append((DEFAULT, record_skipped(pipeline, idle)))
                skip_observed(context.observers, pipeline, idle, partial(parsed.batch, keys))
            continue
        done = await _run(context, snapshot, pipeline, partial(parsed.batch, keys), RunOptions(), parsed.absorb)
        if done:
            touched = True
            runs += [(DEFAULT, execution) for execution in done]
            await _fail_unreadable(context, parsed)
    if FINAL in snapshot.bound:
        for pipeline, indexes in (await _finals(context, snapshot, parsed)).values():
            name = pipeline.definition.name
            if any(each.definition.enabled for each in snapshot.versions_met(PipelineType.DOCUMENT, name)):
                await _settle(parsed, indexes)
            absorb = partial(parsed.absorb, pinned=name)
            make, options = partial(parsed.batch_at, indexes), RunOptions(final=True)
            done = await _run(context, snapshot, pipeline, make, options, absorb)
            touched = touched or bool(done)
            runs += [(FINAL, execution) for execution in done]
    if touched:
        # A stage may have sent a document there, by whatever means the name.
        registry = context.components.settings.registry_index
        spelt = {
            index for index in parsed.indexes(moved=True) if index and registry_guard.names_registry(index, registry)
        }
        for index in {registry} | spelt:
            parsed.fail_at(index, 403, "security_exception", f"the index [{registry}] is Headrace's own")
    return runs


async def _run(
    context: RequestContext,
    snapshot: Snapshot,
    pipeline: Pipeline,
    make: Callable[[], Batch],
    options: RunOptions,
    absorb: Callable[[Batch], object],
) -> list[Execution]:
    """Runs a pipeline over a batch, or both versions of a canary; none over an empty one."""
    if (rollout := canary_of(snapshot, pipeline)) is not None:
        return await SplitRun(context, rollout, make, options).run(absorb)
    batch = make()
    return [await context.run_pipeline(pipeline, batch, make, options, absorb)] if len(batch) else []


async def _fail_unreadable(context: RequestContext, parsed: Bulk) -> None:
    """Fails documents that a stage sent to date math that is none: the cluster would refuse the whole bulk."""
    for index in parsed.indexes(moved=True):
        if index and dated(index):
            try:
                await context.components.resolver.write_index(index)
            except InvalidError as error:
                parsed.fail_at(index, error.status, error.type, error.reason)


async def _settle(parsed: Bulk, indexes: list[str | None]) -> None:
    """Has the texts that go to these indexes read strictly: what a final pipeline judges is what is stored."""
    if parsed.nbytes > INLINE_BYTES:
        await asyncio.to_thread(parsed.settle, indexes)
    else:
        parsed.settle(indexes)


async def refuse_shown(context: RequestContext, parsed: Bulk) -> list[str | None]:
    """Fails the updates that would show documents which final pipelines hide, or see them by a script.

    Gives the indexes whose documents they hide.
    """
    if context.snapshot.protects:
        guarded: list[str | None] = [
            index for index in parsed.indexes_of_updates() if index and await hides(context, index)
        ]
        if guarded:
            parsed.refuse_shown(guarded, context.target.has_any(SHOWS))
        return guarded
    return []


async def hides(context: RequestContext, index: str) -> bool:
    """Whether documents of the index that a write goes to are protected wherever they show."""
    snapshot = context.snapshot
    if snapshot.bound.isdisjoint(_SHOWING):
        return False
    target = await context.components.resolver.write_target(index)
    if not any(snapshot.associations.find(slot, target) for slot in _SHOWING):
        return False
    try:
        return await read_guard.guard_of(context, index, None) is not None
    except MissingIndexError:
        # It is judged by the patterns that its name meets, before it is there.
        return True


def names_of_cluster(context: RequestContext, snapshot: Snapshot, name: str | None) -> bool:
    """Whether a name in a write is one of the cluster's own pipelines, where a setting refuses that.

    Such a pipeline may move a document into an index past that index's final pipeline.
    """
    return (
        bool(name)
        and name != NONE
        and context.components.settings.cluster_ingest_pipelines == "refuse"
        and FINAL in snapshot.bound
        and snapshot.active(PipelineType.DOCUMENT, name or "") is None
    )


def of_cluster(name: str | None) -> RefusedError:
    """The refusal of such a write."""
    return RefusedError(
        f"[{name}] is no pipeline of Headrace: a pipeline of the cluster may move documents past final document "
        "pipelines. Leave [pipeline] out, or see the setting cluster_ingest_pipelines"
    )


def _ruled_out(parsed: Bulk, snapshot: Snapshot, pipeline: Pipeline, keys: list[int]) -> int | None:
    """The number of documents for a pipeline if none meets its conditions; `None` if the pipeline has to run."""
    if canary_of(snapshot, pipeline) is not None or not pipeline.conditions or parsed.nbytes > INLINE_BYTES:
        return None
    return parsed.ruled_out(keys, pipeline.conditions)


async def _finals(
    context: RequestContext, snapshot: Snapshot, parsed: Bulk
) -> dict[str, tuple[Pipeline, list[str | None]]]:
    """The final pipelines of the indexes that documents go to now, each with these indexes."""
    found: dict[str, tuple[Pipeline, list[str | None]]] = {}
    for index in parsed.indexes():
        pipeline = await choice.for_document(snapshot, context.components.resolver, index, final=True)
        if pipeline is not None:
            found.setdefault(pipeline.label, (pipeline, []))[1].append(index)
    return found
