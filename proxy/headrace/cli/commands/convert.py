"""`headrace import`: pipelines of the cluster, and configurations of other programs, as pipelines of Headrace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.output import emit, note, output_option, printable
from headrace.cli.target import TARGET, URL, connect

if TYPE_CHECKING:
    from headrace.project.tools.migration import Conversion

CLUSTER = ("ingest", "search")
OTHERS = ("logstash", "vector", "infini")


@command(
    "Convert pipelines of the cluster, Logstash, Vector or INFINI.",
    example="headrace import ingest access-logs --as logs\n"
    "headrace import ingest pipeline.json --to .\n"
    "headrace import logstash apache.conf --as access --to . --report report.json",
    exits=REMOTE,
    name="import",
)
@click.argument("kind", type=click.Choice([*CLUSTER, *OTHERS]))
@click.argument("source", metavar="SRC")
@click.option("--as", "name", default="", metavar="NAME", help="The name of the new pipeline; of the file by default.")
@click.option("--to", "folder", default=None, metavar="DIR", help="Write DIR/pipelines/NAME.yaml in place of printing.")
@click.option("--report", default=None, metavar="FILE", help="Write the report as JSON.")
@click.option("--partial", is_flag=True, help="Succeed although parts are not converted.")
@TARGET
@URL
@output_option
def convert(
    kind: str,
    source: str,
    name: str,
    folder: str | None,
    report: str | None,
    target: str,
    url: str,
    output: str,
    *,
    partial: bool,
) -> None:
    """Converts the file SRC without a proxy, and reports what happened to each part of it.

    With `ingest` and `search`, SRC may also be the name of a pipeline of the cluster. It is read with your
    credentials, converted and stored. An error names the part that cannot be converted; then nothing is stored.
    """
    from headrace.cli.errors import Failure

    if kind in CLUSTER and not Path(source).is_file():
        _from_cluster(kind, source, name, target, url, output)
        return
    name = name or Path(source).name.partition(".")[0]
    _check_name(name)
    converted = _converted(kind, Path(source), name)
    _write(converted, name, folder)
    _report(converted, source, report)
    left = sum(each.status != "converted" for each in converted.findings)
    if left and not partial:
        hint = "write them by hand, at the comments of the pipeline; --partial accepts the rest"
        raise Failure(f"{left} of {len(converted.findings)} parts are not converted", hint=hint)


def _from_cluster(kind: str, source: str, name: str, target: str, url: str, output: str) -> None:
    from headrace.cli.errors import ExitCode, Failure

    if not name:
        reason = "a pipeline of the cluster needs a name here"
        raise Failure(reason, hint="pass --as NAME, or a file", code=ExitCode.USAGE)
    with connect(target, url) as client:
        found = client.pipelines.convert({kind: source, "name": name})
    emit(found["pipelines"], {"name": "name", "version": "version", "type": "type"}, output, found)


def _check_name(name: str) -> None:
    """Raises Failure for a name that no pipeline may have: it is the name of a file, too."""
    from headrace.cli.errors import ExitCode, Failure
    from headrace_pipelines.definition import check_name
    from headrace_pipelines.errors import InvalidError

    try:
        check_name(name)
    except InvalidError as error:
        raise Failure(error.reason, hint="pass another name with --as", code=ExitCode.USAGE) from None
    if name.startswith("."):
        raise Failure(f"[{name}] begins with a dot", hint="pass another name with --as", code=ExitCode.USAGE)


def _converted(kind: str, path: Path, name: str) -> Conversion:
    from headrace.cli.errors import Failure
    from headrace.project.source import read_text
    from headrace.project.tools import migration

    try:
        return migration.convert(kind, read_text(path, str(path)))
    except migration.MigrationError as error:
        raise Failure(f"{path}:{error.line}: {error.reason}") from None


def _write(converted: Conversion, name: str, folder: str | None) -> None:
    """Prints the pipelines, or writes them over no file."""
    from headrace.cli.errors import Failure
    from headrace.project.tools import migration

    texts = migration.texts(converted, name)
    if folder is None:
        click.echo("---\n".join(texts.values()), nl=False)
        return
    paths = {Path(folder) / "pipelines" / f"{file}.yaml": text for file, text in texts.items()}
    for path in paths:
        if path.exists() or path.parent.is_symlink():
            raise Failure("the file exists and stays as it is", str(path), hint="pass another name with --as")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))


def _report(converted: Conversion, source: str, file: str | None) -> None:
    import msgspec

    for each in converted.findings:
        note(printable(each.text(source), keep=""))
    if file is not None:
        body: dict[str, Any] = {"file": source, "parts": converted.findings}
        Path(file).write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n")
