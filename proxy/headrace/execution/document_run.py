"""Document pipelines over the actions of a bulk: the default ones, then the finals of where documents now go."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

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


class Fitted(NamedTuple):
    """A pipeline that fitted documents, and the names of their indexes."""

    pipeline: Pipeline
    indexes: set[str]


Group = tuple["Pipeline", list[int]]
"""A pipeline and the positions of the bulk's targets that it runs on."""


async def run(
    context: RequestContext,
    snapshot: Snapshot,
    parsed: Bulk,
    groups: list[Group],
    fitted: list[Fitted] | None = None,
) -> list[tuple[Slot, Execution]]:
    """Runs the chosen default pipelines, then the finals; a final pipeline cannot change a document's index.

    `fitted` gets the pipelines that fit documents to mappings.
    """
    runs: list[tuple[Slot, Execution]] = []
    fitted = [] if fitted is None else fitted
    touched = await _run_defaults(context, snapshot, parsed, groups, runs, fitted)
    if FINAL in snapshot.bound:
        touched = await _run_finals(context, snapshot, parsed, runs, fitted) or touched
    if touched:
        # A stage may have sent a document there, by whatever means the name.
        registry = context.components.settings.registry_index
        spelt = {
            index for index in parsed.indexes(moved=True) if index and registry_guard.names_registry(index, registry)
        }
        for index in {registry} | spelt:
            parsed.fail_at(index, 403, "security_exception", f"the index [{registry}] is Headrace's own")
    return runs


async def _run_defaults(
    context: RequestContext,
    snapshot: Snapshot,
    parsed: Bulk,
    groups: list[Group],
    runs: list[tuple[Slot, Execution]],
    fitted: list[Fitted],
) -> bool:
    """Runs the default pipelines; whether one has seen a document."""
    touched = False
    for pipeline, keys in groups:
        idle = _ruled_out(parsed, snapshot, pipeline, keys)
        if idle is not None:
            if idle:
                runs.append((DEFAULT, record_skipped(pipeline, idle)))
                skip_observed(context.observers, pipeline, idle, partial(parsed.batch, keys))
            continue
        names = {parsed.targets()[key][0] for key in keys} if _fitters(snapshot, pipeline) else set()
        batches = _Batches(partial(parsed.batch, keys), parsed.absorb, names)
        if done := await _run(context, snapshot, pipeline, batches, RunOptions(), fitted):
            touched = True
            runs += [(DEFAULT, execution) for execution in done]
            await _fail_unreadable(context, parsed)
    return touched


async def _run_finals(
    context: RequestContext,
    snapshot: Snapshot,
    parsed: Bulk,
    runs: list[tuple[Slot, Execution]],
    fitted: list[Fitted],
) -> bool:
    """Runs the final pipelines; whether one has seen a document."""
    touched = False
    for pipeline, indexes in (await _finals(context, snapshot, parsed)).values():
        name = pipeline.definition.name
        if any(each.definition.enabled for each in snapshot.versions_met(PipelineType.DOCUMENT, name)):
            await _settle(parsed, indexes)
        batches = _Batches(partial(parsed.batch_at, indexes), partial(parsed.absorb, pinned=name), set(indexes))
        done = await _run(context, snapshot, pipeline, batches, RunOptions(final=True), fitted)
        touched = touched or bool(done)
        runs += [(FINAL, execution) for execution in done]
    return touched


class _Batches(NamedTuple):
    """The batches of a run: how one is made, what takes it over, and the names of its indexes where that matters."""

    make: Callable[[], Batch]
    absorb: Callable[[Batch], object]
    names: set[str | None]


async def _run(
    context: RequestContext,
    snapshot: Snapshot,
    pipeline: Pipeline,
    batches: _Batches,
    options: RunOptions,
    fitted: list[Fitted],
) -> list[Execution]:
    """Runs a pipeline over a batch, or both versions of a canary; none over an empty one."""
    if fitters := _fitters(snapshot, pipeline):
        batches = await _fitting(context, fitters, batches, fitted)
    if (rollout := canary_of(snapshot, pipeline)) is not None:
        return await SplitRun(context, rollout, batches.make, options).run(batches.absorb)
    batch = batches.make()
    if not len(batch):
        return []
    return [await context.run_pipeline(pipeline, batch, batches.make, options, batches.absorb)]


def _fitters(snapshot: Snapshot, pipeline: Pipeline) -> list[Pipeline]:
    """The pipeline, or both versions of a canary, as far as they fit documents to mappings."""
    rollout = canary_of(snapshot, pipeline)
    versions = [pipeline] if rollout is None else [rollout.stable, rollout.candidate]
    return [version for version in versions if version.fitters]


async def _fitting(
    context: RequestContext, fitters: list[Pipeline], batches: _Batches, fitted: list[Fitted]
) -> _Batches:
    """The same batches, which have the mappings of their indexes, and whose values are counted."""
    keeper, counts = context.components.mappings, context.components.metrics.fitting
    indexes = {name for name in batches.names if name}
    targets = {each.target for version in fitters for each in version.fitters if each.target}
    # Who names a pipeline in a request may not have the right to change the mapping; who has attached it had.
    attached = {name for name in indexes if await _is_attached(context, fitters[0], name)}
    await keeper.ready(attached, targets)
    await keeper.ready(indexes - attached)
    fitted += [Fitted(version, indexes) for version in fitters]

    def make() -> Batch:
        batch = batches.make()
        batch.fit(keeper.mappings)
        return batch

    def absorb(batch: Batch) -> None:
        counts.add(batch.unfit())
        batches.absorb(batch)

    return _Batches(make, absorb, batches.names)


async def _is_attached(context: RequestContext, pipeline: Pipeline, index: str) -> bool:
    """Whether a pipeline is attached to an index, by default or finally."""
    name, resolver = pipeline.definition.name, context.components.resolver
    found = [await choice.for_document(context.snapshot, resolver, index, final=final) for final in (False, True)]
    return any(each is not None and each.definition.name == name for each in found)


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
