"""Which pipelines apply to a request (docs/reference/pipelines.md): those it names, then those that are attached.

A name found in our registry is ours and is taken off the request; any other goes on to the cluster. `_none` empties the
default slot of both. Final pipelines run whatever a request says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.execution.expressions import options_of, read_by
from headrace.security.registry_guard import names_registry
from headrace_pipelines import PipelineType
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import key
from headrace_pipelines.registry.association import FIELDS, NONE, SLOTS, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.protocol.indices.view import View
    from headrace.server.request import RequestContext
    from headrace_pipelines import Execution, Snapshot
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.association import Target
    from headrace_pipelines.registry.rollouts.running import RunningRollout

OVERRIDES = {kind: f"{kind.value}_pipeline" for kind in PipelineType}
"""URL parameters that always mean ours: `document_pipeline`, `query_pipeline`, `result_pipeline`."""


class Override(NamedTuple):
    """A slot's pipeline. `ours`: the request's own name is one of ours and must not reach the cluster."""

    pipeline: Pipeline | None = None
    ours: bool = False


def named(snapshot: Snapshot, kind: PipelineType, name: str) -> Override:
    """The override of the default slot by a name in the request. Raises InvalidError for an empty name."""
    if name == "":
        raise InvalidError("the name of a pipeline must not be empty; use [_none] to run none")
    if name == NONE:
        return Override()
    pipeline = snapshot.active(kind, name)
    return Override(pipeline, ours=True) if pipeline else Override()


def override(context: RequestContext, snapshot: Snapshot, kind: PipelineType) -> Override | None:
    """The pipeline of our own URL parameter. Raises InvalidError for one that is not there."""
    name = context.target.get(OVERRIDES[kind])
    if name is None:
        return None
    chosen = named(snapshot, kind, name)
    if name != NONE and chosen.pipeline is None:
        raise InvalidError(f"{kind.value} pipeline with id [{name}] does not exist", OVERRIDES[kind])
    return chosen


async def for_document(
    snapshot: Snapshot, resolver: IndexResolver, index: str | None, *, final: bool = False
) -> Pipeline | None:
    """The default or final pipeline of the index that a write to `index` goes to."""
    slot = Slot(PipelineType.DOCUMENT, final)
    if index is None or slot not in snapshot.bound:
        return None
    found = snapshot.associations.find(slot, await resolver.write_target(index))
    return snapshot.attached(PipelineType.DOCUMENT, found.name) if found else None


MAX_ATTACHED = 4096
"""Maximum number of names whose default document pipeline is kept: some hundred bytes each."""


class Attached(NamedTuple):
    """The document pipeline of a write: the default one of its index, or one that the request names.

    `plain`: it needs no mapping, and there is no rollout of it but a plain one, `rollout`.
    """

    pipeline: Pipeline | None
    plain: bool = True
    rollout: RunningRollout | None = None


NO_PIPELINE = Attached(None)


def _as_attached(snapshot: Snapshot, pipeline: Pipeline) -> Attached:
    rollout = snapshot.rollouts.get(key(PipelineType.DOCUMENT, pipeline.definition.name))
    if rollout is None:
        return Attached(pipeline, not pipeline.fitters)
    runs = rollout.stable is pipeline and not rollout.candidate.fitters and rollout.is_plain
    return Attached(pipeline, runs and not pipeline.fitters, rollout)


def of_name(snapshot: Snapshot, name: str) -> Attached | None:
    """The document pipeline that a request names; `None` for a name that is not ours."""
    pipeline = snapshot.active(PipelineType.DOCUMENT, name)
    return _as_attached(snapshot.origin, pipeline) if pipeline is not None else None


class Attachments:
    """The default document pipelines of names of the cluster, by one snapshot and one view."""

    def __init__(self, snapshot: Snapshot, view: View, registry: str) -> None:
        self._snapshot = snapshot
        self._view = view
        self._registry = registry
        self._found: BoundedCache[str | None, Attached] = BoundedCache(MAX_ATTACHED)

    def find(self, index: str | None) -> Attached | None:
        """That of a name; `None` where the view does not tell it, or where it may be the registry's."""
        found = self._found.get(index)
        if found is None and index is not None and not names_registry(index, self._registry):
            written = self._view.written_by(index)
            if written is not None:
                found = self._attached(written)
                self._found.set(index, found)
        return found

    def _attached(self, written: Target) -> Attached:
        association = self._snapshot.associations.find(Slot(PipelineType.DOCUMENT), written)
        if association is None:
            return NO_PIPELINE
        return _as_attached(self._snapshot, self._snapshot.attached(PipelineType.DOCUMENT, association.name))

    def follows(self, snapshot: Snapshot, view: View) -> bool:
        """Whether it is by these."""
        return self._snapshot.origin is snapshot.origin and self._view is view


