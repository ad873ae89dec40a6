"""Pipelines of searches over several indexes: what runs on all of it, on the hits of some, composed, or not at all.

Defaults that differ do not run, as in OpenSearch, but that is said, unless they work on hits: then each works on its
own. Finals never vanish: filters are composed for each index, what cannot be composed is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.choice import ScopedPipeline, SlotAssignments, Visible, assignments, indexes_of
from headrace.execution.expressions import read_by
from headrace.protocol.headers.encoding import decode_exact, encode_exact
from headrace.protocol.indices.options import READ
from headrace.protocol.indices.view import MAX_KEY
from headrace_pipelines import Batch, Deadline, PipelineType, RunOptions, execute
from headrace_pipelines.definition import NativeConfig, NativeStage, PipelineDefinition
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.registry.association import Slot

if TYPE_CHECKING:
    from headrace.protocol.indices.options import IndicesOptions
    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.protocol.indices.view import Reading
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry import Pipeline

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT
_SLOTS = {kind: (Slot(kind), Slot(kind, final=True)) for kind in (QUERY, RESULT)}
"""Defaults, then finals."""
FILTER = "filter_query"
COMPOSING_SECONDS = 5.0
"""Seconds for the run of a filter over an empty search: it has no UDF, so that only a defect reaches them."""


@dataclass
class SearchPlan:
    """The pipelines of a search by slot, in the order in which they run, and the defaults that did not agree."""

    parts: dict[Slot, list[ScopedPipeline]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    reading: Reading | None = None
    """The indexes of the search, where the plan had to resolve them."""
    derived: dict[str, Any] = field(default_factory=dict)
    """Values derived from the final pipelines alone, shared by all searches with this plan."""
    names_result: bool = False
    """Whether the request itself names its result pipeline."""

    def of(self, kind: PipelineType) -> list[tuple[Slot, ScopedPipeline]]:
        """Defaults, then finals; but a result pipeline that the request names sees only what final ones leave."""
        slots = _SLOTS[kind][::-1] if kind is RESULT and self.names_result else _SLOTS[kind]
        return [(slot, part) for slot in slots if slot in self.parts for part in self.parts[slot]]

    @property
    def empty(self) -> bool:
        """Whether nothing runs."""
        return not any(self.parts.values())

    def copy(self) -> SearchPlan:
        """One whose slots can be given other parts."""
        return SearchPlan(self.parts.copy(), self.conflicts, self.reading, self.derived)


async def plan_search(
    context: RequestContext, snapshot: Snapshot, expression: str, *, defaults: bool, options: IndicesOptions = READ
) -> SearchPlan:
    """The plan for the pipelines that are attached to the indexes of `expression`; without `defaults` only finals.

    Raises InvalidError, MissingIndexError, RefusedError.
    """
    slots = [slot for kind in (QUERY, RESULT) for slot in _SLOTS[kind] if slot.final or defaults]
    if snapshot.bound.isdisjoint(slots) and not snapshot.protects:
        return SearchPlan()
    reading = await read_by(context, expression, options)
    view = context.components.resolver.fresh
    key = (expression, options, defaults, snapshot.chosen_versions)
    plans, origin = context.components.search_plans, snapshot.origin
    cached: SearchPlan | None = plans.valid_for(origin, view).get(key)
    if cached is not None and view is not None and cached.reading is reading:
        return cached.copy()
    found = await _plan(context, snapshot, reading, slots)
    if view is not None and len(expression) <= MAX_KEY:
        plans.valid_for(origin, view).set(key, found)
    return found.copy()


async def _plan(context: RequestContext, snapshot: Snapshot, reading: Reading, slots: list[Slot]) -> SearchPlan:
    plan = SearchPlan(reading=reading)
    for each in assignments(snapshot, reading.targets, slots):
        if not each.names:
            continue
        if each.slot.final:
            plan.parts[each.slot] = await _final(context, snapshot, each)
        else:
            plan.parts[each.slot] = await _default(context, snapshot, each, plan)
    return plan


async def _default(
    context: RequestContext, snapshot: Snapshot, each: SlotAssignments, plan: SearchPlan
) -> list[ScopedPipeline]:
    if (
        each.slot.kind is RESULT
        and each.mixed
        and (parts := await _per_hit(context.components.resolver, snapshot, each))
    ):
        return parts
    if len(each.names) == 1:
        return [ScopedPipeline(snapshot.attached(each.slot.kind, each.names[0]))]
    conflict = f"{each.slot.kind.value}: {', '.join(each.names)}"
    if context.components.settings.conflict == "error":
        raise InvalidError(
            f"the indexes of this search have different pipelines ({conflict}); search them one by one, "
            f"name one pipeline in the request, or [_none]"
        )
    plan.conflicts.append(conflict)
    return []


async def _per_hit(resolver: IndexResolver, snapshot: Snapshot, each: SlotAssignments) -> list[ScopedPipeline]:
    """Each pipeline over the hits of its own indexes; empty if one of them works on more than hits."""
    pipelines = {name: snapshot.attached(each.slot.kind, name) for name in each.names}
    if not all(p.per_hit and p.fault is None for p in pipelines.values()):
        return []
    return [ScopedPipeline(p, await indexes_of(resolver, each.parts[name])) for name, p in pipelines.items()]


async def _final(context: RequestContext, snapshot: Snapshot, each: SlotAssignments) -> list[ScopedPipeline]:
    kind, resolver = each.slot.kind, context.components.resolver
    for name in [n for n in each.names if not snapshot.attached(kind, n).definition.enabled]:
        each.parts.setdefault(None, []).extend(each.parts.pop(name))
    pipelines = [snapshot.attached(kind, name) for name in each.names]
    if not pipelines:
        return []
    if not each.mixed:
        return [ScopedPipeline(pipelines[0], visible=_visible(pipelines[0]))]
    if kind is RESULT and (parts := await _per_hit(resolver, snapshot, each)):
        return parts
    if kind is QUERY and all(is_filter(p) for p in pipelines):
        return [await _composed(context, snapshot, each)]
    if len(pipelines) == 1:
        return [ScopedPipeline(pipelines[0])]
    raise InvalidError(
        f"the indexes of this search have different final {kind.value} pipelines, which cannot be put together: "
        f"{', '.join(p.label for p in pipelines)}; search them one by one"
    )


def is_filter(pipeline: Pipeline) -> bool:
    """Whether all that it does is to add filters, whatever the request is."""
    stages = pipeline.definition.stages
    return (
        pipeline.fault is None
        and pipeline.definition.enabled
        and all(
            isinstance(s, NativeStage) and s.config.function == FILTER and s.condition is None and s.enabled
            for s in stages
        )
    )


def _visible(pipeline: Pipeline) -> Visible | None:
    if pipeline.definition.type is not QUERY or not is_filter(pipeline):
        return None
    query = filter_of(pipeline)
    return Visible(None if is_everything(query) else query)


def is_everything(query: Any) -> bool:
    """Whether a query finds every document: there is none, or it is made of `match_all` alone."""
    if query is None or query == {}:
        return True
    if not isinstance(query, dict) or len(query) != 1:
        return False
    kind, body = next(iter(query.items()))
    if kind == "match_all":
        return True
    if kind != "bool" or not isinstance(body, dict) or not body.keys() <= {"filter", "must"}:
        return False
    clauses = [each for part in body.values() for each in (part if isinstance(part, list) else [part])]
    return all(map(is_everything, clauses))


async def _composed(context: RequestContext, snapshot: Snapshot, each: SlotAssignments) -> ScopedPipeline:
    """One pipeline that filters the documents of every index by that index's own final pipeline."""
    clauses: list[dict[str, Any]] = []
    covered: list[str] = []
    for name in each.names:
        pipeline = snapshot.attached(QUERY, name)
        indexes = await indexes_of(context.components.resolver, each.parts[name])
        covered += indexes
        clauses.append({"bool": {"filter": [{"terms": {"_index": indexes}}, filter_of(pipeline)]}})
    clauses.append({"bool": {"must_not": [{"terms": {"_index": covered}}]}})
    query = {"bool": {"should": clauses, "minimum_should_match": 1}}
    stage = NativeStage(
        name="composed",
        config=NativeConfig(function=FILTER, parameters=msgspec.Raw(encode_exact({"query": query}))),
    )
    definition = PipelineDefinition(name="+".join(each.names), type=QUERY, version="composed", stages=[stage])
    pipeline = compile_pipeline(definition, snapshot, context.components.registry.catalog)
    everything = all(is_everything(filter_of(snapshot.attached(QUERY, name))) for name in each.names)
    return ScopedPipeline(pipeline, visible=Visible(None if everything else query))


def filter_of(pipeline: Pipeline) -> Any:
    """The query that a pipeline of filters makes of an empty search."""
    batch = Batch.of("query", b"{}")
    execute(pipeline, batch, Deadline(COMPOSING_SECONDS), RunOptions(final=True, counted=False))
    return decode_exact(batch.document(0))["query"]
