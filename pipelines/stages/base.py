"""From a stage's definition to something that runs; the one table of stage types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pipelines import units
from pipelines.definition import (
    DEEPEST_COMPOSITE,
    CompositeStage,
    FailurePolicy,
    NativeStage,
    PipelineDefinition,
    PipelineType,
    StageDefinition,
    UdfStage,
)
from pipelines.errors import InvalidError
from pipelines.stages.composite import Composite
from pipelines.stages.native import NativeRunner
from pipelines.stages.udf import UdfRunner

if TYPE_CHECKING:
    from pipelines.batch import Batch, StageRun
    from pipelines.context import StageContext
    from pipelines.udf.catalog import Catalog
    from pipelines.udf.manifest import Manifest


class Runner(Protocol):
    """What the executor asks of a stage: one pass over a batch, without asyncio and without the GIL in its loops."""

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """Runs over every live document of the batch."""
        ...


@dataclass(frozen=True)
class Leaf:
    """A stage that does work. `abort`: what it fails on ends as an error; `timeout` in seconds, for the whole batch."""

    label: str
    runner: Runner
    abort: bool
    timeout: float | None
    enabled: bool


CompiledStage = Leaf | Composite


class Resolver(Protocol):
    """Where a compiling pipeline finds UDFs and other pipelines."""

    @property
    def catalog(self) -> Catalog:
        """Compiled modules."""
        ...

    def udf(self, name: str, version: str | None, field: str) -> tuple[Manifest, bytes]:
        """A UDF's manifest and code. Raises InvalidError that names `field`."""
        ...

    def pipeline(self, kind: PipelineType, name: str, version: str | None, field: str) -> PipelineDefinition:
        """Another pipeline. Raises InvalidError that names `field`."""
        ...


@dataclass(frozen=True)
class Scope:
    """Where a stage stands: its pipeline's type, the policy it inherits, the names and pipelines around it."""

    kind: PipelineType
    policy: FailurePolicy
    resolver: Resolver
    path: str = "stages"
    prefix: str = ""
    chain: tuple[str, ...] = ()


def default_policy(kind: PipelineType) -> FailurePolicy:
    """Documents fail closed; a search goes on without the stage (design: wire.md, rule 14)."""
    return FailurePolicy.ABORT if kind is PipelineType.DOCUMENT else FailurePolicy.CONTINUE


def compile_stages(definition: PipelineDefinition, resolver: Resolver) -> list[CompiledStage]:
    """The stages of a pipeline, ready to run. Raises InvalidError that names the field at fault."""
    policy = definition.on_failure or default_policy(definition.type)
    scope = Scope(definition.type, policy, resolver, chain=(definition.name,))
    return _compile(definition.stages, scope)


def _compile(stages: list[StageDefinition], scope: Scope) -> list[CompiledStage]:
    return [_compile_one(stage, replace(scope, path=f"{scope.path}[{i}]")) for i, stage in enumerate(stages)]


def _compile_one(stage: StageDefinition, scope: Scope) -> CompiledStage:
    label = scope.prefix + stage.name
    policy = stage.on_failure or scope.policy
    timeout = units.seconds(stage.timeout, f"{scope.path}.timeout") if stage.timeout else None
    field = f"{scope.path}.config"
    runner: Runner
    match stage:
        case CompositeStage():
            inner = replace(scope, policy=policy, prefix=f"{label}/", path=f"{field}.stages")
            return Composite(label, _nested(stage, inner, field), timeout, stage.enabled)
        case NativeStage(config=native):
            runner = NativeRunner.build(native, scope.kind, field)
        case UdfStage(config=udf):
            manifest, code = scope.resolver.udf(udf.udf_name or "", udf.udf_version, field)
            runner = UdfRunner.build(udf, manifest, code, scope.resolver.catalog, field)
    return Leaf(label, runner, policy is FailurePolicy.ABORT, timeout, stage.enabled)


def _nested(stage: CompositeStage, scope: Scope, field: str) -> list[CompiledStage]:
    if stage.config.stages is not None:
        return _compile(stage.config.stages, scope)
    name = stage.config.pipeline or ""
    if name in scope.chain:
        raise InvalidError(
            f"pipelines name each other in a circle: {' > '.join((*scope.chain, name))}", f"{field}.pipeline"
        )
    if len(scope.chain) >= DEEPEST_COMPOSITE:
        raise InvalidError(f"pipelines nested deeper than {DEEPEST_COMPOSITE}", f"{field}.pipeline")
    other = scope.resolver.pipeline(scope.kind, name, stage.config.version, f"{field}.pipeline")
    if not other.enabled:
        return []
    policy = other.on_failure or scope.policy
    return _compile(other.stages, replace(scope, policy=policy, chain=(*scope.chain, name)))
