"""A plugin of pytest: UDFs and pipelines in the sandbox of the proxy, without a proxy and without a cluster.

    def test_titles(udf):
        titles = udf("udfs/titles.py", params={"by": "-"})
        assert titles({"title": "A B"}) == {"title": "a-b"}

    def test_logs(pipeline):
        assert pipeline("logs")({"level": "WARN"}) == {"level": "warn"}

With `--headrace`, case files (`*.cases.yaml`, and folders with `in.ndjson`) are collected as tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.project.cases.engine import Engine
    from headrace.project.cases.model import Case, CaseFile
    from headrace.project.problems import Problem
    from headrace.project.variables import Variables

CASE_ENDINGS = (".cases.yaml", ".cases.yml", ".cases.json")
FOLDER_INPUT = "in.ndjson"


class FailedError(AssertionError):
    """A UDF or a pipeline failed its input; `type`, `reason`, `stage` and `status` are those of the error."""

    def __init__(self, reason: str, type: str, stage: str, status: int) -> None:  # noqa: A002 - OpenSearch's word
        super().__init__(f"{reason} (stage [{stage}])" if stage else reason)
        self.reason = reason
        self.type = type
        self.stage = stage
        self.status = status


class Subject:
    """A UDF or a pipeline to call. Every call has fresh sandboxes, a fixed time and fixed randomness.

    `logs`: the lines that UDFs logged in the last call.
    """

    def __init__(self, engine: Engine, kind: str, name: str, options: dict[str, Any]) -> None:
        self._engine = engine
        self._kind = kind
        self._name = name
        self._options = options
        self.logs: list[str] = []

    def __call__(self, document: dict[str, Any], **metadata: str) -> Any:
        """What a document becomes: an object, `None` if it is dropped, a list if it becomes several.

        `metadata`: `index`, `id`, `routing` of the document. Raises FailedError.
        """
        found = self._run("docs", document, metadata)
        return found[0] if len(found) == 1 else found or None

    def request(self, body: dict[str, Any]) -> Any:
        """What the body of a search becomes, for queries. Raises FailedError."""
        return self._run("request", body, {})[0]

    def response(self, body: dict[str, Any]) -> Any:
        """What the response to a search becomes, for results. Raises FailedError."""
        return self._run("response", body, {})[0]

    def hit(self, hit: dict[str, Any]) -> Any:
        """What a hit becomes; `None` if it is dropped. Raises FailedError."""
        found = self._run("hit", hit, {})
        return found[0] if found else None

    def _run(self, kind: str, value: Any, metadata: dict[str, str]) -> list[Any]:
        from headrace.project.cases import model

        subject = model.Subject(self._kind, self._name)
        case = model.Case(self._name, subject, kind, [model.Output(value, **metadata)], {}, **self._options)
        ran = self._engine.run(case)
        self.logs = ran.logs
        (outcome,) = ran.outcomes
        if (error := outcome.error) is not None:
            raise FailedError(error.reason, error.type, error.stage, error.status)
        return [output.source for output in outcome.outputs]


@pytest.fixture
def udf(request: pytest.FixtureRequest) -> Callable[..., Subject]:
    """`udf(file, params={}, time_ms=…, user={}, seed=0)`: a UDF of a file.

    `file`: relative to the test, to its project, or to the directory of pytest. Raises ProjectError for a manifest that
    cannot be read, or that names a variable which the target does not have.
    """

    def of(file: str | Path, *, seed: int = 0, **options: Any) -> Subject:
        from headrace.project import ProjectError
        from headrace.project.cases.engine import Engine
        from headrace.project.files import Files, read_udf
        from headrace.project.project import root_of

        path = _found(request, Path(file))
        root = root_of(path.parent)
        variables = _variables(request.config, root)
        read = read_udf(root or path.parent, path, variables)
        if variables.problems:
            raise ProjectError(variables.problems)
        return Subject(Engine(Files(udfs=[read]), seed), "udf", read.name, options)

    return of


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> Callable[..., Subject]:
    """`pipeline(name, params={}, time_ms=…, user={}, seed=0)`: a pipeline of the project that the test is in."""

    def of(name: str, *, seed: int = 0, **options: Any) -> Subject:
        from headrace.project import Project
        from headrace.project.cases.engine import Engine
        from headrace.project.project import root_of

        folder = root_of(request.path.parent) or request.config.rootpath
        project = Project.load(folder, _target(request.config, folder))
        return Subject(Engine(project.files, seed), "pipeline", name, options)

    return of


def _target(config: pytest.Config, folder: Path) -> str | None:
    """The target of `--headrace-target`, else that of HEADRACE_TARGET if the project has it."""
    from headrace.project.config import load_config, target_of_environment

    named: str | None = config.getoption("headrace_target")
    return named or target_of_environment(load_config(folder))


def _variables(config: pytest.Config, folder: Path | None) -> Variables:
    """The variables of the target of a project; none outside of a project."""
    from headrace.project.config import load_config
    from headrace.project.variables import Variables

    targets = load_config(folder).target if folder is not None else {}
    name = (_target(config, folder) if folder is not None else None) or next(iter(targets), "")
    return Variables(name, targets[name].vars if name in targets else {})


def _found(request: pytest.FixtureRequest, file: Path) -> Path:
    from headrace.project.project import root_of

    folders = [request.path.parent, root_of(request.path.parent), request.config.rootpath]
    paths = [folder / file for folder in folders if folder is not None]
    for path in paths:
        if path.is_file():
            return path.resolve()
    raise FileNotFoundError(f"no UDF is at {', '.join(map(str, paths))}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--headrace` and `--headrace-target`."""
    group = parser.getgroup("headrace", "pipelines and UDFs of Headrace")
    group.addoption("--headrace", action="store_true", help="collect the test cases of Headrace")
    group.addoption(
        "--headrace-target",
        dest="headrace_target",
        help="the target whose variables are used; HEADRACE_TARGET, or the first",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects case files, if they are asked for."""
    if not parent.config.getoption("headrace"):
        return None
    if file_path.name.endswith(CASE_ENDINGS) or file_path.name == FOLDER_INPUT:
        return CasesCollector.from_parent(parent, path=file_path)
    return None


_ENGINES: pytest.StashKey[dict[Path, Any]] = pytest.StashKey()


class CasesCollector(pytest.File):
    """The cases of a file."""

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each case, and one for each problem of the file."""
        from headrace.project import Project
        from headrace.project.cases.engine import Engine
        from headrace.project.cases.read import read
        from headrace.project.project import root_of
        from headrace.project.variables import Variables

        folder = root_of(self.path.parent)
        if folder is None:
            raise self.CollectError(f"{self.path} is in no project directory of Headrace")
        loaded = self.config.stash.setdefault(_ENGINES, {})
        if folder not in loaded:
            project = Project.load(folder, _target(self.config, folder))
            loaded[folder] = (project, Engine(project.files))
        project, engine = loaded[folder]
        path = self.path.parent if self.path.name == FOLDER_INPUT else self.path
        file = read(path, folder, Variables(project.target, project.target_config.vars))
        for problem in file.problems:
            yield ProblemItem.from_parent(self, name=f"{problem.line}:{problem.column}", problem=problem)
        for case in file.cases:
            yield CaseItem.from_parent(self, name=case.name, file=file, case=case, engine=engine)


class CaseItem(pytest.Item):
    """A case."""

    def __init__(self, *, file: CaseFile, case: Case, engine: Engine, **options: Any) -> None:
        super().__init__(**options)
        self.file = file
        self.case = case
        self.engine = engine

    def runtest(self) -> None:
        """Runs the case. Raises Failed with what differs."""
        from headrace.project.cases.compare import differences
        from headrace_pipelines import HeadraceError

        try:
            ran = self.engine.run(self.case)
        except HeadraceError as error:
            pytest.fail(str(error), pytrace=False)
        found = [str(each) for each in differences(self.case, ran.outcomes)]
        if found:
            pytest.fail("\n".join([*found, *(f"| {line}" for line in ran.logs)]), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file, the line (from 0) and the name of the case."""
        line = self.file.source.locate(self.case.path).line - 1 if self.file.source is not None else 0
        return self.path, line, self.case.name


class ProblemItem(pytest.Item):
    """A part of a case file that cannot be read: it fails."""

    def __init__(self, *, problem: Problem, **options: Any) -> None:
        super().__init__(**options)
        self.problem = problem

    def runtest(self) -> None:
        """Raises Failed with the problem."""
        hint = f"\nhint: {self.problem.hint}" if self.problem.hint else ""
        pytest.fail(f"{self.problem}{hint}", pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file and the line (from 0) of the problem."""
        return self.path, self.problem.line - 1, self.name
