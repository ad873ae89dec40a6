"""All pipelines, UDFs and associations at one moment, as an immutable snapshot.

A request reads the current snapshot once and works with it to its end, so that a change never mixes two versions
inside one bulk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec

from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.definition import LATEST, FailurePolicy, PipelineDefinition, PipelineType
from headrace_pipelines.errors import InvalidError, MissingError
from headrace_pipelines.registry.association import DOCUMENT_FINAL, SLOTS, Associations, Slot, Slots
from headrace_pipelines.registry.pipeline import Pipeline
from headrace_pipelines.registry.records import PipelineRecord, Records, UdfRecord, key, version_order
from headrace_pipelines.registry.references import references, udf_configs
from headrace_pipelines.registry.rollouts.running import RunningRollout, in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace_pipelines.registry.rollouts.record import Rollout


MAX_VARIANTS = 64
"""Maximum number of choices of versions that are kept: all of six rollouts of searches at once."""


@dataclass(frozen=True)
class Snapshot:
    """The registry at one moment; all maps are complete and must not be changed."""

    records: Records = field(default_factory=Records)
    compiled: Mapping[tuple[str, str], Pipeline] = field(default_factory=dict)
    codes: Mapping[str, bytes] = field(default_factory=dict)
    defaults: Slots = field(default_factory=Slots)
    based_on: Snapshot | None = None
    """The registry of which this one differs in active versions alone ([`with_versions`])."""
    chosen_versions: frozenset[tuple[str, str]] = frozenset()
    """The versions, by key, in which it differs."""

    @property
    def origin(self) -> Snapshot:
        """The registry itself, without versions chosen for a request."""
        return self.based_on or self

    @cached_property
    def _variants(self) -> BoundedCache[frozenset[tuple[str, str]], Snapshot]:
        return BoundedCache(MAX_VARIANTS)

    def with_versions(self, versions: Mapping[str, str]) -> Snapshot:
        """The same registry, in which these versions of pipelines (by key) are active; those that are gone are not.

        Not for use from several threads at once.
        """
        origin = self.origin
        active = origin.records.active
        chosen = frozenset(
            (name, version)
            for name, version in versions.items()
            if name in active and version != active[name] and (name, version) in origin.compiled
        )
        if not chosen:
            return origin
        found = origin._variants.get(chosen)  # noqa: SLF001 - it is one of this class
        if found is None:
            records = msgspec.structs.replace(origin.records, active={**active, **dict(chosen)})
            found = Snapshot(records, origin.compiled, origin.codes, origin.defaults, origin, chosen)
            # What is attached is the same.
            found.__dict__["associations"] = origin.associations
            origin._variants.set(chosen, found)  # noqa: SLF001
        return found

    @cached_property
    def associations(self) -> Associations:
        """All attachments."""
        records = self.records
        return Associations.of(records.associations, records.patterns, records.templates, self.defaults)

    @cached_property
    def _versions(self) -> dict[str, list[PipelineRecord]]:
        found: dict[str, list[PipelineRecord]] = {}
        for record in self.records.pipelines:
            found.setdefault(key(record.definition.type, record.definition.name), []).append(record)
        for versions in found.values():
            versions.sort(key=lambda r: (r.created, version_order(r.definition.version)))
        return found

    @cached_property
    def _udfs(self) -> dict[str, list[UdfRecord]]:
        found: dict[str, list[UdfRecord]] = {}
        for record in self.records.udfs:
            found.setdefault(record.manifest.name, []).append(record)
        for versions in found.values():
            versions.sort(key=lambda r: version_order(r.manifest.version))
        return found

    @cached_property
    def types(self) -> frozenset[PipelineType]:
        """Types of which there is any pipeline, or one is attached that is not there."""
        found = frozenset(record.definition.type for record in self.records.pipelines) | self.bound_types
        return found | {PipelineType.DOCUMENT} if self.associations.has_dead_letters else found

    @cached_property
    def bound(self) -> frozenset[Slot]:
        """Slots in which something is attached somewhere."""
        return frozenset(slot for slot in SLOTS if self.associations.bound(slot))

    @cached_property
    def bound_types(self) -> frozenset[PipelineType]:
        """Types of which a pipeline is attached somewhere, default or final."""
        return frozenset(slot.kind for slot in self.bound)

    @cached_property
    def protects(self) -> bool:
        """Whether anything is protected: a final pipeline is attached, or one that masks wherever a hit shows."""
        if any(slot.final for slot in self.bound):
            return True
        results = {name for slot, name in self.associations.held() if slot.kind is PipelineType.RESULT}
        return any(each.protects for name in results for each in self.versions_met(PipelineType.RESULT, name))

    @cached_property
    def has_dead_letters(self) -> bool:
        """Whether a pipeline or a pattern has dead letters."""
        # A request may name any version.
        kept = (record.definition.dead_letters for record in self.records.pipelines)
        return self.associations.has_dead_letters or any(letters is not None and letters.on for letters in kept)

    @cached_property
    def final_dead_letters(self) -> bool:
        """Whether a final document pipeline that is attached to any index has dead letters."""
        finals = {name for slot, name in self.associations.held() if slot == DOCUMENT_FINAL}
        met = (each for name in finals for each in self.versions_met(PipelineType.DOCUMENT, name))
        return any(each.keeps_dead_letters for each in met)

    @cached_property
    def rollouts(self) -> Mapping[str, RunningRollout]:
        """The rollouts in force, by the keys of their pipelines."""
        return in_force(self.records.rollouts, self.records.active, self.compiled)

    @cached_property
    def has_rollouts(self) -> bool:
        """Whether a rollout is in force: a request asks for nothing else where there is none."""
        return bool(self.rollouts)

    def names_with_rollouts(self, kind: PipelineType) -> frozenset[str]:
        """The names of pipelines of a type of which a rollout is in force."""
        running = (each.record for each in self.rollouts.values())
        return frozenset(record.name for record in running if record.type is kind)

    def rollout(self, kind: PipelineType, name: str) -> Rollout | None:
        """The newest rollout of a pipeline, in force or ended."""
        return self.rollout_of(key(kind, name))

    def rollout_of(self, name: str) -> Rollout | None:
        """The same by the key of the pipeline."""
        return next((record for record in self.records.rollouts if record.key == name), None)

    @cached_property
    def _active(self) -> dict[tuple[PipelineType, str], Pipeline]:
        """The active version of every pipeline, by type and name."""
        return {(p.definition.type, p.definition.name): p for p in self.pipelines()}

    def active(self, kind: PipelineType, name: str) -> Pipeline | None:
        """The active version of a pipeline, if there is one of that name and type."""
        return self._active.get((kind, name))

    def attached(self, kind: PipelineType, name: str) -> Pipeline:
        """The pipeline behind an association; one that is gone or cannot be read fails whatever it is attached to."""
        found = self.active(kind, name)
        if found is not None:
            return found
        version = self.records.active.get(key(kind, name), "none")
        definition = PipelineDefinition(
            name=name, type=kind, stages=[], version=version, on_failure=FailurePolicy.ABORT
        )
        fault = MissingError(f"{kind.value} pipeline [{name}] is attached here, but is not in the registry")
        return Pipeline(definition, "", [], fault, None, frozenset())

    def versions_met(self, kind: PipelineType, name: str) -> list[Pipeline]:
        """The versions behind an association that traffic meets: the active one, and the candidate of a canary."""
        found = [self.attached(kind, name)]
        running = self.origin.rollouts.get(key(kind, name))
        if running is not None and running.is_canary:
            found += [running.candidate, running.stable]
        return found

    def find(self, name: str, version: str | None = None, kind: PipelineType | None = None) -> Pipeline:
        """A pipeline by name; the type may be left out where only one has it. Raises MissingError, InvalidError."""
        kinds = [k for k in PipelineType if key(k, name) in self._versions and kind in (None, k)]
        if not kinds:
            raise MissingError(f"pipeline [{name}] is missing")
        if len(kinds) > 1:
            names = ", ".join(k.value for k in kinds)
            raise InvalidError(f"pipelines of several types are called [{name}]: add ?type= ({names})")
        wanted = version or self.records.active.get(key(kinds[0], name), "")
        found = self.compiled.get((key(kinds[0], name), wanted))
        if found is None:
            raise MissingError(f"pipeline [{name}] has no version [{wanted}]")
        return found

    def versions(self, kind: PipelineType, name: str) -> list[PipelineRecord]:
        """All versions, oldest first."""
        return self._versions.get(key(kind, name), [])

    def pipelines(self) -> Iterator[Pipeline]:
        """The active version of every pipeline, by name."""
        for name in sorted(self.records.active):
            pipeline = self.compiled.get((name, self.records.active[name]))
            if pipeline is not None:
                yield pipeline

    def udf(self, name: str, version: str | None = None) -> UdfRecord:
        """A UDF; without a version, or as `latest`, the one in force: its set's, or the latest. Raises MissingError."""
        versions = self._udfs.get(name, [])
        if version in (None, LATEST):
            version = self.records.current.get(name)
        fitting = [r for r in versions if version in (None, r.manifest.version)]
        if not fitting:
            raise MissingError(f"UDF [{name}] has no version [{version}]" if versions else f"UDF [{name}] is missing")
        return fitting[-1]

    def udf_versions(self, name: str) -> list[UdfRecord]:
        """All versions, lowest first."""
        return self._udfs.get(name, [])

    def udfs(self) -> Iterator[UdfRecord]:
        """The version in force of every UDF, by name."""
        for name in sorted(self._udfs):
            if name not in self.records.current or self._has(name):
                yield self.udf(name)

    def _has(self, name: str) -> bool:
        return any(record.version == self.records.current[name] for record in self._udfs[name])

    @cached_property
    def _managed(self) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        for name, revision in self.records.sets.items():
            found |= {("pipeline", each): name for each in revision.pipelines}
            found |= {("udf", each): name for each in revision.udfs}
            found |= {("association", each.pattern): name for each in revision.patterns}
        return found

    def managed_by(self, what: Literal["pipeline", "udf", "association"], name: str) -> str:
        """The set that has an object, a pipeline by its key; empty for one that is changed by hand."""
        return self._managed.get((what, name), "")

    def users_of_pipeline(self, kind: PipelineType, name: str) -> list[str]:
        """The users of a pipeline: indexes, patterns, templates and composite stages, in words."""
        return self.associations.users(kind, name) + self._composites_of(kind, name, None)

    def users_of_version(self, kind: PipelineType, name: str, version: str) -> list[str]:
        """The users of one version of a pipeline, in words."""
        return self._composites_of(kind, name, version)

    def _composites_of(self, kind: PipelineType, name: str, version: str | None) -> list[str]:
        return [
            f"pipeline [{record.definition.label}]"
            for record in self.records.pipelines
            if record.definition.type is kind
            and any(used == name and version in (None, wanted) for used, wanted, _ in references(record.definition))
        ]

    def users_of_udf(self, name: str, version: str | None) -> list[str]:
        """The users of a UDF, or of one version of it: pipelines, in words."""
        return [
            f"pipeline [{record.definition.label}]"
            for record in self.records.pipelines
            for config in udf_configs(record.definition)
            if config.udf_name == name and self._needs(config.udf_version, name, version)
        ]

    def _needs(self, wanted: str | None, name: str, removed: str | None) -> bool:
        if removed is None or wanted == removed:
            return True
        return wanted in (None, LATEST) and len(self.udf_versions(name)) == 1
