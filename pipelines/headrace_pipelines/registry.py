"""All pipelines, UDFs and associations at one moment, as an immutable snapshot.

A request takes the current snapshot once and works with it to its end, so that a change never mixes two versions
inside one bulk. [`build`] makes a snapshot from the records of the store, taking over what has not changed: compiled
stages keep their warm sandboxes and their statistics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import units
from headrace_pipelines.association import SLOTS, Association, Associations, Pattern, Slot, Slots, Template
from headrace_pipelines.cost import Pace
from headrace_pipelines.definition import (
    LATEST,
    CompositeStage,
    FailurePolicy,
    NativeStage,
    PipelineDefinition,
    PipelineType,
    StageDefinition,
    UdfStage,
)
from headrace_pipelines.errors import HeadraceError, InvalidError, MissingError
from headrace_pipelines.stages import CompiledStage, Composite, Course, Leaf, compile_stages, courses_of
from headrace_pipelines.stages.native import PIPELINE, reference
from headrace_pipelines.stats import PipelineStats
from headrace_pipelines.udf.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from headrace_pipelines.batch import Condition
    from headrace_pipelines.definition import UdfConfig
    from headrace_pipelines.udf.catalog import Catalog


class PipelineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored version of a pipeline; times in ISO 8601."""

    definition: PipelineDefinition
    created: str


class UdfRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored version of a UDF; `digest` is the SHA-256 of its code."""

    manifest: Manifest
    digest: str
    size: int
    abi: str
    entry: str
    exports: list[str]
    created: str


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds: every version of every pipeline and UDF, which one is active, and the associations."""

    pipelines: list[PipelineRecord] = []
    active: dict[str, str] = {}
    udfs: list[UdfRecord] = []
    associations: list[Association] = []
    patterns: list[Pattern] = []
    templates: list[Template] = []


@dataclass
class Pipeline:
    """A version of a pipeline, compiled. `fault` says why it cannot run (a UDF that went missing)."""

    definition: PipelineDefinition
    created: str
    stages: list[CompiledStage]
    fault: HeadraceError | None
    timeout: float | None
    udfs: frozenset[str]
    handlers: tuple[CompiledStage, ...] = ()
    stats: PipelineStats = field(default_factory=PipelineStats)
    pace: Pace = field(default_factory=Pace)

    @cached_property
    def label(self) -> str:
        """`name@version`."""
        return self.definition.label

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """Its stages, those together that can be."""
        return courses_of(self.stages)

    @cached_property
    def leaves(self) -> list[Leaf]:
        """Its stages that do work, those of composites and failure handlers included."""
        return list(_leaves([*self.stages, *self.handlers]))

    @cached_property
    def quick(self) -> bool:
        """Whether a small batch takes little time for sure: no UDF, no regular expression, no waiting for retries."""
        slow = self.waits or any(leaf.runner.slow for leaf in self.leaves)
        return not slow and not any(condition.slow for condition in _conditions([*self.stages, *self.handlers]))

    @cached_property
    def conditions(self) -> list[Condition]:
        """Those of its stages, where it does nothing to a document that meets none of them; else empty."""
        runs = self.fault is None and self.definition.enabled
        if not runs or any(isinstance(s, Composite) or s.step is None or s.condition is None for s in self.stages):
            return []
        texts = zip(self.definition.stages, self.stages, strict=True)
        return list({text.condition: stage.condition for text, stage in texts if stage.condition is not None}.values())

    @cached_property
    def waits(self) -> bool:
        """Whether a run may do nothing for a while: between retries."""
        return any(leaf.policy.retry is not None for leaf in self.leaves)

    @cached_property
    def per_hit(self) -> bool:
        """Whether it does nothing but work on hits, one by one."""
        return all(leaf.runner.per_hit for leaf in self.leaves)

    @cached_property
    def protects(self) -> bool:
        """Whether a stage of it must see a document wherever it is shown."""
        return any(leaf.runner.everywhere for leaf in self.leaves)

    @cached_property
    def hides(self) -> frozenset[str]:
        """The fields of hits that its stages hide: dotted names, patterns too."""
        return frozenset().union(*(leaf.runner.hides for leaf in self.leaves))

    @cached_property
    def hides_conditionally(self) -> bool:
        """Whether what it hides of a hit may depend on other fields of the hit."""
        conditions = any(True for _ in _conditions([*self.stages, *self.handlers]))
        return conditions or any(leaf.runner.hides and leaf.runner.slow for leaf in self.leaves)


def _conditions(stages: Iterable[CompiledStage]) -> Iterator[Condition]:
    for stage in stages:
        if stage.condition is not None:
            yield stage.condition
        if isinstance(stage, Composite):
            yield from _conditions(stage.stages)
        yield from _conditions(stage.handlers)


