"""The plan of a change of a set: the next revision, compiled with everything else that is in force, and its faults."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from headrace_pipelines.registry.association import Pattern
from headrace_pipelines.registry.compile import build
from headrace_pipelines.registry.records import PipelineRecord, Records, Revision, UdfRecord, VersionRecord
from headrace_pipelines.registry.sets.checks import broken, label_of, labels_of, needed, still_used, unattachable
from headrace_pipelines.registry.sets.choice import Chooser, Chosen, Content, Fault
from headrace_pipelines.registry.sets.merge import merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace_pipelines.registry.snapshot import Snapshot
    from headrace_pipelines.udf.catalog import Catalog

V = TypeVar("V", PipelineRecord, UdfRecord)
MOST_REVISIONS = 50
"""Revisions of a set that are kept: each has a document of some 100 bytes an object, which every proxy reads."""
Kind = Literal["udf", "pipeline", "association"]
Action = Literal["create", "update", "activate", "detach", "delete", "unchanged"]
Object = VersionRecord | Pattern


@dataclass(frozen=True)
class Change:
    """The fate of an object; `adopted`: it was stored by hand, and belongs to the set from now on."""

    kind: Kind
    name: str
    action: Action
    before: Object | None
    after: Object | None
    adopted: bool = False

    @property
    def label(self) -> str:
        """Kind and name, a pipeline with its type."""
        return f"{self.kind} {self.name}"


@dataclass
class Plan:
    """A change of a set. `staged`: versions to write before it is in force; `released`: labels of what leaves it."""

    revision: Revision
    changes: list[Change] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    staged: list[VersionRecord] = field(default_factory=list)
    codes: dict[str, bytes] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)

    @property
    def different(self) -> bool:
        """Whether it changes anything."""
        return any(change.action != "unchanged" for change in self.changes)


@dataclass(frozen=True)
class Basis:
    """The registry that a plan starts from. `stored`: everything that is stored; `kept`: the set's revisions."""

    stored: Records
    snapshot: Snapshot
    catalog: Catalog
    kept: tuple[Revision, ...] = ()

    @property
    def visible(self) -> Records:
        """The records in force."""
        return self.snapshot.records


