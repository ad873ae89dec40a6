"""Which pipelines apply to a request (design: "Which pipelines apply"): names in the request, then associations.

A name found in our registry is ours and is taken off the request; any other goes on to the cluster. `_none` empties the
default slot of both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines import PipelineType
from pipelines.errors import InvalidError

if TYPE_CHECKING:
    from pipelines import Execution, Snapshot
    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call
    from proxy.index_resolver import IndexResolver

NONE = "_none"
OVERRIDES = {kind: f"{kind.value}_pipeline" for kind in PipelineType}
"""URL parameters that always mean ours: `document_pipeline`, `query_pipeline`, `result_pipeline`."""


@dataclass(frozen=True)
class Chosen:
    """A slot's pipeline. `ours`: the request's own name is one of ours and must not reach the cluster."""

    pipeline: Pipeline | None = None
    ours: bool = False


def named(snapshot: Snapshot, kind: PipelineType, name: str) -> Chosen:
    """What a name in the request means for our slot. Raises InvalidError for an empty name."""
    if name == "":
        raise InvalidError("the name of a pipeline must not be empty; use [_none] to run none")
    if name == NONE:
        return Chosen()
    pipeline = snapshot.active(kind, name)
    return Chosen(pipeline, ours=True) if pipeline else Chosen()


def override(call: Call, snapshot: Snapshot, kind: PipelineType) -> Chosen | None:
    """The pipeline of our own URL parameter. Raises InvalidError for one that is not there."""
    name = call.target.get(OVERRIDES[kind])
    if name is None:
        return None
    chosen = named(snapshot, kind, name)
    if name != NONE and chosen.pipeline is None:
        raise InvalidError(f"{kind.value} pipeline with id [{name}] does not exist", OVERRIDES[kind])
    return chosen


async def for_document(snapshot: Snapshot, resolver: IndexResolver, index: str | None) -> Pipeline | None:
    """The pipeline attached to the index that a write to `index` goes to."""
    if index is None or PipelineType.DOCUMENT not in snapshot.bound_types:
        return None
    association = snapshot.associations.get(await resolver.write_index(index))
    name = association.document if association else None
    return snapshot.attached(PipelineType.DOCUMENT, name) if name else None


@dataclass
class SearchChoice:
    """The pipelines of a search, and the indexes whose pipelines differ so that none of them runs."""

    query: Pipeline | None = None
    result: Pipeline | None = None
    conflicts: list[str] = field(default_factory=list)


async def attached(snapshot: Snapshot, resolver: IndexResolver, expression: str) -> SearchChoice:
    """The pipelines attached to the indexes of `expression`.

    Indexes without one do not count; if the others have different ones, none runs, and that is said.
    """
    choice = SearchChoice()
    kinds = snapshot.bound_types & {PipelineType.QUERY, PipelineType.RESULT}
    if not kinds:
        return choice
    indexes = await resolver.concrete(expression)
    bound = [snapshot.associations[i] for i in indexes if i in snapshot.associations]
    for kind in kinds:
        names = sorted({name for association in bound if (name := association.name(kind))})
        if len(names) > 1:
            choice.conflicts.append(f"{kind.value}: {', '.join(names)}")
        elif names:
            setattr(choice, kind.value, snapshot.attached(kind, names[0]))
    return choice


async def concerned(call: Call, expression: str, *kinds: PipelineType) -> list[str]:
    """Pipelines of these types that are attached to an index of `expression`, or named in the URL: `query [x]`."""
    snapshot = call.snapshot
    found: set[str] = set()
    for kind in kinds:
        for parameter in (
            OVERRIDES[kind],
            "pipeline" if kind is PipelineType.DOCUMENT else "search_pipeline",
        ):
            name = call.target.get(parameter)
            if name and snapshot.active(kind, name):
                found.add(f"{kind.value} [{name}]")
    wanted = snapshot.bound_types.intersection(kinds)
    if wanted:
        for index in await call.parts.resolver.concrete(expression):
            association = snapshot.associations.get(index)
            found.update(f"{k.value} [{association.name(k)}]" for k in wanted if association and association.name(k))
    return sorted(found)


def header(runs: list[tuple[PipelineType, Execution]]) -> str:
    """The `X-Pipeline` header: `document=pii@3,result=mask@1;skipped=a/b`."""
    text = ",".join(f"{kind.value}={run.pipeline}" for kind, run in runs)
    skipped = [label for _, run in runs for label in run.skipped]
    return f"{text};skipped={'+'.join(skipped)}" if skipped else text
