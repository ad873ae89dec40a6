"""Which parts of the pipelines of a directory its cases reach.

A stage is reached when it does its work on a document. A condition has two branches. `on_failure` has one: a failure
that takes it; the stages of a list are stages themselves.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.project.files import Files, PipelineFile
    from headrace_pipelines.registry import Pipeline

RUNS, TRUE, FALSE, FAILS = "runs", "if is true", "if is false", "on_failure is taken"


class Point(NamedTuple):
    """Something that a case can reach: a branch of a stage; the stage of the pipeline itself is empty."""

    stage: str
    branch: str
    line: int

    @property
    def missed(self) -> str:
        """What never happens, in words."""
        what = f"stage [{self.stage}]" if self.stage else "the pipeline"
        return f"{what}: never {self.branch}"


class PipelineCoverage(msgspec.Struct):
    """The coverage of a pipeline. `uncovered`: line and what never happens there."""

    name: str
    type: str
    file: str
    covered: int
    total: int
    uncovered: list[tuple[int, str]]

    @property
    def percent(self) -> float:
        """The share of its points that cases reach; of a pipeline without any, all."""
        return 100.0 * self.covered / self.total if self.total else 100.0


@dataclass
class _Counts:
    documents: int = 0
    skips: int = 0
    failures: int = 0


@dataclass
class Coverage:
    """Collects the counts of the pipelines that cases ran."""

    files: Files
    counts: dict[str, dict[str, _Counts]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(_Counts)))

    def __post_init__(self) -> None:
        self._references = {_key(file): dict(_named(file.body, "")) for file in self.files.pipelines}

    def add(self, pipeline: Pipeline) -> None:
        """Adds what a compiled pipeline has counted."""
        name = f"{pipeline.definition.type.value}:{pipeline.definition.name}"
        if name not in self._references:
            return
        for stage in pipeline.stats.dump().stages:
            self._add(name, stage.name, _Counts(stage.documents, stage.skips, stage.failures))

    def _add(self, pipeline: str, stage: str, counts: _Counts) -> None:
        own = self.counts[pipeline][stage]
        own.documents += counts.documents
        own.skips += counts.skips
        own.failures += counts.failures
        for label, named in self._references.get(pipeline, {}).items():
            referenced = f"{pipeline.partition(':')[0]}:{named}"
            if stage.startswith(f"{label}/") and referenced in self._references:
                self._add(referenced, stage.removeprefix(f"{label}/"), counts)

    def report(self) -> list[PipelineCoverage]:
        """The coverage of every pipeline of the directory, by name."""
        return [self._of(file) for file in sorted(self.files.pipelines, key=lambda file: file.name)]

    def _of(self, file: PipelineFile) -> PipelineCoverage:
        points = list(_points(file))
        counts = self.counts.get(_key(file), {})
        missed = [point for point in points if not _reached(point, counts)]
        uncovered = [(point.line, point.missed) for point in missed]
        kind = str(file.fields.get("type"))
        return PipelineCoverage(
            file.name, kind, file.source.name, len(points) - len(missed), len(points), sorted(uncovered)
        )


def percent(report: list[PipelineCoverage]) -> float:
    """The share of all points that cases reach."""
    total = sum(each.total for each in report)
    return 100.0 * sum(each.covered for each in report) / total if total else 100.0


def _key(file: PipelineFile) -> str:
    return f"{file.fields.get('type')}:{file.name}"


def _reached(point: Point, counts: dict[str, _Counts]) -> bool:
    """Composites count nothing themselves: their stages do."""
    prefix = f"{point.stage}/" if point.stage else ""
    inner = [
        each for name, each in counts.items() if name.startswith(prefix) and "on_failure/" not in name[len(prefix) :]
    ]
    own = counts.get(point.stage, _Counts())
    if point.branch == FALSE:
        return own.skips > 0
    if point.branch == FAILS:
        return any(each.failures for each in (own, *inner))
    return own.documents > 0 or any(each.documents or each.skips for each in inner)


def _points(file: PipelineFile) -> Iterator[Point]:
    body = file.body
    if body.get("enabled", True) is False:
        return
    if "on_failure" in body:
        yield Point("", FAILS, file.source.locate("on_failure", key=True).line)
    yield from _stages(file, body.get("stages"), "stages", "")
    yield from _stages(file, body.get("on_failure"), "on_failure", "on_failure/")


def _stages(file: PipelineFile, stages: Any, path: str, prefix: str) -> Iterator[Point]:
    for i, stage in enumerate(stages if isinstance(stages, list) else []):
        if not isinstance(stage, dict) or stage.get("enabled", True) is False:
            continue
        here, label = f"{path}[{i}]", f"{prefix}{stage.get('name')}"
        line = file.source.locate(here).line
        if "if" in stage:
            line = file.source.locate(f"{here}.if", key=True).line
            yield from (Point(label, TRUE, line), Point(label, FALSE, line))
        else:
            yield Point(label, RUNS, line)
        if "on_failure" in stage:
            yield Point(label, FAILS, file.source.locate(f"{here}.on_failure", key=True).line)
        yield from _stages(file, stage.get("on_failure"), f"{here}.on_failure", f"{label}/on_failure/")
        config = stage.get("config")
        inner = config.get("stages") if isinstance(config, dict) else None
        yield from _stages(file, inner, f"{here}.config.stages", f"{label}/")


def _named(body: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Labels of the stages that run another pipeline, with its name."""
    handlers = body.get("on_failure")
    nested = [(body.get("stages"), prefix), (handlers, f"{prefix}on_failure/")]
    for stages, before in nested:
        for stage in stages if isinstance(stages, list) else []:
            config = stage.get("config") if isinstance(stage, dict) else None
            if not isinstance(config, dict):
                continue
            label = f"{before}{stage.get('name')}"
            if stage.get("type") == "composite" and isinstance(config.get("pipeline"), str):
                yield label, config["pipeline"]
            elif config.get("function") == "pipeline" and isinstance(config.get("parameters"), dict):
                yield label, str(config["parameters"].get("name"))
            yield from _named({"stages": config.get("stages"), "on_failure": stage.get("on_failure")}, f"{label}/")
