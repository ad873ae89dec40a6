"""Problems of pipelines: every stage is compiled for itself, so that one fault does not hide the next.

A stage that names a broken UDF or pipeline of the directory is left out: the problem is told where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.project.check.compiled import definition_of
from headrace.project.check.details import bare, problem_of
from headrace.project.check.references import FIRST, HintedError, References, all_stages, only_condition
from headrace.project.check.shape import definition_faults
from headrace_pipelines import definition as definitions
from headrace_pipelines.definition import CompositeStage, PipelineType
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import Snapshot, compile_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.project.check.udfs import CheckedUdfs
    from headrace.project.files import Files, PipelineFile
    from headrace.project.problems import Problem
    from headrace_pipelines.definition import PipelineDefinition, StageDefinition
    from headrace_pipelines.udf.catalog import Catalog


class _Found(NamedTuple):
    file: PipelineFile
    definition: PipelineDefinition


class PipelineChecker:
    """Checks the pipelines of a directory. `types`: after `run`, the types of its pipelines by name."""

    def __init__(self, files: Files, udfs: CheckedUdfs, catalog: Catalog) -> None:
        self.files = files
        self.udfs = udfs
        self.catalog = catalog
        self.types: dict[str, set[str]] = {}

    def run(self) -> Iterator[Problem]:
        """The problems of all pipelines."""
        found: list[_Found] = []
        broken: set[str] = set()
        for file in self.files.pipelines:
            faults = [file.source.problem(f.reason, f.field, f.hint, key=f.key) for f in definition_faults(file.body)]
            kind = str(file.fields.get("type"))
            if kind in self.types.get(file.name, ()):
                reason = f"another file has the {kind} pipeline [{file.name}], too"
                faults.append(file.source.problem(reason, "name", "rename one of the files", key=True))
            self.types.setdefault(file.name, set()).add(kind)
            if faults:
                broken.add(f"{kind}:{file.name}")
                yield from faults
                continue
            found.append(_Found(file, definition_of(file.body)))
        references = References((each.definition for each in found), broken, self.udfs)
        problems = [problem for each in found for problem in self._checked(each, references)]
        if not problems and not broken and not self.udfs.broken:
            problems = list(self._compiled_whole(found, references))
        yield from problems

    def _compiled_whole(self, found: list[_Found], references: References) -> Iterator[Problem]:
        """What only whole pipelines show, such as references that are nested too deep."""
        for each in found:
            try:
                compile_pipeline(each.definition, references.snapshot, self.catalog)
            except InvalidError as error:
                yield problem_of(each.file.source, error, error.field)

    def _checked(self, each: _Found, references: References) -> list[Problem]:
        source = each.file.source
        problems: dict[str, Problem] = {}
        for stage, path in all_stages(each.definition):
            for error in self._errors(each.definition, stage, references):
                inner = error.field.startswith(FIRST)
                field = path + error.field.removeprefix(FIRST) if inner else error.field
                if isinstance(error, HintedError):
                    problem = source.problem(bare(error), field, error.hint)
                else:
                    problem = problem_of(source, error, field)
                problems.setdefault(field, problem)
        try:
            definitions.validate(definitions.decode(msgspec.json.encode(each.file.body)))
        except InvalidError as error:
            problems.setdefault(error.field, problem_of(source, error, error.field))
        return list(problems.values())

    def _errors(
        self, definition: PipelineDefinition, stage: StageDefinition, references: References
    ) -> Iterator[InvalidError]:
        try:
            self._compile(definition, stage, references)
            return
        except InvalidError as error:
            yield error
        if definition.type is PipelineType.RESULT:
            return
        # The condition may be wrong as well; in pipelines of results its variables depend on the stage.
        bare_stage = msgspec.structs.replace(only_condition(stage), timeout=None)
        try:
            compile_pipeline(
                msgspec.structs.replace(definition, stages=[bare_stage], on_failure=None), Snapshot(), self.catalog
            )
        except InvalidError as error:
            yield error

    def _compile(self, definition: PipelineDefinition, stage: StageDefinition, references: References) -> None:
        """Compiles one stage without the stages in it. Raises InvalidError."""
        policy = None if isinstance(definition.on_failure, list) else definition.on_failure
        reduced = references.reduced(stage, definition)
        lone = msgspec.structs.replace(definition, stages=[reduced], on_failure=policy)
        if not isinstance(reduced, CompositeStage) or reduced.config.stages is None:
            definitions.validate(lone)
        compile_pipeline(lone, references.snapshot, self.catalog)
