"""Document pipelines over the actions of a bulk: the default ones, then the finals of where documents now go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipelines import PipelineType, Place, pass_by
from pipelines.association import Slot
from proxy.handlers import choice, registry_guard
from proxy.runner import INLINE_BYTES

if TYPE_CHECKING:
    from pipelines import Bulk, Execution, Snapshot
    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call

DEFAULT, FINAL = Slot(PipelineType.DOCUMENT), Slot(PipelineType.DOCUMENT, final=True)

Group = tuple["Pipeline", list[int]]
"""A pipeline and the positions of the bulk's targets that it runs on."""


async def run(call: Call, snapshot: Snapshot, parsed: Bulk, groups: list[Group]) -> list[tuple[Slot, Execution]]:
    """Runs the chosen default pipelines, then the finals; a final pipeline cannot change a document's index."""
    runs: list[tuple[Slot, Execution]] = []
    touched = False
    for pipeline, keys in groups:
        idle = _ruled_out(parsed, pipeline, keys)
        if idle is not None:
            runs += [(DEFAULT, pass_by(pipeline, idle))] if idle else []
            continue
        make = partial(parsed.batch, keys)
        batch = make()
        if len(batch):
            touched = True
            runs.append((DEFAULT, await call.parts.runner.run(pipeline, batch, make, then=parsed.absorb)))
    if FINAL in snapshot.bound:
        for pipeline, indexes in (await _finals(call, snapshot, parsed)).values():
            make = partial(parsed.batch_at, indexes)
            batch = make()
            if len(batch):
                touched = True
                absorb = partial(parsed.absorb, pinned=pipeline.definition.name)
                runs.append((FINAL, await call.parts.runner.run(pipeline, batch, make, Place(final=True), absorb)))
    if touched:
        # A stage may have sent a document there, by whatever means the name.
        registry = call.parts.settings.registry_index
        spelt = {index for index in parsed.indexes(moved=True) if index and registry_guard.means(index, registry)}
        for index in {registry} | spelt:
            parsed.fail_at(index, 403, "security_exception", f"the index [{registry}] is Headrace's own")
    return runs


def _ruled_out(parsed: Bulk, pipeline: Pipeline, keys: list[int]) -> int | None:
    """How many documents there are for a pipeline, none of which it concerns; `None` where it has to look at them."""
    if not pipeline.conditions or parsed.nbytes > INLINE_BYTES:
        return None
    return parsed.ruled_out(keys, pipeline.conditions)


async def _finals(call: Call, snapshot: Snapshot, parsed: Bulk) -> dict[str, tuple[Pipeline, list[str | None]]]:
    """The final pipelines of the indexes that documents go to now, each with these indexes."""
    found: dict[str, tuple[Pipeline, list[str | None]]] = {}
    for index in parsed.indexes():
        pipeline = await choice.for_document(snapshot, call.parts.resolver, index, final=True)
        if pipeline is not None:
            found.setdefault(pipeline.label, (pipeline, []))[1].append(index)
    return found
