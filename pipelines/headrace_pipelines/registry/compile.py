"""From records to a snapshot: compiles pipelines, and reuses what has not changed.

A reused pipeline keeps its warm sandboxes and its statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace_pipelines import units
from headrace_pipelines.definition import LATEST
from headrace_pipelines.errors import HeadraceError, InvalidError, MissingError
from headrace_pipelines.registry.pipeline import Pipeline
from headrace_pipelines.registry.records import PipelineRecord, Records, UdfRecord, key
from headrace_pipelines.registry.references import references, udf_configs
from headrace_pipelines.registry.snapshot import Snapshot
from headrace_pipelines.stages import compile_stages
from headrace_pipelines.udf.catalog import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_pipelines.definition import PipelineDefinition, PipelineType
    from headrace_pipelines.registry.association import Slots
    from headrace_pipelines.udf.catalog import Catalog
    from headrace_pipelines.udf.manifest import Manifest


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


def udf_record(catalog: Catalog, manifest: Manifest, code: bytes, created: str, abi: str | None = None) -> UdfRecord:
    """Compiles and tries a UDF, and describes it for the registry.

    `abi`: what the upload says that the module's ABI is. Raises InvalidError that says what does not fit.
    """
    module = catalog.guest(manifest.language) if manifest.interpreted else catalog.module(code, manifest.entry)
    if abi is not None and abi != module.abi:
        raise InvalidError(f"says [{abi}], but the module's exports fit the {module.abi} ABI", "abi")
    catalog.limits(manifest)
    catalog.try_out(manifest, code)
    return UdfRecord(
        manifest=manifest,
        digest=digest(code),
        size=len(code),
        abi=module.abi,
        entry=(manifest.entry or "process") if manifest.interpreted else module.entry,
        exports=[] if manifest.interpreted else module.exports,
        created=created,
    )


def build(
    records: Records,
    codes: Mapping[str, bytes],
    catalog: Catalog,
    before: Snapshot,
    defaults: Slots | None = None,
    *,
    reuse: bool = True,
) -> Snapshot:
    """The snapshot of `records`; `codes` holds the code of its UDFs by digest, `defaults` the proxy's own slots.

    `reuse`: pipelines of `before` that have not changed stay; without it, only their statistics do.

    A version that no longer compiles becomes a pipeline with a `fault`: it fails under its stages' policy, and the
    rest of the registry stays usable.
    """
    compiled: dict[tuple[str, str], Pipeline] = {}
    snapshot = Snapshot(records, compiled, codes, defaults or before.defaults)
    for record in records.pipelines:
        definition = record.definition
        options = (key(definition.type, definition.name), definition.version)
        compiled[options] = _reuse_or_compile(before.compiled.get(options), record, snapshot, catalog, reuse=reuse)
    return snapshot


def _reuse_or_compile(
    old: Pipeline | None, record: PipelineRecord, snapshot: Snapshot, catalog: Catalog, *, reuse: bool
) -> Pipeline:
    definition = record.definition
    resolver = _SnapshotResolver(catalog, snapshot)
    same = old is not None and old.fault is None and old.definition == definition
    if reuse and same and old is not None and old.udfs == _needed(definition, resolver):
        return old
    try:
        pipeline = compile_pipeline(definition, snapshot, catalog, record.created)
    except HeadraceError as fault:
        pipeline = Pipeline(definition, record.created, [], fault, None, frozenset())
    if same and old is not None:
        pipeline.stats = old.stats
    return pipeline


def _needed(definition: PipelineDefinition, resolver: _SnapshotResolver) -> frozenset[str] | None:
    """The references that a compilation would use now; `None` if one is missing."""
    try:
        _collect(definition, resolver, (definition.name,))
    except InvalidError:
        return None
    return frozenset(resolver.used)


def _collect(definition: PipelineDefinition, resolver: _SnapshotResolver, chain: tuple[str, ...]) -> None:
    for udf in udf_configs(definition):
        resolver.udf(udf.udf_name or "", udf.udf_version, "")
    for name, version, optional in references(definition):
        if name not in chain and not (optional and not resolver.knows(definition.type, name)):
            _collect(resolver.pipeline(definition.type, name, version, ""), resolver, (*chain, name))