class LatestAttachments:
    """Those by the snapshot and the view that were asked for last."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._latest: Attachments | None = None

    def of(self, snapshot: Snapshot, view: View) -> Attachments:
        """Those by a snapshot and a view."""
        latest = self._latest
        if latest is None or not latest.follows(snapshot, view):
            # The versions chosen for searches of a request are of no concern to its documents.
            latest = self._latest = Attachments(snapshot.origin, view, self._registry)
        return latest


class Visible(NamedTuple):
    """The documents that may be seen: those that a query finds, or all where it is `None`."""

    query: Any


@dataclass
class ScopedPipeline:
    """A pipeline over a part of what a search reads; `indexes`: `None` for all of it."""

    pipeline: Pipeline
    indexes: list[str] | None = None
    visible: Visible | None = None
    """For a final query pipeline that only filters: which documents may be seen, whatever the request is."""


@dataclass
class SlotAssignments:
    """The pipelines in one slot of the indexes of a search, by name, each with its indexes; `None` for none."""

    slot: Slot
    parts: dict[str | None, list[Target]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of pipelines, those of indexes without one left out."""
        return sorted(name for name in self.parts if name is not None)

    @property
    def mixed(self) -> bool:
        """Whether the indexes differ."""
        return len(self.parts) > 1


def assignments(snapshot: Snapshot, targets: Iterable[Target], slots: Iterable[Slot]) -> list[SlotAssignments]:
    """The assignments of these indexes for each slot in which anything is attached at all."""
    wanted = [SlotAssignments(slot) for slot in slots if slot in snapshot.bound]
    if wanted:
        for target in targets:
            for each in wanted:
                found = snapshot.associations.find(each.slot, target)
                each.parts.setdefault(found.name if found else None, []).append(target)
    return wanted


async def indexes_of(resolver: IndexResolver, targets: Iterable[Target]) -> list[str]:
    """The names that hits of these indexes and data streams carry."""
    return [name for target in targets for name in await resolver.members(target.name)]


async def pipelines_affecting(context: RequestContext, expression: str, *kinds: PipelineType) -> list[str]:
    """Pipelines of these types that are attached to an index of `expression`, or named in the URL: `query [x]`."""
    snapshot = context.snapshot
    found: set[str] = set()
    for kind in kinds:
        for parameter in (
            OVERRIDES[kind],
            "pipeline" if kind is PipelineType.DOCUMENT else "search_pipeline",
        ):
            name = context.target.get(parameter)
            if name and snapshot.active(kind, name):
                found.add(f"{kind.value} [{name}]")
    slots = [slot for slot in SLOTS if slot.kind in kinds and slot in snapshot.bound]
    if slots:
        reading = await read_by(context, expression, options_of(context))
        for each in assignments(snapshot, reading.targets, slots):
            found.update(f"{each.slot.kind.value} [{name}]" for name in each.names)
    return sorted(found)


def header(runs: list[tuple[Slot, Execution]]) -> str:
    """The `X-Pipeline` header: `document=pii@3,document_final=audit@1;skipped=a/b;unreadable_hits=1`.

    A pipeline that ran several times is named once; candidates of rollouts are named in `canary`, too.
    The hits are those that were left out because nobody can read them.
    """
    names: dict[str, None] = {}
    is_plain = True
    for slot, run in runs:
        names[f"{FIELDS[slot]}={run.pipeline}"] = None
        is_plain = is_plain and run.is_plain
    text = ",".join(names)
    if is_plain:
        return text
    if canaries := dict.fromkeys(run.pipeline for _, run in runs if run.canary):
        text += f";canary={'+'.join(canaries)}"
    if skipped := dict.fromkeys(label for _, run in runs for label in run.skipped):
        text += f";skipped={'+'.join(skipped)}"
    if dropped := sum(run.hits_dropped for _, run in runs):
        text += f";unreadable_hits={dropped}"
    return text
