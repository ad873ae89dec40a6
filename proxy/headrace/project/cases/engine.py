"""Runs cases in the engine, without network.

Every case compiles its pipelines anew, so that its sandboxes are fresh: no case sees the memory of one before it, and a
case has the same outcome whichever run with it. Time and randomness are fixed.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.project.cases.model import Case, Error, Outcome, Output, Subject
from headrace.project.check.compiled import catalog_for, definition_of
from headrace.project.check.udfs import check_udfs
from headrace.project.files import ASSOCIATIONS
from headrace_pipelines import Batch, Deadline, RunOptions, execute, fixed_sources
from headrace_pipelines.definition import PipelineDefinition, PipelineType, UdfConfig, UdfStage
from headrace_pipelines.errors import HeadraceError, InvalidError
from headrace_pipelines.executor.report import udf_log
from headrace_pipelines.registry import PipelineRecord, Records, Snapshot, compile_pipeline, key
from headrace_pipelines.registry.association import Associations, Slot, Slots, Target, pattern_of
from headrace_pipelines.registry.references import udf_configs, with_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.project.files import Files
    from headrace_pipelines.registry import Pipeline

SECONDS = 30.0
"""Maximum of seconds for one case."""
MOST_LINES = 100
"""Maximum of log lines that a case keeps."""
KINDS = {"docs": "document", "request": "query", "response": "result", "hit": "result"}
"""The type of the pipelines that run on an input."""


class Ran(NamedTuple):
    """A case that has run: what became of each input, and the pipelines that ran, with their counts."""

    outcomes: list[Outcome]
    pipelines: list[Pipeline]
    logs: list[str]


class _Step(NamedTuple):
    pipeline: Pipeline
    final: bool = False


class Engine:
    """The pipelines and UDFs of a directory. Raises nothing for broken ones: their cases fail."""

    def __init__(self, files: Files, seed: int = 0) -> None:
        self.catalog = catalog_for(files)
        self.seed = seed
        self.udfs = check_udfs(files, self.catalog)
        self.faults: dict[str, str] = {}
        """Why what stands in a file cannot be run, by the key of a pipeline or the name of the file."""
        problems = {problem.file: problem for problem in reversed(files.problems)}
        self.faults |= {file: str(problem) for file, problem in problems.items()}
        for udf in files.udfs:
            if udf.manifest is not None and udf.manifest.name in problems:
                self.udfs.broken.setdefault(udf.name, problems[udf.manifest.name])
        definitions = dict(self._definitions(files))
        records = [PipelineRecord(definition=each, created="") for each in definitions.values()]
        active = {name: each.version for name, each in definitions.items()}
        self.definitions = definitions
        self.snapshot = Snapshot(Records(pipelines=records, active=active, udfs=self.udfs.records), {}, self.udfs.codes)
        self.associations = Associations.of([], self._patterns(files), [], Slots())

    def _definitions(self, files: Files) -> Iterator[tuple[str, PipelineDefinition]]:
        for file in files.pipelines:
            name = f"{file.fields.get('type')}:{file.name}"
            if file.source.name in self.faults:
                self.faults[name] = self.faults[file.source.name]
                continue
            try:
                definition = definition_of(file.body)
            except HeadraceError as error:
                self.faults[name] = f"{file.source.name}: {error.reason}"
            else:
                yield key(definition.type, definition.name), definition

    def _patterns(self, files: Files) -> list[Any]:
        found = []
        for name, body in files.patterns.items():
            try:
                found.append(pattern_of(name, body))
            except HeadraceError as error:
                self.faults.setdefault(ASSOCIATIONS, f"{ASSOCIATIONS}: [{name}] {error.reason}")
        return found

    def run(self, case: Case) -> Ran:
        """Runs a case. Raises HeadraceError where what it names is missing or does not compile."""
        with fixed_sources(case.time_ms, self.seed), _lines() as logs:
            run = _Run(self, case)
            outcomes = [run.outcome(each) for each in case.inputs]
        return Ran(outcomes, run.pipelines, logs)

    def pipeline(self, kind: PipelineType, name: str, params: dict[str, Any]) -> Pipeline:
        """A pipeline of the directory, compiled anew. Raises HeadraceError."""
        found = key(kind, name)
        if found in self.faults:
            raise InvalidError(f"the pipeline [{name}] cannot be read: {self.faults[found]}")
        if found not in self.definitions:
            raise InvalidError(f"the directory has no {kind.value} pipeline [{name}]")
        definition = self.definitions[found]
        if params:
            definition = with_parameters(definition, _raws(params))
        for config in udf_configs(definition):
            self._check_udf(config.udf_name or "")
        return compile_pipeline(definition, self.snapshot, self.catalog)

    def _check_udf(self, name: str) -> None:
        """Raises InvalidError for a UDF of the directory that does not compile."""
        if name in self.udfs.broken:
            raise InvalidError(f"the UDF [{name}] cannot run: {self.udfs.broken[name]}")

    def attached(self, slot: Slot, index: str) -> str | None:
        """The pipeline of a slot of an index. Raises InvalidError where the associations cannot be read."""
        if ASSOCIATIONS in self.faults:
            raise InvalidError(f"the associations cannot be read: {self.faults[ASSOCIATIONS]}")
        found = self.associations.find(slot, Target(index))
        return found.name if found is not None else None

    def of_udf(self, name: str, kind: PipelineType, case: Case) -> Pipeline:
        """A pipeline of one stage that runs a UDF. Raises HeadraceError."""
        self._check_udf(name)
        config = UdfConfig(
            udf_name=name,
            parameters=msgspec.Raw(msgspec.json.encode(case.params)),
            scope="hit" if case.kind == "hit" else None,
        )
        stages = [UdfStage(name=name, config=config)]
        definition = PipelineDefinition(name=name, type=kind, stages=list(stages), version="1")
        return compile_pipeline(definition, self.snapshot, self.catalog)

    def type_of(self, subject: Subject, kind: PipelineType) -> PipelineType:
        """The type of the pipeline that a case names. Raises InvalidError where its input does not fit."""
        types = [t for t in PipelineType if key(t, subject.name) in self.definitions or self._broken(t, subject.name)]
        if types and kind not in types:
            names = " and ".join(each.value for each in types)
            raise InvalidError(f"the pipeline [{subject.name}] is of type {names}: the input is one of a {kind.value}")
        return kind

    def _broken(self, kind: PipelineType, name: str) -> bool:
        return key(kind, name) in self.faults


class _Run:
    """One case."""

    def __init__(self, engine: Engine, case: Case) -> None:
        self.engine = engine
        self.case = case
        self.kind = PipelineType(KINDS[case.kind])
        self.deadline = Deadline(SECONDS)
        self.compiled: dict[str, Pipeline] = {}
        self.steps = self._steps()

    @property
    def pipelines(self) -> list[Pipeline]:
        return list(self.compiled.values())

    def _steps(self) -> list[_Step]:
        subject, engine = self.case.subject, self.engine
        if subject.kind == "udf":
            self.compiled[""] = engine.of_udf(subject.name, self.kind, self.case)
            return [_Step(self.compiled[""])]
        if subject.kind == "pipeline":
            engine.type_of(subject, self.kind)
            return [_Step(self._compiled(subject.name))]
        return [*self._attached(subject.name, final=False), *self._finals_of_searches(subject.name)]

    def _finals_of_searches(self, index: str) -> list[_Step]:
        return [] if self.kind is PipelineType.DOCUMENT else self._attached(index, final=True)

    def _attached(self, index: str, *, final: bool) -> list[_Step]:
        name = self.engine.attached(Slot(self.kind, final), index)
        return [_Step(self._compiled(name), final)] if name is not None else []

    def _compiled(self, name: str) -> Pipeline:
        if name not in self.compiled:
            self.compiled[name] = self.engine.pipeline(self.kind, name, self.case.params)
        return self.compiled[name]

    def outcome(self, given: Output) -> Outcome:
        """What the steps make of one input."""
        index = given.index
        if self.case.subject.kind == "index":
            index = index or self.case.subject.name
        outputs = [msgspec.structs.replace(given, index=index)]
        for step in self.steps:
            outputs, error = self._stepped(outputs, step)
            if error is not None:
                return Outcome(error=error)
        if self.case.subject.kind == "index" and self.kind is PipelineType.DOCUMENT:
            return self._finals_of_documents(outputs)
        return Outcome(tuple(outputs))

    def _finals_of_documents(self, outputs: list[Output]) -> Outcome:
        """The final pipelines of the indexes that documents go to now; they cannot change the index."""
        found: list[Output] = []
        for output in outputs:
            kept = [output]
            for step in self._attached(output.index or "", final=True):
                kept, error = self._stepped([output], step)
                name = step.pipeline.definition.name
                if error is None and any(each.index != output.index for each in kept):
                    error = Error(
                        f"final pipeline [{name}] can't change the target index", "illegal_argument_exception"
                    )
                if error is not None:
                    return Outcome(error=error)
            found += kept
        return Outcome(tuple(found))

    def _stepped(self, given: list[Output], step: _Step) -> tuple[list[Output], Error | None]:
        found: list[Output] = []
        for each in given:
            outputs, error = self._executed(each, step)
            if error is not None:
                return [], error
            found += outputs
        return found, None

    def _executed(self, given: Output, step: _Step) -> tuple[list[Output], Error | None]:
        batch = Batch.of(
            self.kind.value,
            msgspec.json.encode(self._wrapped(given.source)),
            index=given.index,
            id=given.id,
            routing=given.routing,
            ctx=msgspec.json.encode({"user": self.case.user}) if self.case.user is not None else None,
        )
        execute(step.pipeline, batch, self.deadline, RunOptions(final=step.final))
        outputs = []
        for i in range(len(batch)):
            state, failure = batch.outcome(i)
            if failure is not None:
                status, kind, reason, _, stage = failure
                return [], Error(reason, kind, status, stage)
            if state != "dropped":
                outputs += self._unwrapped(msgspec.json.decode(batch.document(i)), batch.metadata(i))
        return outputs, None

    def _wrapped(self, source: Any) -> Any:
        return {"hits": {"hits": [source]}} if self.case.kind == "hit" else source

    def _unwrapped(self, value: Any, metadata: tuple[str | None, str | None, str | None]) -> list[Output]:
        if self.case.kind == "hit":
            return [Output(hit) for hit in value["hits"]["hits"]]
        return [Output(value, *metadata)]


class _Handler(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < MOST_LINES:
            self.lines.append(record.getMessage())


@contextmanager
def _lines() -> Iterator[list[str]]:
    """The lines that UDFs log meanwhile."""
    found: list[str] = []
    handler, level, propagate = _Handler(found), udf_log.level, udf_log.propagate
    udf_log.addHandler(handler)
    udf_log.setLevel(logging.DEBUG)
    udf_log.propagate = False
    try:
        yield found
    finally:
        udf_log.removeHandler(handler)
        udf_log.setLevel(level)
        udf_log.propagate = propagate


def _raws(params: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in params.items()}
