"""Pipelines of searches over several indexes: what runs on all of it, on the hits of some, composed, or not at all.

Defaults that differ do not run, as in OpenSearch, but that is said, unless they work on hits: then each works on its
own. Finals never vanish: filters are composed for each index, what cannot be composed is refused (design: wire.md,
rule 9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines import Batch, Deadline, PipelineType, Place, execute
from pipelines.association import Slot
from pipelines.definition import NativeConfig, NativeStage, PipelineDefinition
from pipelines.errors import InvalidError
from pipelines.registry import compile_pipeline
from proxy.handlers.choice import Held, Part, held, indexes_of
from proxy.index_resolver import REMEMBERED

if TYPE_CHECKING:
    from pipelines import Snapshot
    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call
    from proxy.index_resolver import IndexResolver, View

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT
_SLOTS = {kind: (Slot(kind), Slot(kind, final=True)) for kind in (QUERY, RESULT)}
"""Defaults, then finals."""
FILTER = "filter_query"
COMPOSING_SECONDS = 5.0


@dataclass
class SearchChoice:
    """The pipelines of a search by slot, in the order in which they run, and the defaults that did not agree."""

    parts: dict[Slot, list[Part]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    def of(self, kind: PipelineType) -> list[tuple[Slot, Part]]:
        """Defaults, then finals."""
        return [(slot, part) for slot in _SLOTS[kind] if slot in self.parts for part in self.parts[slot]]

    @property
    def empty(self) -> bool:
        """Whether nothing runs."""
        return not any(self.parts.values())

    def copy(self) -> SearchChoice:
        """One whose slots can be given other parts."""
        return SearchChoice(self.parts.copy(), self.conflicts)


class Choices:
    """What is attached to the indexes of searches, for as long as registry and names are what they are."""

    def __init__(self) -> None:
        self._of: tuple[Snapshot, View] | None = None
        self._found: dict[tuple[str, bool], SearchChoice] = {}

    def of(self, snapshot: Snapshot, view: View) -> dict[tuple[str, bool], SearchChoice]:
        """Those known, by expression and whether defaults count: to be looked up and added to."""
        if self._of is None or self._of[0] is not snapshot or self._of[1] is not view:
            self._of, self._found = (snapshot, view), {}
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        return self._found


async def attached(call: Call, snapshot: Snapshot, expression: str, *, defaults: bool) -> SearchChoice:
    """What is attached to the indexes of `expression`; without `defaults` only finals. Raises InvalidError."""
    slots = [slot for kind in (QUERY, RESULT) for slot in _SLOTS[kind] if slot.final or defaults]
    if snapshot.bound.isdisjoint(slots):
        return SearchChoice()
    resolver = call.parts.resolver
    view = resolver.fresh or await resolver.view()
    known = call.parts.choices.of(snapshot, view)
    found = known.get((expression, defaults))
    if found is None:
        found = await _look_up(call, snapshot, expression, slots)
        if view is resolver.fresh and view.read_by(expression) is not None:
            known[expression, defaults] = found
    return found.copy()


async def _look_up(call: Call, snapshot: Snapshot, expression: str, slots: list[Slot]) -> SearchChoice:
    resolver = call.parts.resolver
    choice = SearchChoice()
    for each in await held(snapshot, resolver, expression, slots):
        if not each.names:
            continue
        if each.slot.final:
            choice.parts[each.slot] = await _final(call, snapshot, each)
        else:
            choice.parts[each.slot] = await _default(call, snapshot, each, choice)
    return choice


async def _default(call: Call, snapshot: Snapshot, each: Held, choice: SearchChoice) -> list[Part]:
    if each.slot.kind is RESULT and each.mixed and (parts := await _per_hit(call.parts.resolver, snapshot, each)):
        return parts
    if len(each.names) == 1:
        return [Part(snapshot.attached(each.slot.kind, each.names[0]))]
    conflict = f"{each.slot.kind.value}: {', '.join(each.names)}"
    if call.parts.settings.conflict == "error":
        raise InvalidError(
            f"the indexes of this search have different pipelines ({conflict}); search them one by one, "
            f"name one pipeline in the request, or [_none]"
        )
    choice.conflicts.append(conflict)
    return []


async def _per_hit(resolver: IndexResolver, snapshot: Snapshot, each: Held) -> list[Part]:
    """Each pipeline over the hits of its own indexes; empty if one of them works on more than hits."""
    pipelines = {name: snapshot.attached(each.slot.kind, name) for name in each.names}
    if not all(p.per_hit and p.fault is None for p in pipelines.values()):
        return []
    return [Part(p, await indexes_of(resolver, each.parts[name])) for name, p in pipelines.items()]


async def _final(call: Call, snapshot: Snapshot, each: Held) -> list[Part]:
    kind, resolver = each.slot.kind, call.parts.resolver
    for name in [n for n in each.names if not snapshot.attached(kind, n).definition.enabled]:
        each.parts.setdefault(None, []).extend(each.parts.pop(name))
    pipelines = [snapshot.attached(kind, name) for name in each.names]
    if not pipelines:
        return []
    if not each.mixed:
        return [Part(pipelines[0])]
    if kind is RESULT and (parts := await _per_hit(resolver, snapshot, each)):
        return parts
    if kind is QUERY and all(is_filter(p) for p in pipelines):
        return [Part(await _composed(call, snapshot, each))]
    if len(pipelines) == 1:
        return [Part(pipelines[0])]
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


async def _composed(call: Call, snapshot: Snapshot, each: Held) -> Pipeline:
    """One pipeline that filters the documents of every index by that index's own final pipeline."""
    clauses: list[dict[str, Any]] = []
    covered: list[str] = []
    for name in each.names:
        pipeline = snapshot.attached(QUERY, name)
        indexes = await indexes_of(call.parts.resolver, each.parts[name])
        covered += indexes
        clauses.append({"bool": {"filter": [{"terms": {"_index": indexes}}, filter_of(pipeline)]}})
    clauses.append({"bool": {"must_not": [{"terms": {"_index": covered}}]}})
    query = {"bool": {"should": clauses, "minimum_should_match": 1}}
    stage = NativeStage(
        name="composed",
        config=NativeConfig(function=FILTER, parameters=msgspec.Raw(msgspec.json.encode({"query": query}))),
    )
    definition = PipelineDefinition(name="+".join(each.names), type=QUERY, version="composed", stages=[stage])
    return compile_pipeline(definition, snapshot, call.parts.registry.catalog)


def filter_of(pipeline: Pipeline) -> Any:
    """The query that a pipeline of filters makes of an empty search."""
    batch = Batch.of("query", b"{}")
    execute(pipeline, batch, Deadline(COMPOSING_SECONDS), Place(final=True, counted=False))
    return msgspec.json.decode(batch.document(0))["query"]
