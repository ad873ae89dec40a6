"""`headrace test` and `headrace bench`: pipelines and UDFs without a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.commands.directory.project import TARGET, load
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import emit, note, output_option

if TYPE_CHECKING:
    from headrace.project import Project
    from headrace.project.cases.coverage import Coverage
    from headrace.project.cases.run import CaseRun, Result
    from headrace.project.tools.bench import Measurement

MOST_LOGS = 10
"""Maximum of log lines that are shown of a failed case."""
EXAMPLE = """\
headrace test
headrace test tests/logs.cases.yaml -k titles
headrace test --coverage --min-coverage 80 --junit report.xml
headrace test --update
headrace test --against prod
headrace test --against http://localhost:9200
headrace test --from-index app-1 --sample 50 --anonymise --against prod
"""


@dataclass(frozen=True)
class _Options:
    """The options of `headrace test`."""

    paths: tuple[Path, ...]
    text: str
    update: bool
    coverage: bool
    min_coverage: float | None
    junit: Path | None
    watch: bool
    seed: int
    variables: str | None
    against: str | None
    url: str
    from_index: str | None
    sample: int
    anonymise: bool


@command("Run test cases in the engine, without a cluster.", example=EXAMPLE, exits=REMOTE)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("-k", "text", default="", metavar="TEXT", help="Only cases whose file or name has this text.")
@click.option("--update", is_flag=True, help="Write the outcomes as what is expected.")
@click.option("--coverage", is_flag=True, help="Show which stages, conditions and failures no case reaches.")
@click.option("--min-coverage", type=click.FloatRange(0, 100), metavar="PERCENT", help="Fail below this coverage.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--watch", is_flag=True, help="Run again when a file of the project changes.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="The seed of randomness.")
@TARGET
@click.option("--against", metavar="TARGET|URL", help="Run on what this target stores, not in the engine.")
@click.option("--url", default="", metavar="URL", help="The address of the proxy, in place of that of the target.")
@click.option("--from-index", metavar="INDEX", help="Write cases from documents of an index of --against.")
@click.option(
    "--sample", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The number of documents."
)
@click.option("--anonymise", is_flag=True, help="Replace values by others of the same form.")
def test(**options: Any) -> int:
    """PATHS are case files, folders and project directories; without any, the cases in tests/.

    The exit status is 2 where no case is found.
    """
    given = _Options(**options)
    if given.against and "://" in given.against:
        if given.url:
            raise click.UsageError("--against has an address already: it does not go with --url")
        given = replace(given, against=None, url=given.against)
    _check(given)
    if not given.watch:
        return _run(given)
    return _watch(given)


def _check(options: _Options) -> None:
    """Raises UsageError for options that have no effect with others."""
    if (
        (options.against or options.url)
        and not options.from_index
        and (options.coverage or options.min_coverage is not None)
    ):
        raise click.UsageError("--against has no coverage: it is counted in the engine only")
    if options.watch and options.from_index:
        raise click.UsageError("--from-index writes its cases once: it does not go with --watch")
    if options.anonymise and not options.from_index:
        raise click.UsageError("--anonymise is for the documents of --from-index")


def _run(options: _Options) -> int:
    from headrace.project.files import TESTS

    folder = _project_of(options.paths)
    stored = options.against if not options.from_index else None
    if stored:
        _require_target(folder, stored)
    project = load(folder, options.variables or stored)
    paths = [path / TESTS if path.resolve() == folder.resolve() else path for path in options.paths]
    if options.from_index:
        paths = [_sampled(options, folder)]
        options = replace(options, update=True, against=None, url="")
    return _tested(project, [path.resolve() for path in paths or [folder / TESTS]], options)


def _require_target(folder: Path, name: str) -> None:
    """Raises Failure for a target that `headrace.toml` of the directory does not have."""
    from headrace.client.target import DEFAULT_URL, FILE
    from headrace.project.config import load_config

    targets = load_config(folder).target
    if name not in targets:
        listed = f"those that there are: {', '.join(targets)}" if targets else f"{FILE} has none"
        hint = f"{listed}; or pass an address, such as --against {os.environ.get('HEADRACE_URL') or DEFAULT_URL}"
        raise Failure(f"{FILE} has no target [{name}]", "target", hint, ExitCode.USAGE)


def _project_of(paths: tuple[Path, ...]) -> Path:
    """The project directory of the first path: the nearest above it that is one. Raises Failure."""
    from headrace.project.project import root_of

    start = paths[0] if paths else Path()
    if (found := root_of(start)) is not None:
        return found
    raise Failure(f"{start} is in no project directory", hint="write one with `headrace init`", code=ExitCode.USAGE)


def _tested(project: Project, paths: list[Path], options: _Options) -> int:
    from headrace.project.cases.coverage import Coverage
    from headrace.project.cases.run import CaseRun

    run = CaseRun(project, paths, options.text)
    if not run.count:
        raise Failure("no test case is found", hint="case files are tests/NAME.cases.yaml", code=ExitCode.USAGE)
    wants = options.coverage or options.min_coverage is not None
    coverage = Coverage(project.files) if wants else None
    results = _results(run, options, coverage)
    if options.junit is not None:
        from headrace.project.cases import junit

        junit.write(options.junit, results)
    failed = sum(result.failed for result in results)
    counts = [f"{sum(r.status == 'passed' for r in results)} passed", f"{failed} failed"]
    updated = sum(result.status == "updated" for result in results)
    click.echo(", ".join([*counts, *([f"{updated} updated"] if updated else [])]))
    enough = coverage is None or _show_coverage(coverage, options)
    return ExitCode.FAILED if failed or not enough else ExitCode.OK


def _results(run: CaseRun, options: _Options, coverage: Coverage | None) -> list[Result]:
    """Runs the cases and shows each; with `--update`, what differs is written."""
    from headrace.project.cases.update import update

    if options.against or options.url:
        from headrace.cli.project_target import client_of
        from headrace.project.cases.against import TargetEngine

        named = options.against or options.variables or ""
        with client_of(run.project.folder, named, options.url) as client:
            results = list(run.run(options.seed, None, TargetEngine(client)))
    else:
        results = list(run.run(options.seed, coverage))
    for file in run.files if options.update else ():
        own = [result for result in results if result.file is file and result.status == "failed" and result.outcomes]
        if own and update(file, own):
            for result in own:
                result.status = "updated"
    for result in results:
        show(result)
    return results


def show(result: Result) -> None:
    """Prints a result, unless the case passed."""
    colours = {"passed": "green", "updated": "yellow"}
    word = {"passed": "ok", "updated": "new"}.get(result.status, "FAIL")
    if result.status != "passed":
        click.echo(f"{click.style(word.ljust(4), fg=colours.get(result.status, 'red'))} {result.label}")
    if not result.failed:
        return
    click.echo(f"     {result.file.name}:{result.line}:{result.column}")
    for message in result.messages:
        click.echo(f"     {message}")
    for line in result.logs[:MOST_LOGS]:
        click.echo(f"     | {line}")


def _show_coverage(coverage: Coverage, options: _Options) -> bool:
    """Prints the coverage; whether it is enough."""
    from headrace.project.cases.coverage import percent

    report = coverage.report()
    for each in report:
        click.echo(f"{each.type} {each.name}: {each.percent:.0f} % ({each.covered} of {each.total})")
        for line, missed in each.uncovered:
            click.echo(f"  {each.file}:{line}: {missed}")
    total = percent(report)
    click.echo(f"coverage: {total:.1f} %")
    if options.min_coverage is not None and total < options.min_coverage:
        note(f"the coverage is below {options.min_coverage:g} %")
        return False
    return True


def _sampled(options: _Options, folder: Path) -> Path:
    """Writes a case file with documents of an index. Raises Failure where it is there already."""
    from headrace.cli.project_target import client_of
    from headrace.project.cases import sample
    from headrace.project.files import TESTS

    index = options.from_index or ""
    path = folder / TESTS / f"{''.join(c if c.isalnum() or c in '._-' else '_' for c in index)}.cases.yaml"
    if path.exists():
        raise Failure(f"{path} exists already", hint="delete or rename it")
    with client_of(folder, options.against or options.variables or "", options.url) as client:
        documents: list[Any] = sample.fetch(client, index, options.sample, options.seed)
    if not documents:
        raise Failure(f"[{index}] shows no documents")
    if options.anonymise:
        documents = sample.Anonymiser(options.seed).value(documents)
    path.parent.mkdir(exist_ok=True)
    path.write_text(sample.case_file(index, documents))
    note(f"wrote {len(documents)} cases to {path}")
    return path


def _watch(options: _Options) -> int:
    """Runs the cases at each change until it is interrupted: the next change may mend what went wrong."""
    from headrace.cli.errors import failure_of
    from headrace.project import ProjectError
    from headrace.project.tools.watching import follow

    folder = _project_of(options.paths)

    def once(paths: set[str]) -> None:
        if paths:
            click.echo("")
        try:
            _run(options)
        except ProjectError as error:
            for problem in error.problems:
                _tell(str(problem), problem.hint)
        except Exception as error:
            if (failure := failure_of(error)) is None:
                raise
            _tell(f"error: {failure.reason}" + (f" ({failure.field})" if failure.field else ""), failure.hint)

    follow(folder, once)
    return ExitCode.OK


def _tell(text: str, hint: str) -> None:
    click.echo(text + (f"\nhint: {hint}" if hint else ""), err=True)


def _percent(_: click.Context, __: click.Parameter, value: str) -> float:
    """`10%` or `10` as a ratio."""
    try:
        found = float(value.removesuffix("%")) / 100
    except ValueError:
        raise click.BadParameter(f"[{value}] is not a percentage such as 10%") from None
    if found < 0:
        raise click.BadParameter("must not be negative")
    return found


@command(
    "Measure a UDF, and compare with a baseline.",
    example="headrace bench udfs/titles.py --input docs.ndjson --save baseline.json\n"
    "headrace bench udfs/titles.py --input docs.ndjson --baseline baseline.json --max-regression 10%",
)
@click.argument("file", metavar="UDF", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--input",
    "documents",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Documents, a JSON object on each line.",
)
@click.option("--params", default="{}", metavar="JSON", help="Parameters of the UDF, a JSON object.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the figures.")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Figures of --save to compare with.",
)
@click.option(
    "--max-regression", default="10%", show_default=True, callback=_percent, help="Fail if a figure is worse by more."
)
@output_option
def bench(
    file: Path,
    documents: Path,
    params: str,
    save: Path | None,
    baseline: Path | None,
    max_regression: float,
    output: str,
) -> int:
    """Shows microseconds for a document by the size of a batch, fuel, memory, and the start of a sandbox.

    Figures of one machine compare with those of the same machine only.
    """
    import msgspec

    from headrace.project import udf_file
    from headrace.project.tools import bench as benches

    try:
        given = msgspec.json.decode(params, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise click.BadParameter(f"is no JSON object: {error}", param_hint="--params") from None
    before = _figures(baseline) if baseline is not None else None
    lines = [line for line in documents.read_bytes().splitlines() if line.strip()]
    found = benches.measure(udf_file.load(file), lines, given)
    rows = [{"figure": f"µs/document, batches of {size}", "value": v} for size, v in found.microseconds.items()]
    rows += [
        {"figure": "fuel/document", "value": found.fuel},
        {"figure": "memory peak, bytes", "value": found.memory_peak},
        {"figure": "cold start, ms", "value": found.cold_start_ms},
    ]
    emit(rows, {"figure": "figure", "value": "value"}, output, msgspec.to_builtins(found))
    if save is not None:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if before is None:
        return ExitCode.OK
    worse = benches.regressions(before, found, max_regression)
    for each in worse:
        note(f"{each.figure}: {each.before:g} -> {each.after:g}, {each.change:+.0%}")
    return ExitCode.FAILED if worse else ExitCode.OK


def _figures(path: Path) -> Measurement:
    """What `--save` has written. Raises Failure."""
    import msgspec

    from headrace.project.tools.bench import Measurement

    try:
        return msgspec.json.decode(path.read_bytes(), type=Measurement)
    except msgspec.DecodeError as error:
        hint = "write it with `headrace bench --save`"
        raise Failure(f"{path} has no figures: {error}", hint=hint, code=ExitCode.USAGE) from None