def _leaves(stages: Iterable[CompiledStage]) -> Iterator[Leaf]:
    for stage in stages:
        if isinstance(stage, Leaf):
            yield stage
        else:
            yield from _leaves(stage.stages)
        yield from _leaves(stage.handlers)


def key(kind: PipelineType, name: str) -> str:
    """How the store names a pipeline: names are unique per type."""
    return f"{kind.value}:{name}"


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key of versions: numbers by value, a pre-release (`-rc1`) before its release, as semver orders them."""
    release, _, pre = version.partition("-")
    parts = [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"[.+_]", release)]
    tail = [(0, 0, pre)] if pre else [(1, 0, "")]
    return tuple(parts) + tuple(tail)


@dataclass(frozen=True)
class Snapshot:
    """The registry at one moment; all maps are complete and must not be changed."""

    records: Records = field(default_factory=Records)
    compiled: Mapping[tuple[str, str], Pipeline] = field(default_factory=dict)
    codes: Mapping[str, bytes] = field(default_factory=dict)
    defaults: Slots = field(default_factory=Slots)

    @cached_property
    def associations(self) -> Associations:
        """What is attached where."""
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
        return frozenset(record.definition.type for record in self.records.pipelines) | self.bound_types

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
        results = {name for slot, name in self.associations.held() if slot.kind is PipelineType.RESULT}
        return any(slot.final for slot in self.bound) or any(
            self.attached(PipelineType.RESULT, name).protects for name in results
        )

    @cached_property
    def memo(self) -> dict[Hashable, Any]:
        """What others have found out from this snapshot alone, to be asked for again; they see to it that it ends."""
        return {}

    @cached_property
    def _asked_for(self) -> dict[tuple[PipelineType, str], Pipeline]:
        """The active pipelines that have been asked for: requests name the same few again and again."""
        return {}

    def active(self, kind: PipelineType, name: str) -> Pipeline | None:
        """The active version of a pipeline, if there is one of that name and type."""
        found = self._asked_for.get((kind, name))
        if found is None:
            known = key(kind, name)
            version = self.records.active.get(known)
            found = None if version is None else self.compiled.get((known, version))
            if found is not None:
                self._asked_for[kind, name] = found
        return found

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
        """A UDF; without a version, or as `latest`, the latest. Raises MissingError."""
        versions = self._udfs.get(name, [])
        fitting = [r for r in versions if version in (None, LATEST, r.manifest.version)]
        if not fitting:
            raise MissingError(f"UDF [{name}] has no version [{version}]" if versions else f"UDF [{name}] is missing")
        return fitting[-1]

    def udf_versions(self, name: str) -> list[UdfRecord]:
        """All versions, lowest first."""
        return self._udfs.get(name, [])

    def udfs(self) -> Iterator[UdfRecord]:
        """The latest version of every UDF, by name."""
        for name in sorted(self._udfs):
            yield self._udfs[name][-1]

    def users_of_pipeline(self, kind: PipelineType, name: str) -> list[str]:
        """Who would miss the pipeline: indexes, patterns, templates and composite stages, in words."""
        return self.associations.users(kind, name) + self._composites_of(kind, name, None)

    def users_of_version(self, kind: PipelineType, name: str, version: str) -> list[str]:
        """Who names this version of the pipeline, in words."""
        return self._composites_of(kind, name, version)

    def _composites_of(self, kind: PipelineType, name: str, version: str | None) -> list[str]:
        return [
            f"pipeline [{record.definition.label}]"
            for record in self.records.pipelines
            if record.definition.type is kind
            and any(used == name and version in (None, wanted) for used, wanted, _ in _references(record.definition))
        ]

    def users_of_udf(self, name: str, version: str | None) -> list[str]:
        """Who would miss the UDF (or this version of it): pipelines, in words."""
        return [
            f"pipeline [{record.definition.label}]"
            for record in self.records.pipelines
            for config in _udf_configs(record.definition)
            if config.udf_name == name and self._needs(config.udf_version, name, version)
        ]

    def _needs(self, wanted: str | None, name: str, removed: str | None) -> bool:
        if removed is None or wanted == removed:
            return True
        return wanted in (None, LATEST) and len(self.udf_versions(name)) == 1


def _all_stages(definition: PipelineDefinition) -> Iterator[StageDefinition]:
    """Every stage, those of composites and failure handlers included."""
    yield from _walk(definition.stages)
    if isinstance(definition.on_failure, list):
        yield from _walk(definition.on_failure)


def _walk(stages: Iterable[StageDefinition]) -> Iterator[StageDefinition]:
    for stage in stages:
        yield stage
        if isinstance(stage, CompositeStage):
            yield from _walk(stage.config.stages or [])
        if isinstance(stage.on_failure, list):
            yield from _walk(stage.on_failure)


def _references(definition: PipelineDefinition) -> Iterator[tuple[str, str | None, bool]]:
    """The pipelines that one names: (name, version, whether it may be missing)."""
    for stage in _all_stages(definition):
        if isinstance(stage, CompositeStage) and stage.config.pipeline:
            yield stage.config.pipeline, stage.config.version, False
        elif isinstance(stage, NativeStage) and stage.config.function == PIPELINE:
            name, may_lack = reference(stage.config, "")
            yield name, None, may_lack


def _udf_configs(definition: PipelineDefinition) -> Iterator[UdfConfig]:
    return (s.config for s in _all_stages(definition) if isinstance(s, UdfStage) and s.config.code is None)


@dataclass
class _SnapshotResolver:
    """Finds what a compiling pipeline names, and notes what it used."""

    catalog: Catalog
    snapshot: Snapshot
    used: set[str] = field(default_factory=set)

    def udf(self, name: str, version: str | None, field: str) -> tuple[Manifest, bytes]:
        where = f"{field}.udf_version" if version and self.snapshot.udf_versions(name) else f"{field}.udf_name"
        try:
            record = self.snapshot.udf(name, version)
        except MissingError as error:
            raise InvalidError(error.reason, where) from None
        self.used.add(f"udf:{record.manifest.label}:{record.digest}")
        code = self.snapshot.codes.get(record.digest)
        if code is None:
            raise InvalidError(f"the code of UDF [{record.manifest.label}] is not at hand", where)
        return record.manifest, code

    def knows(self, kind: PipelineType, name: str) -> bool:
        return key(kind, name) in self.snapshot.records.active

    def pipeline(self, kind: PipelineType, name: str, version: str | None, field: str) -> PipelineDefinition:
        wanted = self.snapshot.records.active.get(key(kind, name)) if version in (None, "", LATEST) else version
        for record in self.snapshot.versions(kind, name):
            if record.definition.version == wanted:
                self.used.add(f"pipeline:{key(kind, name)}@{wanted}")
                return record.definition
        raise InvalidError(
            f"no {kind.value} pipeline is called [{name}]{f' in version [{version}]' if version else ''}",
            field,
        )


def compile_pipeline(
    definition: PipelineDefinition, snapshot: Snapshot, catalog: Catalog, created: str = ""
) -> Pipeline:
    """The pipeline ready to run against the UDFs of `snapshot`. Raises InvalidError that names the field at fault."""
    resolver = _SnapshotResolver(catalog, snapshot)
    stages, handlers = compile_stages(definition, resolver)
    timeout = units.seconds(definition.timeout, "timeout") if definition.timeout else None
    return Pipeline(definition, created, stages, None, timeout, frozenset(resolver.used), handlers)


def build(
    records: Records, codes: Mapping[str, bytes], catalog: Catalog, before: Snapshot, defaults: Slots | None = None
) -> Snapshot:
    """The snapshot of `records`; `codes` holds the code of its UDFs by digest, `defaults` the proxy's own slots.

    A version that no longer compiles becomes a pipeline with a `fault`: it fails under its stages' policy, and the
    rest of the registry stays usable.
    """
    compiled: dict[tuple[str, str], Pipeline] = {}
    snapshot = Snapshot(records, compiled, codes, defaults or before.defaults)
    for record in records.pipelines:
        definition = record.definition
        place = (key(definition.type, definition.name), definition.version)
        compiled[place] = _take_over(before.compiled.get(place), record, snapshot, catalog)
    return snapshot


def _take_over(old: Pipeline | None, record: PipelineRecord, snapshot: Snapshot, catalog: Catalog) -> Pipeline:
    definition = record.definition
    resolver = _SnapshotResolver(catalog, snapshot)
    same = old is not None and old.fault is None and old.definition == definition
    if same and old is not None and old.udfs == _needed(definition, resolver):
        return old
    try:
        pipeline = compile_pipeline(definition, snapshot, catalog, record.created)
    except HeadraceError as fault:
        pipeline = Pipeline(definition, record.created, [], fault, None, frozenset())
    if same and old is not None:
        pipeline.stats = old.stats
    return pipeline


def _needed(definition: PipelineDefinition, resolver: _SnapshotResolver) -> frozenset[str] | None:
    """What the pipeline would be compiled from now; `None` if something of it is missing."""
    try:
        _collect(definition, resolver, (definition.name,))
    except InvalidError:
        return None
    return frozenset(resolver.used)


def _collect(definition: PipelineDefinition, resolver: _SnapshotResolver, chain: tuple[str, ...]) -> None:
    for udf in _udf_configs(definition):
        resolver.udf(udf.udf_name or "", udf.udf_version, "")
    for name, version, may_lack in _references(definition):
        if name not in chain and not (may_lack and not resolver.knows(definition.type, name)):
            _collect(resolver.pipeline(definition.type, name, version, ""), resolver, (*chain, name))
