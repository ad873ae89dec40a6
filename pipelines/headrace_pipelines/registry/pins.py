"""Pins: a stored pipeline names the version of every UDF and pipeline that it runs.

A stage that names none is given the latest UDF, or the active version of a pipeline, of that moment. Only `latest`,
where somebody wrote it, floats. `pipeline` processors have no version, as in OpenSearch, and float, too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace_pipelines.definition import CompositeStage, NativeStage, UdfStage
from headrace_pipelines.errors import MissingError
from headrace_pipelines.registry import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace_pipelines.definition import PipelineDefinition, PipelineType, StageDefinition
    from headrace_pipelines.registry import Snapshot


class Versions(Protocol):
    """Says which version a name without one stands for; `None` where there is none."""

    def udf(self, name: str) -> str | None:
        """The version of a UDF."""
        ...

    def pipeline(self, kind: PipelineType, name: str) -> str | None:
        """The version of a pipeline."""
        ...


class Now:
    """The versions of this moment: the one in force of a UDF, the active one of a pipeline."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def udf(self, name: str) -> str | None:
        """The version in force; `None` for a UDF that is missing, which compiling then says."""
        try:
            return self._snapshot.udf(name).version
        except MissingError:
            return None

    def pipeline(self, kind: PipelineType, name: str) -> str | None:
        """The active version."""
        return self._snapshot.records.active.get(key(kind, name))


class _Next:
    """Versions one after the other, whatever they are asked for."""

    def __init__(self, versions: Iterator[str | None]) -> None:
        self._versions = versions

    def udf(self, name: str) -> str | None:
        """The next one."""
        return next(self._versions, None)

    def pipeline(self, kind: PipelineType, name: str) -> str | None:
        """The next one."""
        return next(self._versions, None)


def pinned(definition: PipelineDefinition, versions: Versions) -> PipelineDefinition:
    """The definition with a version wherever it names a UDF or a pipeline without one."""
    pins = _Pins(definition.type, versions)
    stages = pins.all(definition.stages)
    handlers = definition.on_failure
    if isinstance(handlers, list):
        handlers = pins.all(handlers)
    return msgspec.structs.replace(definition, stages=stages, on_failure=handlers)


def pinned_as(given: PipelineDefinition, stored: PipelineDefinition) -> PipelineDefinition:
    """The definition with the versions that `stored` names at the same places: equal to it, if it is the same."""
    places = zip(_named(_top(given)), _named(_top(stored)), strict=False)
    return pinned(given, _Next(theirs for ours, theirs in places if not ours))


def unpinned(definition: PipelineDefinition, versions: Versions) -> PipelineDefinition:
    """The definition without the versions that [`pinned`] would write in again."""
    pins = _Pins(definition.type, versions, remove=True)
    handlers = definition.on_failure
    if isinstance(handlers, list):
        handlers = pins.all(handlers)
    return msgspec.structs.replace(definition, stages=pins.all(definition.stages), on_failure=handlers)


class _Pins:
    def __init__(self, kind: PipelineType, versions: Versions, *, remove: bool = False) -> None:
        self._kind = kind
        self._versions = versions
        self._remove = remove

    def _pin(self, version: str | None, present: Callable[[], str | None]) -> str | None:
        """The version of a place: written in where there is none, or left out where it is the present one."""
        if self._remove:
            return None if version == present() else version
        return version or present()

    def all(self, stages: Sequence[StageDefinition]) -> list[StageDefinition]:
        return [self._pinned_stage(stage) for stage in stages]

    def _pinned_stage(self, stage: StageDefinition) -> StageDefinition:
        if not isinstance(stage, NativeStage):
            stage = self._udf(stage) if isinstance(stage, UdfStage) else self._composite(stage)
        if isinstance(stage.on_failure, list):
            return msgspec.structs.replace(stage, on_failure=self.all(stage.on_failure))
        return stage

    def _udf(self, stage: UdfStage) -> UdfStage:
        config = stage.config
        if config.udf_name is None or config.code is not None:
            return stage
        version = self._pin(config.udf_version, partial(self._versions.udf, config.udf_name))
        return msgspec.structs.replace(stage, config=msgspec.structs.replace(config, udf_version=version))

    def _composite(self, stage: CompositeStage) -> CompositeStage:
        config = stage.config
        if config.stages is not None:
            config = msgspec.structs.replace(config, stages=self.all(config.stages))
        elif config.pipeline is not None:
            version = self._pin(config.version, partial(self._versions.pipeline, self._kind, config.pipeline))
            config = msgspec.structs.replace(config, version=version)
        return msgspec.structs.replace(stage, config=config)


def _top(definition: PipelineDefinition) -> list[StageDefinition]:
    handlers = definition.on_failure if isinstance(definition.on_failure, list) else []
    return [*definition.stages, *handlers]


def _named(stages: Sequence[StageDefinition]) -> Iterator[str | None]:
    """The version at every place that may have one, in the order in which [`_Pins`] meets them."""
    for stage in stages:
        if isinstance(stage, UdfStage) and stage.config.code is None:
            yield stage.config.udf_version
        elif isinstance(stage, CompositeStage):
            if stage.config.stages is not None:
                yield from _named(stage.config.stages)
            else:
                yield stage.config.version
        if isinstance(stage.on_failure, list):
            yield from _named(stage.on_failure)
