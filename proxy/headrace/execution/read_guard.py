"""Guards of documents that are read by id: the pipelines that they go through, and the filter that they have to meet.

An index is protected by a final result pipeline, or by a default one with a stage that says `protect`. Its documents go
through that pipeline as a response with one hit, else a mask would leak to whoever has an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution import choice
from headrace.execution.choice import Override, ScopedPipeline
from headrace.execution.expressions import read_by
from headrace.execution.protected import UNPROTECTED, protection_of
from headrace.execution.search_plan import plan_search
from headrace.execution.search_run import RESULT
from headrace.execution.visibility import Read, visible
from headrace_pipelines.errors import RefusedError
from headrace_pipelines.registry.association import RESULT_FINAL, Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.execution.protection import Scope
    from headrace.server.request import RequestContext


class DocumentAbout(msgspec.Struct):
    """The metadata of a document in the answer to a read by id."""

    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")
    routing: str | None = msgspec.field(name="_routing", default=None)
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    found: bool = False


_NARROWING = ("_source", "_source_includes", "_source_excludes")
WHOLE_DOCUMENT = (
    "what a final result pipeline hides of this document depends on other fields of it: leave out [_source], so that "
    "the pipeline sees the whole document"
)


@dataclass
class Guard:
    """The protection of documents of an index: result pipelines to run, and a query that they must match."""

    parts: list[tuple[Slot, ScopedPipeline]]
    visible: Any
    scope: Scope
    indexes: frozenset[str] | None
    """The indexes that were judged; `None` where no final pipeline is attached anywhere."""

    def check(self, context: RequestContext) -> None:
        """Raises RefusedError for parameters that show hidden fields past the pipelines."""
        if self.scope.hidden and self.scope.conditional and context.target.has_any(_NARROWING):
            raise RefusedError(WHOLE_DOCUMENT)
        for name in ("stored_fields", "fields", "docvalue_fields"):
            for field in (context.target.get(name) or "").split(","):
                if field and self.scope.hidden.covers(field):
                    raise RefusedError(f"[{name}] asks for [{field}], which a final result pipeline hides")

    async def lets_see(self, context: RequestContext, document: bytes) -> bool:
        """Whether the final query pipelines let a document that was found be seen."""
        return (await seen(context, [(self, document)]))[0]


async def seen(context: RequestContext, documents: Sequence[tuple[Guard, bytes]]) -> list[bool]:
    """The same for several documents, which are all found."""
    answers = [True] * len(documents)
    asked: list[tuple[int, Read, Any]] = []
    for at, (guard, document) in enumerate(documents):
        try:
            about = msgspec.json.decode(document, type=DocumentAbout)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Nobody can read it, so nobody can say what of it may be seen.
            answers[at] = False
            continue
        if guard.indexes is not None and about.index not in guard.indexes:
            answers[at] = False
        elif guard.visible is not None:
            asked.append((at, Read(about.index, about.id, about.routing, about.seq_no), guard.visible))
    if asked:
        found = await visible(context, [(read, query) for _, read, query in asked])
        for (at, _, _), good in zip(asked, found, strict=True):
            answers[at] = good
    return answers


async def guard_of(context: RequestContext, expression: str, given: Override | None) -> Guard | None:
    """The guard of the indexes of `expression`; `None` for unprotected ones. Raises HeadraceError."""
    snapshot = context.snapshot
    parts = await protecting(context, expression, given)
    if not parts and not snapshot.protects:
        return None
    chosen = await plan_search(context, snapshot, expression, defaults=False)
    if chosen.reading is None:
        return Guard(parts, None, UNPROTECTED.scope, None) if parts else None
    protection = await protection_of(context, chosen) or UNPROTECTED
    if not parts and protection.visible is None:
        return None
    return Guard(parts, protection.visible, protection.scope, frozenset(chosen.reading.resolution.indexes))


async def protecting(
    context: RequestContext, expression: str, given: Override | None
) -> list[tuple[Slot, ScopedPipeline]]:
    """The result pipelines that protect an index of `expression`; `given` replaces the default ones.

    `given` runs last, so that it sees only the output of the final ones.
    """
    snapshot = context.snapshot
    parts: list[tuple[Slot, ScopedPipeline]] = []
    named = [(Slot(RESULT), ScopedPipeline(given.pipeline))] if given is not None and given.pipeline is not None else []
    slots = [RESULT_FINAL] if given is not None else [Slot(RESULT), RESULT_FINAL]
    if snapshot.bound.isdisjoint(slots):
        return named
    reading = await read_by(context, expression)
    for held in choice.assignments(snapshot, reading.targets, slots):
        for name in held.names:
            pipeline = snapshot.attached(RESULT, name)
            if pipeline.definition.enabled and (held.slot.final or pipeline.protects):
                parts.append((held.slot, ScopedPipeline(pipeline)))
    return parts + named
