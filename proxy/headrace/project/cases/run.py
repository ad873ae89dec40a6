"""A run of test cases: which are run, what became of each, and what the whole run is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headrace.project.cases import compare, read
from headrace.project.cases.engine import SECONDS, Engine
from headrace.project.files import TESTS
from headrace.project.variables import Variables
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from headrace.project.cases.compare import Difference
    from headrace.project.cases.coverage import Coverage
    from headrace.project.cases.engine import Ran
    from headrace.project.cases.model import Case, CaseFile, Outcome
    from headrace.project.problems import Problem
    from headrace.project.project import Project

PASSED, FAILED, UNREADABLE, UPDATED = "passed", "failed", "unreadable", "updated"


class Runs(Protocol):
    """Runs a case."""

    def run(self, case: Case) -> Ran:
        """What became of each input. Raises HeadraceError."""
        ...


@dataclass
class Result:
    """What became of a case, or of a file that cannot be read (`case` is `None`). `line`: where it stands."""

    file: CaseFile
    case: Case | None
    status: str
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    reason: str = ""
    line: int = 1
    column: int = 1
    logs: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The file and the name of the case."""
        return self.file.label(self.case) if self.case is not None else self.file.name

    @property
    def failed(self) -> bool:
        """Whether the run fails by it."""
        return self.status in (FAILED, UNREADABLE)

    @property
    def messages(self) -> list[str]:
        """Why it fails, a line for each reason."""
        return [self.reason] if self.reason else [str(each) for each in self.differences]


class CaseRun:
    """The cases of a project below some paths."""

    def __init__(self, project: Project, paths: Iterable[Path], text: str = "") -> None:
        """`text`: a part of the labels of the cases to run; case does not matter."""
        self.project = project
        values = project.target_config.vars
        self.files = [read.read(path, project.folder, Variables(project.target, values)) for path in read.find(paths)]
        wanted = text.lower()
        for file in self.files:
            file.cases = [case for case in file.cases if wanted in file.label(case).lower()]

    @property
    def count(self) -> int:
        """The number of cases to run; a file that cannot be read counts as one."""
        return sum(len(file.cases) + bool(file.problems) for file in self.files)

    def run(self, seed: int = 0, coverage: Coverage | None = None, engine: Runs | None = None) -> Iterator[Result]:
        """Runs the cases one by one, in the engine or in what stands for it."""
        if self.count > read.MOST_CASES:
            reason = f"there are {self.count} cases; a run has at most {read.MOST_CASES}: name some of the files"
            yield Result(self.files[0], None, UNREADABLE, reason=reason)
            return
        engine = engine or Engine(self.project.files, seed)
        for file in self.files:
            yield from (_unreadable(file, problem) for problem in file.problems)
            for case in file.cases:
                yield _judged(engine, file, case, coverage)


def unreadable(project: Project) -> Iterator[Problem]:
    """The problems of the case files of a project."""
    for file in CaseRun(project, [project.folder / TESTS]).files:
        yield from file.problems


def _unreadable(file: CaseFile, problem: Problem) -> Result:
    field = f" ({problem.field})" if problem.field else ""
    reason = f"{problem.reason}{field}" + (f"; {problem.hint}" if problem.hint else "")
    return Result(file, None, UNREADABLE, reason=reason, line=problem.line, column=problem.column)


def _judged(engine: Runs, file: CaseFile, case: Case, coverage: Coverage | None) -> Result:
    line, column = file.source.locate(case.path) if file.source is not None else (1, 1)
    result = Result(file, case, FAILED, line=line, column=column)
    started = time.monotonic()
    try:
        ran = engine.run(case)
    except HeadraceError as error:
        result.reason = str(error)
        return result
    finally:
        result.seconds = time.monotonic() - started
    for pipeline in ran.pipelines if coverage is not None else ():
        coverage.add(pipeline)  # type: ignore[union-attr]
    result.logs, result.outcomes = ran.logs, ran.outcomes
    result.differences = compare.differences(case, ran.outcomes)
    if result.seconds > SECONDS:
        result.reason = f"took {result.seconds:.1f} s; a case has {SECONDS:.0f}"
    elif not result.differences:
        result.status = PASSED
    return result
