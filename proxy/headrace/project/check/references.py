"""References of stages to UDFs and pipelines of the directory: missing ones, broken ones, circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.project.problems import nearest
from headrace_pipelines.definition import (
    DEEPEST_COMPOSITE,
    CompositeConfig,
    CompositeStage,
    NativeStage,
    PipelineDefinition,
    StageDefinition,
    UdfStage,
)
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import PipelineRecord, Records, Snapshot, key
from headrace_pipelines.registry.references import references
from headrace_pipelines.stages.native import PIPELINE, reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.project.check.udfs import CheckedUdfs

FIRST = "stages[0]"
"""The path of a stage that is compiled for itself."""


class HintedError(InvalidError):
    """An error with the remedy."""

    def __init__(self, reason: str, field: str, hint: str) -> None:
        super().__init__(reason, field)
        self.hint = hint


def all_stages(definition: PipelineDefinition) -> Iterator[tuple[StageDefinition, str]]:
    """Every stage with its path, those of composites and failure handlers included."""
    yield from _walk(definition.stages, "stages")
    if isinstance(definition.on_failure, list):
        yield from _walk(definition.on_failure, "on_failure")


def _walk(stages: Iterable[StageDefinition], path: str) -> Iterator[tuple[StageDefinition, str]]:
    for i, stage in enumerate(stages):
        here = f"{path}[{i}]"
        yield stage, here
        if isinstance(stage, CompositeStage):
            yield from _walk(stage.config.stages or [], f"{here}.config.stages")
        if isinstance(stage.on_failure, list):
            yield from _walk(stage.on_failure, f"{here}.on_failure")


class References:
    """What the stages of a directory may name. `broken`: keys of pipelines whose problems are told elsewhere."""

    def __init__(self, definitions: Iterable[PipelineDefinition], broken: set[str], udfs: CheckedUdfs) -> None:
        self.whole = {key(each.type, each.name): each for each in definitions}
        self.broken = broken
        self.udfs = udfs
        records = [PipelineRecord(definition=each, created="") for each in self.whole.values()]
        active = {name: each.version for name, each in self.whole.items()}
        self.snapshot = Snapshot(Records(pipelines=records, active=active, udfs=udfs.records), {}, udfs.codes)
        self.circles: dict[str, list[str]] = {}
        for name in self.whole:
            self._follow(name, [])

    def _follow(self, name: str, chain: list[str]) -> None:
        """Notes for every pipeline of a chain the circle that it leads to."""
        if name in chain:
            circle = [*chain[chain.index(name) :], name]
            for each in chain:
                self.circles.setdefault(each, circle)
            return
        if len(chain) > DEEPEST_COMPOSITE or name not in self.whole or name in self.circles:
            return
        definition = self.whole[name]
        for named in _named(definition):
            self._follow(key(definition.type, named), [*chain, name])

    def reduced(self, stage: StageDefinition, definition: PipelineDefinition) -> StageDefinition:
        """The stage without its handlers and inner stages, and without a reference that is broken elsewhere.

        Raises InvalidError, its field from `stages[0]` on, for a reference to what the directory does not have.
        """
        if isinstance(stage.on_failure, list):
            stage = msgspec.structs.replace(stage, on_failure=None)
        match stage:
            case CompositeStage(config=config) if config.stages is not None:
                return only_condition(stage)
            case CompositeStage(config=config) if config.pipeline is not None:
                return self._pipeline(stage, definition, config.pipeline, "config.pipeline", optional=False)
            case NativeStage(config=native) if native.function == PIPELINE:
                name, optional = reference(native, f"{FIRST}.config")
                return self._pipeline(stage, definition, name, "config.parameters.name", optional=optional)
            case UdfStage(config=udf) if udf.udf_name and udf.code is None:
                return self._udf(stage, udf.udf_name)
        return stage

    def _pipeline(
        self, stage: StageDefinition, definition: PipelineDefinition, name: str, field: str, *, optional: bool
    ) -> StageDefinition:
        target, own = key(definition.type, name), key(definition.type, definition.name)
        circle = self.circles.get(target, [])
        if own in circle:
            names = " > ".join(each.partition(":")[2] for each in circle)
            raise InvalidError(f"pipelines name each other in a circle: {names}", f"{FIRST}.{field}")
        if target in self.whole or target in self.broken or optional:
            return only_condition(stage)
        kind = definition.type.value
        fitting = [each.name for each in self.whole.values() if each.type is definition.type and each != definition]
        reason = f"no {kind} pipeline of this directory is called [{name}]"
        raise HintedError(reason, f"{FIRST}.{field}", nearest(name, fitting))

    def _udf(self, stage: UdfStage, name: str) -> StageDefinition:
        if name in self.udfs.broken:
            return only_condition(stage)
        names = {record.manifest.name for record in self.udfs.records}
        if name not in names:
            hint = nearest(name, names | set(self.udfs.broken))
            raise HintedError(f"UDF [{name}] is not in this directory", f"{FIRST}.config.udf_name", hint)
        return stage


def _named(definition: PipelineDefinition) -> list[str]:
    try:
        return [name for name, _, _ in references(definition)]
    except InvalidError:
        return []


def only_condition(stage: StageDefinition) -> StageDefinition:
    """A composite of nothing under the stage's condition, which is left out where its variables depend on the stage."""
    kept = {name: getattr(stage, name) for name in ("name", "condition", "timeout")}
    if isinstance(stage, UdfStage) and stage.config.scope == "hit":
        kept["condition"] = None
    return CompositeStage(config=CompositeConfig(stages=[]), **kept)