class Planner:
    """Plans changes of one set; `revision` has its name, number, and who makes it."""

    def __init__(self, basis: Basis, revision: Revision) -> None:
        self._basis = basis
        self._revision = revision
        self._base = basis.visible.sets.get(revision.set, Revision(set=revision.set, revision=0, token="", created=""))

    def apply(self, content: Content, *, prune: bool) -> Plan:
        """The plan that brings what was sent in force; without `prune` the set keeps what was not sent."""
        sent = {f"udf {upload.manifest.name}" for upload in content.udfs}
        sent |= {f"pipeline {each.type.value}:{each.name}" for each in content.pipelines}
        sent |= {f"association {each.pattern}" for each in content.patterns}
        released = labels_of(self._base) - sent if prune else set()
        basis = self._basis
        chosen = Chooser(basis.stored, basis.visible, basis.catalog, self._revision, released).choose(content)
        return self._planned(self._completed(chosen, released), sent | chosen.doubtful, released - chosen.doubtful)

    def restore(self, past: Revision, codes: Mapping[str, bytes]) -> Plan:
        """The plan that brings the content of an earlier revision in force again."""
        chosen = Chosen(codes=dict(codes), patterns={pattern.pattern: pattern for pattern in past.patterns})
        pipelines, udfs = _by_id(self._basis.stored.pipelines), _by_id(self._basis.stored.udfs)
        for name, id_ in past.pipelines.items():
            if id_ in pipelines:
                chosen.pipelines[name] = pipelines[id_]
            else:
                chosen.faults.append(Fault(kind="pipeline", name=name, reason=f"[{id_}] is no longer stored"))
        for name, id_ in past.udfs.items():
            if id_ in udfs:
                chosen.udfs[name] = udfs[id_]
            else:
                chosen.faults.append(Fault(kind="udf", name=name, reason=f"[{id_}] is no longer stored"))
        sent = labels_of(past)
        return self._planned(chosen, sent, labels_of(self._base) - sent, past)

    def _completed(self, chosen: Chosen, released: set[str]) -> Chosen:
        """With what the set has and was not sent."""
        pipelines, udfs = _by_id(self._basis.visible.pipelines), _by_id(self._basis.visible.udfs)
        settled = released | chosen.doubtful
        for name, id_ in self._base.pipelines.items():
            if name not in chosen.pipelines and f"pipeline {name}" not in settled:
                _keep(chosen.pipelines, pipelines, name, id_, Fault(kind="pipeline", name=name, reason=_LOST), chosen)
        for name, id_ in self._base.udfs.items():
            if name not in chosen.udfs and f"udf {name}" not in settled:
                _keep(chosen.udfs, udfs, name, id_, Fault(kind="udf", name=name, reason=_LOST), chosen)
        for pattern in self._base.patterns:
            if f"association {pattern.pattern}" not in released:
                chosen.patterns.setdefault(pattern.pattern, pattern)
        return chosen

    def _planned(self, chosen: Chosen, sent: set[str], released: set[str], past: Revision | None = None) -> Plan:
        changes = self._changes(chosen, released)
        versions = self._versions(chosen, past)
        drift = {label: n for label, n in self._base.drift.items() if label not in sent | released}
        revision = msgspec.structs.replace(
            self._revision,
            token=secrets.token_hex(8),
            pipelines={name: record.id for name, record in sorted(chosen.pipelines.items())},
            udfs={name: record.id for name, record in sorted(chosen.udfs.items())},
            patterns=[chosen.patterns[name] for name in sorted(chosen.patterns)],
            versions=versions,
            drift=drift,
            changes=[f"{c.action} {c.label}" for c in changes if c.action != "unchanged"],
        )
        staged: list[VersionRecord] = [
            record for record in (*chosen.udfs.values(), *chosen.pipelines.values()) if record.id not in self._shown
        ]
        staged += converted(self._basis.stored, released, self._revision)
        plan = Plan(revision, changes, list(chosen.faults), staged, chosen.codes, released)
        plan.faults += self._owned_elsewhere(sent)
        self._check(plan, chosen, sent)
        return plan

    @cached_property
    def _shown(self) -> set[str]:
        visible = self._basis.visible
        return {record.id for record in (*visible.pipelines, *visible.udfs)}

    def _versions(self, chosen: Chosen, past: Revision | None) -> list[str]:
        """The ids of the versions that are visible: all, or once revisions go, what the others and other sets need."""
        names = {f"pipeline {name}" for name in chosen.pipelines} | {f"udf {name}" for name in chosen.udfs}
        new: list[VersionRecord] = [*chosen.pipelines.values(), *chosen.udfs.values()]
        listed = set(self._base.versions) | set(past.versions if past is not None else ())
        stored = self._basis.stored
        records = {record.id: record for record in [*stored.pipelines, *stored.udfs, *new]}
        found = {id_ for id_, r in records.items() if label_of(r) in names and (id_ in listed or not r.set)}
        if len(self._basis.kept) >= MOST_REVISIONS:
            present = msgspec.structs.replace(
                self._revision,
                pipelines={name: record.id for name, record in chosen.pipelines.items()},
                udfs={name: record.id for name, record in chosen.udfs.items()},
            )
            elsewhere = [each for name, each in self._basis.visible.sets.items() if name != self._revision.set]
            found &= needed([*self._basis.kept[1:], present, *elsewhere], list(records.values()))
        return sorted(found | {record.id for record in new})

    def _changes(self, chosen: Chosen, released: set[str]) -> list[Change]:
        visible = self._basis.visible
        snapshot = self._basis.snapshot
        changes: list[Change] = []
        for name, udf in sorted(chosen.udfs.items()):
            versions = snapshot.udf_versions(name)
            old = snapshot.udf(name) if versions else None
            changes.append(self._change("udf", name, old, udf, name not in self._base.udfs))
        for name, record in sorted(chosen.pipelines.items()):
            active = visible.active.get(name)
            found = [r for r in visible.pipelines if r.name == name and r.version == active]
            changes.append(
                self._change("pipeline", name, found[0] if found else None, record, name not in self._base.pipelines)
            )
        owned = {pattern.pattern for pattern in self._base.patterns}
        patterns = {pattern.pattern: pattern for pattern in visible.patterns}
        for name, pattern in sorted(chosen.patterns.items()):
            changes.append(self._change("association", name, patterns.get(name), pattern, name not in owned))
        return changes + self._releases(released, patterns)

    def _change(self, kind: Kind, name: str, old: Object | None, new: Object, adopted: bool) -> Change:
        if old is None:
            return Change(kind, name, "create", None, new)
        same = old == new if isinstance(old, Pattern) or isinstance(new, Pattern) else old.id == new.id
        if same:
            return Change(kind, name, "update" if adopted else "unchanged", old, new, adopted)
        stored = not isinstance(new, Pattern) and new.id in self._shown
        return Change(kind, name, "activate" if stored else "update", old, new, adopted)

    def _releases(self, released: set[str], patterns: Mapping[str, Pattern]) -> list[Change]:
        visible, base = self._basis.visible, self._base
        records = _by_id(visible.pipelines)
        udfs = _by_id(visible.udfs)
        changes = [
            Change("association", p.pattern, "detach", patterns.get(p.pattern, p), None)
            for p in base.patterns
            if f"association {p.pattern}" in released
        ]
        changes += [
            Change("pipeline", name, "delete", records.get(id_), None)
            for name, id_ in base.pipelines.items()
            if f"pipeline {name}" in released
        ]
        return changes + [
            Change("udf", name, "delete", udfs.get(id_), None)
            for name, id_ in base.udfs.items()
            if f"udf {name}" in released
        ]

    def _owned_elsewhere(self, sent: set[str]) -> list[Fault]:
        faults = []
        for name, revision in self._basis.visible.sets.items():
            if name != self._revision.set:
                for label in sorted(labels_of(revision) & sent):
                    kind, _, of = label.partition(" ")
                    reason = f"is managed by the set [{name}]; remove it there first"
                    faults.append(Fault(kind=kind, name=of, reason=reason, conflict=True))
        return faults

    def _check(self, plan: Plan, chosen: Chosen, sent: set[str]) -> None:
        """Compiles everything that would be in force, and adds what is wrong."""
        candidate = self._candidate(plan)
        own = {name: record.version for name, record in chosen.pipelines.items()}
        plan.faults += broken(candidate, self._basis.snapshot, own, sent, chosen.doubtful | plan.released)
        there = {*candidate.records.active, *(label.removeprefix("pipeline ") for label in chosen.doubtful)}
        for name, pattern in sorted(chosen.patterns.items()):
            if f"association {name}" in sent:
                plan.faults += unattachable(pattern, there)
        plan.faults += still_used(plan.released, candidate)

    def _candidate(self, plan: Plan) -> Snapshot:
        """The registry as it would be."""
        stored, revision = self._basis.stored, plan.revision
        pipelines, udfs = _by_id(stored.pipelines), _by_id(stored.udfs)
        for record in plan.staged:
            if isinstance(record, PipelineRecord):
                pipelines[record.id] = record
            elif isinstance(record, UdfRecord):
                udfs[record.id] = record
        hand = msgspec.structs.replace(
            stored,
            pipelines=list(pipelines.values()),
            udfs=list(udfs.values()),
            active={name: v for name, v in stored.active.items() if f"pipeline {name}" not in plan.released},
            patterns=[p for p in stored.patterns if f"association {p.pattern}" not in plan.released],
        )
        records = merged(hand, {**self._basis.visible.sets, revision.set: revision})
        before = self._basis.snapshot
        return build(records, {**before.codes, **plan.codes}, self._basis.catalog, before)


def converted(stored: Records, released: set[str], revision: Revision) -> list[VersionRecord]:
    """Versions of released names that were stored by hand: from now on they are visible by the set alone."""
    hand = [r for r in [*stored.pipelines, *stored.udfs] if not r.set and label_of(r) in released]
    return [msgspec.structs.replace(r, set=revision.set, staged=revision.revision) for r in hand]


_LOST = "was not sent, and the registry has lost the version that the set has: send it again"


def _keep(objects: dict[str, V], stored: Mapping[str, V], name: str, id_: str, lost: Fault, chosen: Chosen) -> None:
    """Keeps an object that was not sent; a version that is no longer stored is a fault."""
    if id_ in stored:
        objects[name] = stored[id_]
    else:
        chosen.faults.append(lost)


def _by_id(records: Iterable[V]) -> dict[str, V]:
    return {record.id: record for record in records}
