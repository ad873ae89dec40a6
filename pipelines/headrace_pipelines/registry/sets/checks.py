"""Faults of a plan: pipelines that would not run, names that are missing, and users of what would go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.registry.association import NONE, SLOTS
from headrace_pipelines.registry.records import PipelineRecord, Records, Revision, VersionRecord, key
from headrace_pipelines.registry.references import references, udf_configs
from headrace_pipelines.registry.sets.choice import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from headrace_pipelines.definition import PipelineDefinition
    from headrace_pipelines.registry.association import Pattern
    from headrace_pipelines.registry.snapshot import Snapshot


def label_of(record: VersionRecord) -> str:
    """Kind and name of the object that a version is of, a pipeline with its type."""
    return f"{'pipeline' if isinstance(record, PipelineRecord) else 'udf'} {record.name}"


def labels_of(revision: Revision) -> set[str]:
    """Kind and name of every object of a revision."""
    labels = {f"pipeline {name}" for name in revision.pipelines} | {f"udf {name}" for name in revision.udfs}
    return labels | {f"association {pattern.pattern}" for pattern in revision.patterns}


def named_by(definition: PipelineDefinition) -> set[str]:
    """Labels of what a definition names."""
    labels = {f"udf {config.udf_name}" for config in udf_configs(definition)}
    return labels | {f"pipeline {key(definition.type, name)}" for name, _, _ in references(definition)}


def needed(revisions: Iterable[Revision], records: Collection[VersionRecord]) -> set[str]:
    """The ids of the versions that revisions have, of those stored by hand, and of all that these name."""
    found = {id_ for r in revisions for id_ in (*r.pipelines.values(), *r.udfs.values())}
    found |= {record.id for record in records if not record.set}
    ids: dict[tuple[str, str], set[str]] = {}
    for record in records:
        ids.setdefault((label_of(record), record.version), set()).add(record.id)
    pipelines = {record.id: record for record in records if isinstance(record, PipelineRecord)}
    waiting = [id_ for id_ in found if id_ in pipelines]
    while waiting:
        for pin in _pins(pipelines[waiting.pop()].definition):
            new = ids.get(pin, set()) - found
            found |= new
            waiting += [id_ for id_ in new if id_ in pipelines]
    return found


def _pins(definition: PipelineDefinition) -> Iterator[tuple[str, str]]:
    """Labels and versions of what a definition names with a version."""
    for config in udf_configs(definition):
        yield f"udf {config.udf_name}", config.udf_version or ""
    for name, version, _ in references(definition):
        yield f"pipeline {key(definition.type, name)}", version or ""


def broken(
    candidate: Snapshot, before: Snapshot, own: dict[str, str], sent: set[str], doubtful: set[str]
) -> list[Fault]:
    """Faults of pipelines that would not run: those that were sent, and those that run now.

    `own`: the active versions of the set's pipelines by key. `doubtful`: labels of what has a fault already, or goes:
    then that says it.
    """
    faults = []
    for (name, version), pipeline in candidate.compiled.items():
        if pipeline.fault is None or candidate.records.active.get(name) != version:
            continue
        old = before.compiled.get((name, before.records.active.get(name, "")))
        runs = old is not None and old.fault is None
        if f"pipeline {name}" in sent:
            faults.append(Fault.of("pipeline", name, pipeline.fault))
        elif runs and doubtful.isdisjoint(named_by(pipeline.definition)):
            reason = f"was not sent, and would no longer run: {pipeline.fault.reason}"
            faults.append(Fault(kind="pipeline", name=name, reason=reason, conflict=name not in own))
    return faults


def unattachable(pattern: Pattern, active: Collection[str]) -> Iterator[Fault]:
    """Faults of an association for the slots whose pipelines are not there; `active` has the keys of those that are."""
    for slot in SLOTS:
        name = pattern.name(slot)
        if name in (None, NONE) or key(slot.kind, name or "") in active:
            continue
        others = [kind.value for kind in PipelineType if key(kind, name or "") in active]
        reason = f"pipeline [{name}] does not exist; add it, or correct the name"
        if others:
            reason = f"pipeline [{name}] is of type {' and '.join(others)}, not {slot.kind.value}"
        field = f"{slot.kind.value}.{'final' if slot.final else 'default'}_pipeline"
        yield Fault(kind="association", name=pattern.pattern, field=field, reason=reason)


def still_used(released: set[str], candidate: Snapshot) -> Iterator[Fault]:
    """Faults for objects that would go, and that something needs which stays."""
    for label in sorted(released):
        kind, _, name = label.partition(" ")
        users: list[str] = []
        if kind == "pipeline":
            type_, _, plain = name.partition(":")
            users = candidate.associations.users(PipelineType(type_), plain)
        if kind != "association":
            users += [f"pipeline [{r.definition.label}]" for r in _running(candidate.records) if label in _needs(r)]
        if users:
            reason = f"is used by {', '.join(dict.fromkeys(users))}; detach or change that first"
            yield Fault(kind=kind, name=name, reason=reason, conflict=True)


def _running(records: Records) -> Iterator[PipelineRecord]:
    """The active versions, and all of what no set has: any of these may be made active by hand."""
    managed = {name for revision in records.sets.values() for name in revision.pipelines}
    for record in records.pipelines:
        if record.name not in managed or records.active.get(record.name) == record.version:
            yield record


def _needs(record: PipelineRecord) -> set[str]:
    """Labels of what a version cannot run without."""
    definition = record.definition
    labels = {f"udf {config.udf_name}" for config in udf_configs(definition)}
    return labels | {
        f"pipeline {key(definition.type, name)}" for name, _, optional in references(definition) if not optional
    }
