"""References of a definition to UDFs and other pipelines, and the parameters of its UDFs for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace_pipelines.definition import CompositeStage, NativeStage, PipelineDefinition, StageDefinition, UdfStage
from headrace_pipelines.stages.native import PIPELINE, reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from headrace_pipelines.definition import UdfConfig


def all_stages(definition: PipelineDefinition) -> Iterator[StageDefinition]:
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


def references(definition: PipelineDefinition) -> Iterator[tuple[str, str | None, bool]]:
    """The pipelines that one names: (name, version, whether it may be missing)."""
    for stage in all_stages(definition):
        if isinstance(stage, CompositeStage) and stage.config.pipeline:
            yield stage.config.pipeline, stage.config.version, False
        elif isinstance(stage, NativeStage) and stage.config.function == PIPELINE:
            name, optional = reference(stage.config, "")
            yield name, None, optional


def udf_configs(definition: PipelineDefinition) -> Iterator[UdfConfig]:
    """The stages' configurations that name a stored UDF."""
    return (s.config for s in all_stages(definition) if isinstance(s, UdfStage) and s.config.code is None)


def with_parameters(definition: PipelineDefinition, given: Mapping[str, msgspec.Raw]) -> PipelineDefinition:
    """The definition with parameters of its UDF stages overridden, for one run."""
    return msgspec.structs.replace(definition, stages=[_overridden(stage, given) for stage in definition.stages])


def _overridden(stage: StageDefinition, given: Mapping[str, msgspec.Raw]) -> StageDefinition:
    if isinstance(stage, CompositeStage) and stage.config.stages is not None:
        inner = [_overridden(s, given) for s in stage.config.stages]
        return msgspec.structs.replace(stage, config=msgspec.structs.replace(stage.config, stages=inner))
    if isinstance(stage, UdfStage):
        merged = msgspec.json.decode(stage.config.parameters, type=dict[str, msgspec.Raw]) | dict(given)
        raw = msgspec.Raw(msgspec.json.encode(merged))
        return msgspec.structs.replace(stage, config=msgspec.structs.replace(stage.config, parameters=raw))
    return stage
