"""`headrace pipeline execute`: a trial run of a pipeline over a file, with what each stage changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.commands.pipeline import pipeline, read_document
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import emit_data, output_option, printable
from headrace.cli.target import completed, pipeline_names, target_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.client import Client

COLOURS = {"success": "green", "skipped": "yellow", "error": "red"}


@command(
    "Run a pipeline over a file, without indexing anything.",
    example="headrace pipeline execute logs docs.ndjson\n"
    "headrace pipeline execute logs doc.json --definition logs.yaml",
    exits=REMOTE,
    group=pipeline,
)
@click.argument("name", shell_complete=completed(pipeline_names))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--definition", metavar="FILE", help="Run this definition in place of the stored one.")
@click.option("--version", help="A version; the active one without it.")
@output_option
@target_options
def execute(client: Client, name: str, file: str, definition: str | None, version: str | None, output: str) -> ExitCode:
    """FILE has one JSON value, or one on each line: documents, search bodies or responses. `-` reads standard input.

    Shows for every stage its status, its time and the changes as a JSON patch. The exit status is 1 where a run fails.
    """
    unsaved = read_document(definition) if definition else None
    kind = (unsaved or client.pipelines.get(name, version=version))["type"]
    results = [_run(client, name, unsaved, kind, value, version) for value in _values(file)]
    if output == "table":
        for value, result in results:
            _show(value, result)
    else:
        emit_data([result for _, result in results], "yaml" if output == "yaml" else "json")
    return ExitCode.FAILED if any("error" in result for _, result in results) else ExitCode.OK


def _values(file: str) -> list[Any]:
    """The JSON values of a file. Raises Failure with the line of what is none."""
    import msgspec

    text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    try:
        return [msgspec.json.decode(text)]
    except msgspec.DecodeError:
        pass
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line))
            except msgspec.DecodeError as error:
                raise Failure(f"{file}:{number}: {error}") from None
    return found


def _run(
    client: Client, name: str, unsaved: Any, kind: str, value: Any, version: str | None
) -> tuple[Any, dict[str, Any]]:
    body: dict[str, Any] = {"verbose": True}
    if kind == "document":
        body["docs"] = [{"_source": value}]
    else:
        body["input"] = value
    if unsaved is not None:
        body["pipeline"] = {"name": name, **unsaved}
    answer: dict[str, Any] = dict(client.pipelines.execute(None if unsaved else name, body, version=version))
    return value, answer["docs"][0] if kind == "document" else answer


def _show(value: Any, result: dict[str, Any]) -> None:
    """Prints the stages of a run, and its end."""
    import msgspec

    before = value
    for stage in result.get("stage_results", []):
        status = stage["status"]
        took = f"  {stage['duration_ms']:.3f} ms" if "duration_ms" in stage else ""
        reason = stage.get("reason") or stage.get("error", {}).get("reason", "")
        click.echo(
            f"{stage['stage']:<20} {click.style(status, fg=COLOURS.get(status))}{took}{'  ' + reason if reason else ''}"
        )
        for line in _changes(before, stage.get("output", before)):
            click.echo(f"    {line}")
        before = stage.get("output", before)
    if "error" in result:
        click.echo(f"{click.style('failed', fg='red')}: {printable(result['error']['reason'])}")
    elif result.get("filtered"):
        click.echo("dropped")
    else:
        final = result.get("docs") or result.get("doc") or result.get("output")
        click.echo(msgspec.json.encode(final).decode())


def _changes(before: Any, after: Any) -> Iterator[str]:
    """The operations of a JSON patch, a line for each."""
    import jsonpatch
    import msgspec

    if not (isinstance(before, dict | list) and isinstance(after, dict | list)):
        return
    for change in jsonpatch.make_patch(before, after).patch:
        value = f" {msgspec.json.encode(change['value']).decode()}" if "value" in change else ""
        moved = f" from {change['from']}" if "from" in change else ""
        yield f"{change['op']} {change['path']}{moved}{value}"
