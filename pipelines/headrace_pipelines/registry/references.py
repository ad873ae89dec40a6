"""References of a definition to UDFs and other pipelines, in stages, composites and failure handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines.definition import CompositeStage, NativeStage, PipelineDefinition, StageDefinition, UdfStage
from headrace_pipelines.stages.native import PIPELINE, reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
