"""From a stage's definition to something that runs; the one table of stage types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from headrace_pipelines import units
from headrace_pipelines.definition import (
    DEEPEST_COMPOSITE,
    EMPTY,
    CompositeConfig,
    CompositeStage,
    FailurePolicy,
    JavaScriptStage,
    NativeStage,
    PipelineDefinition,
    PipelineType,
    RetryConfig,
    StageDefinition,
    UdfStage,
)
from headrace_pipelines.engine import Condition
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.stages.native import PIPELINE, NativeRunner, reference
from headrace_pipelines.stages.nodes import CompiledStage, Composite, Runner, StageNode
from headrace_pipelines.stages.policy import Policy, Retry
from headrace_pipelines.stages.udf import UdfRunner
from headrace_pipelines.udf.manifest import JAVASCRIPT, PYTHON

if TYPE_CHECKING:
    from headrace_pipelines.udf.catalog import Catalog
    from headrace_pipelines.udf.manifest import Manifest

NAMES = {PipelineType.DOCUMENT: "document", PipelineType.QUERY: "request", PipelineType.RESULT: "response"}
"""The variable of a condition beside `doc`, by type of pipeline; in the scope of hits it is `hit`."""


class Resolver(Protocol):
    """Finds the UDFs and pipelines that a definition names."""

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

    def knows(self, kind: PipelineType, name: str) -> bool:
        """Whether there is such a pipeline."""
        ...


@dataclass(frozen=True)
class Scope:
    """The surroundings of a stage: type of pipeline, inherited policy, path and label prefix, chain of pipelines."""

    kind: PipelineType
    policy: Policy
    resolver: Resolver
    path: str = "stages"
    prefix: str = ""
    chain: tuple[str, ...] = ()


def compile_stages(
    definition: PipelineDefinition, resolver: Resolver
) -> tuple[list[CompiledStage], tuple[CompiledStage, ...]]:
    """Stages and failure handlers of a pipeline, ready to run. Raises InvalidError that names the field at fault."""
    scope = Scope(definition.type, Policy(), resolver, chain=(definition.name,))
    return _pipeline_stages(definition, scope, "")


def _pipeline_stages(
    definition: PipelineDefinition, scope: Scope, path: str
) -> tuple[list[CompiledStage], tuple[CompiledStage, ...]]:
    policy = _policy(definition.on_failure, definition.retry, scope.policy, path)
    stages = _compile(definition.stages, replace(scope, policy=policy))
    return stages, _handlers(definition.on_failure, scope, f"{path}on_failure")


def _policy(
    on_failure: FailurePolicy | list[StageDefinition] | None, retry: RetryConfig | None, outer: Policy, path: str
) -> Policy:
    """The policy in force, where `outer` holds around it. With a list of handlers a failure first ends the way."""
    own = Retry.of(retry, f"{path}retry") if retry is not None else None
    if on_failure is None:
        return replace(outer, retry=own) if own else outer
    if on_failure is FailurePolicy.RETRY:
        default = Retry.of(RetryConfig(), f"{path}retry")
        return Policy(FailurePolicy.ABORT, own or outer.retry or default)
    if isinstance(on_failure, list):
        return Policy(FailurePolicy.ABORT, own)
    return Policy(on_failure, own)


def _handlers(
    on_failure: FailurePolicy | list[StageDefinition] | None, scope: Scope, path: str
) -> tuple[CompiledStage, ...]:
    if not isinstance(on_failure, list):
        return ()
    inner = replace(scope, policy=Policy(FailurePolicy.ABORT), path=path, prefix=f"{scope.prefix}on_failure/")
    return tuple(_compile(on_failure, inner))


def _compile(stages: list[StageDefinition], scope: Scope) -> list[CompiledStage]:
    return [_compile_stage(stage, replace(scope, path=f"{scope.path}[{i}]")) for i, stage in enumerate(stages)]


def _compile_stage(stage: StageDefinition, scope: Scope) -> CompiledStage:
    label = scope.prefix + stage.name
    policy = _policy(stage.on_failure, stage.retry, scope.policy, f"{scope.path}.")
    timeout = units.seconds(stage.timeout, f"{scope.path}.timeout") if stage.timeout else None
    handlers = _handlers(stage.on_failure, replace(scope, prefix=f"{label}/"), f"{scope.path}.on_failure")
    field = f"{scope.path}.config"
    nested = replace(scope, policy=policy, prefix=f"{label}/", path=f"{field}.stages")
    match stage:
        case CompositeStage(config=composite):
            named = f"{field}.pipeline"
            return _composite(composite, stage, nested, label, timeout, handlers, scope.path, named)
        case NativeStage(config=native) if native.function == PIPELINE and scope.kind is PipelineType.DOCUMENT:
            name, optional = reference(native, field)
            if optional and not scope.resolver.knows(scope.kind, name):
                return Composite(label, [], policy, timeout, stage.enabled)
            composite = CompositeConfig(pipeline=name)
            named = f"{field}.parameters.name"
            return _composite(composite, stage, nested, label, timeout, handlers, scope.path, named)
        case NativeStage(config=native):
            secrets = scope.resolver.catalog.secrets
            parameters = secrets.resolved(bytes(native.parameters), f"{field}.parameters")
            runner: Runner = NativeRunner.build(native, scope.kind, field, parameters, secrets)
        case UdfStage(config=udf) if udf.code is not None:
            language = JAVASCRIPT if isinstance(stage, JavaScriptStage) else PYTHON
            udf_runner = UdfRunner.inline(udf, language, scope.kind, label, scope.resolver.catalog, field)
            runner, parameters = udf_runner, udf_runner.parameters
        case UdfStage(config=udf):
            manifest, code = scope.resolver.udf(udf.udf_name or "", udf.udf_version, field)
            udf_runner = UdfRunner.build(udf, manifest, code, scope.kind, scope.resolver.catalog, field)
            runner, parameters = udf_runner, udf_runner.parameters
    condition = _condition(stage, scope, parameters, runner.per_hit)
    return StageNode(label, runner, policy, timeout, stage.enabled, condition, handlers)


def _condition(stage: StageDefinition, scope: Scope, parameters: bytes, per_hit: bool) -> Condition | None:
    if stage.condition is None:
        return None
    names = ["doc", "hit" if per_hit else NAMES[scope.kind]]
    try:
        return Condition(stage.condition, names, parameters)
    except ValueError as error:
        raise InvalidError(str(error), f"{scope.path}.if") from None


def _composite(
    config: CompositeConfig,
    stage: StageDefinition,
    scope: Scope,
    label: str,
    timeout: float | None,
    handlers: tuple[CompiledStage, ...],
    path: str,
    field: str,
) -> Composite:
    condition = _condition(stage, replace(scope, path=path), bytes(EMPTY), per_hit=False)
    policy = scope.policy
    if config.stages is not None:
        inner = _compile(config.stages, scope)
        return Composite(label, inner, policy, timeout, stage.enabled, condition, handlers)
    stages, own = _referenced(config, scope, field)
    if own and handlers:
        stages, own = [Composite(f"{label}/{config.pipeline}", stages, policy, handlers=own)], ()
    return Composite(label, stages, policy, timeout, stage.enabled, condition, handlers or own)


def _referenced(
    config: CompositeConfig, scope: Scope, field: str
) -> tuple[list[CompiledStage], tuple[CompiledStage, ...]]:
    """The stages and handlers of the pipeline that a composite names in `field`."""
    name = config.pipeline or ""
    if name in scope.chain:
        raise InvalidError(f"pipelines name each other in a circle: {' > '.join((*scope.chain, name))}", field)
    if len(scope.chain) >= DEEPEST_COMPOSITE:
        raise InvalidError(f"pipelines nested deeper than {DEEPEST_COMPOSITE}", field)
    referenced = scope.resolver.pipeline(scope.kind, name, config.version, field)
    if not referenced.enabled:
        return [], ()
    return _pipeline_stages(referenced, replace(scope, chain=(*scope.chain, name)), f"{field}.")
