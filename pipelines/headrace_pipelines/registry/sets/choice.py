"""The versions that a set is to have: the stored ones with the same content, or new ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace_pipelines.definition import CompositeStage, PipelineDefinition, PipelineType, encode
from headrace_pipelines.errors import HeadraceError, InvalidError
from headrace_pipelines.registry.association import Pattern
from headrace_pipelines.registry.compile import udf_record
from headrace_pipelines.registry.pins import pinned
from headrace_pipelines.registry.records import PipelineRecord, Records, Revision, UdfRecord, key, version_order
from headrace_pipelines.registry.references import all_stages, udf_configs
from headrace_pipelines.registry.sets.merge import pipeline_tag, udf_tag
from headrace_pipelines.udf.catalog import digest as digest_of
from headrace_pipelines.udf.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headrace_pipelines.udf.catalog import Catalog

V = TypeVar("V", PipelineRecord, UdfRecord)


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a set cannot be applied: the object, the field at fault if there is one, and what to do.

    `conflict`: the object is right, and what is in the registry stands against it.
    """

    kind: str
    name: str
    field: str = ""
    reason: str
    conflict: bool = False

    @classmethod
    def of(cls, kind: str, name: str, error: HeadraceError) -> Fault:
        """An error about an object."""
        path = error.field if isinstance(error, InvalidError) else ""
        return cls(kind=kind, name=name, field=path, reason=error.reason.removeprefix(f"[{path}] "))


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A UDF as it was sent; `abi`: what it says that its module's ABI is."""

    manifest: Manifest
    code: bytes
    abi: str | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a set as they were sent. `faults`: those of objects that cannot be read."""

    udfs: list[Upload] = []
    pipelines: list[PipelineDefinition] = []
    patterns: list[Pattern] = []
    faults: list[Fault] = []


@dataclass
class Chosen:
    """Objects with their versions. `doubtful`: labels of those that have a fault, or that name one that has."""

    pipelines: dict[str, PipelineRecord] = field(default_factory=dict)
    udfs: dict[str, UdfRecord] = field(default_factory=dict)
    patterns: dict[str, Pattern] = field(default_factory=dict)
    codes: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)


class Chooser:
    """Chooses versions for a `revision`. `stored`: everything that is stored; `visible`: what is in force."""

    def __init__(
        self, stored: Records, visible: Records, catalog: Catalog, revision: Revision, released: set[str]
    ) -> None:
        self._stored = stored
        self._visible = visible
        self._catalog = catalog
        self._revision = revision
        self._released = released
        self.chosen = Chosen()

    def choose(self, content: Content) -> Chosen:
        """Versions of everything; what is wrong is among the faults."""
        chosen = self.chosen
        for fault in content.faults:
            self._fail(fault)
        for upload in content.udfs:
            name = upload.manifest.name
            try:
                chosen.udfs[name] = self._udf(upload)
                chosen.codes[chosen.udfs[name].digest] = upload.code
            except _ContentError as error:
                self._fail(Fault(kind="udf", name=name, field="version", reason=error.reason, conflict=True))
            except HeadraceError as error:
                self._fail(Fault.of("udf", name, error))
        for definition in _ordered(content.pipelines):
            name = key(definition.type, definition.name)
            if self._is_doubtful(definition):
                chosen.doubtful.add(f"pipeline {name}")
                continue
            try:
                chosen.pipelines[name] = self._pipeline(definition)
            except _ContentError as error:
                self._fail(Fault(kind="pipeline", name=name, field="version", reason=error.reason, conflict=True))
        chosen.patterns = {pattern.pattern: pattern for pattern in content.patterns}
        return chosen

    def _fail(self, fault: Fault) -> None:
        self.chosen.faults.append(fault)
        names = [fault.name]
        if fault.kind == "pipeline" and ":" not in fault.name:
            names = [key(kind, fault.name) for kind in PipelineType]
        self.chosen.doubtful |= {f"{fault.kind} {name}" for name in names}

    def _is_doubtful(self, definition: PipelineDefinition) -> bool:
        names = {f"udf {config.udf_name}" for config in udf_configs(definition)}
        names |= {f"pipeline {key(definition.type, name)}" for name in _unpinned(definition)}
        return not names.isdisjoint(self.chosen.doubtful)

    def udf(self, name: str) -> str | None:
        """The version of a UDF that a stage without one is given."""
        if name in self.chosen.udfs:
            return self.chosen.udfs[name].version
        if f"udf {name}" in self._released:
            return None
        if name in self._visible.current:
            return self._visible.current[name]
        versions = sorted((r.version for r in self._visible.udfs if r.name == name), key=version_order)
        return versions[-1] if versions else None

    def pipeline(self, kind: PipelineType, name: str) -> str | None:
        """The version of a pipeline that a stage without one is given."""
        options = key(kind, name)
        if options in self.chosen.pipelines:
            return self.chosen.pipelines[options].version
        return None if f"pipeline {options}" in self._released else self._visible.active.get(options)

    def _udf(self, upload: Upload) -> UdfRecord:
        manifest, digest = upload.manifest, digest_of(upload.code)

        def fits(record: UdfRecord) -> bool:
            same = msgspec.structs.replace(manifest, version=record.version) == record.manifest
            return same and record.digest == digest

        version = self.udf(manifest.name)
        found = self._found(self._stored.udfs, self._visible.udfs, manifest.name, version, manifest.version, fits)
        if isinstance(found, UdfRecord):
            return found
        manifest = msgspec.structs.replace(manifest, version=found)
        record = udf_record(self._catalog, manifest, upload.code, self._revision.created, upload.abi)
        tag = udf_tag(manifest, digest)
        return msgspec.structs.replace(record, set=self._revision.set, staged=self._revision.revision, tag=tag)

    def _pipeline(self, definition: PipelineDefinition) -> PipelineRecord:
        definition = pinned(definition, self)
        content = _comparable(definition)
        name = key(definition.type, definition.name)

        def fits(record: PipelineRecord) -> bool:
            return _comparable(record.definition) == content

        active = self._visible.active.get(name)
        found = self._found(self._stored.pipelines, self._visible.pipelines, name, active, definition.version, fits)
        if isinstance(found, PipelineRecord):
            return found
        definition = msgspec.structs.replace(definition, version=found)
        return PipelineRecord(
            definition=definition,
            created=self._revision.created,
            set=self._revision.set,
            staged=self._revision.revision,
            tag=pipeline_tag(definition),
        )

    def _found(
        self,
        stored: list[V],
        visible: list[V],
        name: str,
        active: str | None,
        version: str,
        fits: Callable[[V], bool],
    ) -> V | str:
        """The stored version with this content, or the version under which it is to be stored. Raises _ContentError.

        The active one first, then the newest; one that is not visible, of an attempt that was cut off, only of this
        set.
        """
        shown = [record for record in visible if record.name == name]
        versions = {record.version for record in shown}
        shown.sort(key=lambda r: (r.version == active, r.created, version_order(r.version)), reverse=True)
        for record in shown:
            if version in ("", record.version) and fits(record):
                return record
        if version and version in versions:
            raise _ContentError(
                f"version [{version}] exists with other content, or with other versions of what it names; versions "
                "never change: give it another version, or leave the version out"
            )
        every = [record for record in stored if record.name == name]
        for record in every:
            hidden = record.set == self._revision.set and record.version not in versions
            if hidden and version in ("", record.version) and fits(record):
                return msgspec.structs.replace(record, staged=self._revision.revision)
        numbers = [int(record.version) for record in every if record.version.isdigit()]
        return version or str(max(numbers, default=0) + 1)


class _ContentError(HeadraceError):
    """A version that exists with other content."""


def _comparable(definition: PipelineDefinition) -> object:
    return msgspec.json.decode(encode(msgspec.structs.replace(definition, version="")))


def _unpinned(definition: PipelineDefinition) -> Iterator[str]:
    """The pipelines of its composites that it names without a version."""
    for stage in all_stages(definition):
        if isinstance(stage, CompositeStage) and stage.config.pipeline and not stage.config.version:
            yield stage.config.pipeline


def _ordered(definitions: Iterable[PipelineDefinition]) -> list[PipelineDefinition]:
    """Definitions after those that they name, so that these have their versions; in a circle in any order."""
    waiting = {key(each.type, each.name): each for each in definitions}
    ordered: list[PipelineDefinition] = []

    def visit(name: str) -> None:
        definition = waiting.pop(name, None)
        if definition is not None:
            for inner in _unpinned(definition):
                visit(key(definition.type, inner))
            ordered.append(definition)

    for name in list(waiting):
        visit(name)
    return ordered
