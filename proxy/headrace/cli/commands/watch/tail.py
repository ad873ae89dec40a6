"""`headrace tail`: documents, queries and results as they change, live."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, STREAM_OUTPUT, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import note, printable
from headrace.cli.target import PIPELINE_TYPES, TARGET, completed, connect, pipeline_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.client import Client

OUTCOMES = ("changed", "unchanged", "dropped", "failed", "skipped", "slow")
COLOURS = {
    "changed": "green",
    "success": "green",
    "dropped": "magenta",
    "failed": "red",
    "error": "red",
    "skipped": "yellow",
}
OPERATIONS = {"add": "green", "remove": "red", "replace": "cyan"}


@command(
    "Watch documents, queries and results change, live.",
    example="headrace tail --index 'app-*'\n"
    "headrace tail --pipeline logs --errors -o json\n"
    "headrace tail --pipeline logs --limit 20 --save tests/logs.cases.yaml",
    exits=REMOTE,
)
@click.option("--pipeline", metavar="NAME", help="A pipeline, or a pattern.", shell_complete=completed(pipeline_names))
@click.option("--index", metavar="PATTERN", help="Names or patterns of indexes, separated by commas.")
@click.option("--surface", metavar="NAME", help=f"{', '.join(PIPELINE_TYPES)}, or a surface such as bulk.")
@click.option("--match", metavar="CEL", help="Only inputs that meet a condition, as in `if` of a stage.")
@click.option("--outcome", multiple=True, type=click.Choice(OUTCOMES), help="Only these outcomes.")
@click.option("--errors", is_flag=True, help="Only failures; the same as --outcome failed.")
@click.option("--slow", metavar="TIME", help="Only runs that take this long, such as 50ms.")
@click.option("--hide", multiple=True, metavar="FIELD", help="A field that is not shown, beside those of masks.")
@click.option("--stages", type=click.Choice(("none", "patch", "full")), help="How much is shown of each stage.")
@click.option("--per-second", type=click.IntRange(1, 1000), help="Maximum of records a second; 5 without it.")
@click.option("--limit", type=click.IntRange(1), help="End after so many records.")
@click.option("--duration", default="10m", show_default=True, metavar="TIME", help="End after this time.")
@STREAM_OUTPUT
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the records as test cases."
)
@TARGET
@click.option("--url", multiple=True, metavar="URL", help="The address of a proxy; of each replica one.")
def tail(
    target: str, url: tuple[str, ...], output: str, save: Path | None, errors: bool, slow: str | None, **options: Any
) -> int:
    """Shows the input of each pipeline, what each stage changes, and the end. Traffic is not changed by it.

    Needs the rights of an administrator, and the right to read the index. Ctrl-C ends it.
    """
    if save is not None and not options["pipeline"]:
        raise click.UsageError("--save needs --pipeline: a file of cases is about one pipeline")
    if save is not None and save.exists():
        raise Failure(f"{save} exists already", hint="delete or rename it")
    selection = {name: value for name, value in options.items() if value not in (None, ())}
    outcome = [*options["outcome"], *(["failed"] if errors else []), *(["slow"] if slow else [])]
    selection |= {"outcome": outcome} if outcome else {}
    selection |= {"slow": slow} if slow else {}
    clients = [connect(target, each) for each in url or ("",)]
    if options["pipeline"]:
        _require_pipeline(clients[0], options["pipeline"])
    kept: list[dict[str, Any]] = []
    failure = ""
    try:
        for name, record in _merged(clients, selection):
            if record.get("end") == "error":
                failure = record["error"]["reason"]
                break
            if "end" in record:
                _show_end(name if len(clients) > 1 else "", record)
                continue
            if save is not None:
                kept.append(record)
            _show(record, output)
    except KeyboardInterrupt:
        note("")
    if save is not None:
        _save(save, kept)
    if failure:
        raise Failure(f"the tap has ended: {failure}")
    return ExitCode.OK


def _require_pipeline(client: Client, name: str) -> None:
    """Raises Failure where the proxy has no pipeline of a name: a tap would wait for it. A pattern may fit later."""
    if any(character in name for character in "*?,"):
        return
    rows = client.request("GET", "/_cat/pipelines", params={"format": "json", "h": "name"})
    names = sorted({row["name"] for row in rows})
    if name not in names:
        from headrace_pipelines.errors.validation import nearest

        near = nearest(name, names)
        hint = f"did you mean [{near}]?" if near else "`headrace pipeline list` shows those that there are"
        raise Failure(f"there is no pipeline [{name}]", "pipeline", hint)


def _merged(clients: list[Client], selection: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of all proxies as they come, with the address of each. Raises the error of the first that fails."""
    if len(clients) == 1:
        yield from ((clients[0].target.url, record) for record in clients[0].tap(selection))
        return
    found: queue.Queue[tuple[str, dict[str, Any] | Exception | None]] = queue.Queue(1024)

    def read(client: Client) -> None:
        try:
            for record in client.tap(selection):
                found.put((client.target.url, record))
            found.put((client.target.url, None))
        except Exception as error:  # noqa: BLE001 - raised by the reader of the queue
            found.put((client.target.url, error))

    for client in clients:
        threading.Thread(target=read, args=(client,), daemon=True).start()
    running = len(clients)
    while running:
        url, record = found.get()
        if isinstance(record, Exception):
            raise record
        if record is None:
            running -= 1
        else:
            yield url, record


def _text(value: Any) -> str:
    """JSON; a Decimal is a number."""
    import msgspec

    return msgspec.json.Encoder(decimal_format="number").encode(value).decode()


def _show(record: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(_text(record))
        return
    where = f"{record['index'] or ''}/{record['id']}" if record["id"] else record["index"] or ""
    final = " (final)" if record["final"] else ""
    outcome = click.style(record["outcome"], fg=COLOURS.get(record["outcome"]), bold=True)
    differs = f" rerun: {record['rerun']}" if "rerun" in record else ""
    click.echo(
        f"{record['ts'][11:23]} {record['surface']} {printable(where, keep='')} "
        f"{click.style(record['pipeline'] + '@' + record['version'], bold=True)}{final} {outcome} "
        f"{record['ms']:g} ms{differs}{' truncated' if record.get('truncated') else ''}"
    )
    for stage in record["stages"] or []:
        _show_stage(stage)
    if record.get("hits"):
        click.echo(f"    hits: {_counts(record['hits'])}")
    if record["error"]:
        error = record["error"]
        click.echo(f"    {click.style(error['type'], fg='red')}: {printable(error['reason'], keep='')}")
    if record.get("hidden"):
        click.echo(f"    hidden: {printable(', '.join(record['hidden']), keep='')}")


def _show_stage(stage: dict[str, Any]) -> None:
    took = f" {stage['ms']:g} ms" if "ms" in stage else ""
    reason = stage.get("reason") or stage.get("error", {}).get("reason", "")
    status = click.style(stage["status"], fg=COLOURS.get(stage["status"]))
    click.echo(
        f"  {printable(stage['name'], keep=''):<20} {status}{took}{'  ' + printable(reason, keep='') if reason else ''}"
    )
    for change in stage.get("patch") or []:
        value = f" {_text(change['value'])}" if "value" in change else ""
        text = printable(f"{change['op']} {change['path']}{value}", keep="")
        click.echo(f"    {click.style(text, fg=OPERATIONS.get(change['op']))}")
    if stage.get("hits"):
        click.echo(f"    hits: {_counts(stage['hits'])}")


def _counts(hits: dict[str, int]) -> str:
    return f"{hits['before']} before, {hits['removed']} removed, {hits['changed']} changed, {hits['added']} added"


def _show_end(url: str, end: dict[str, Any]) -> None:
    rest = "".join(
        f", {end[name]} {word}"
        for name, word in (
            ("missed", "missed"),
            ("unexamined", "not examined"),
            ("refused", "without the right to read"),
        )
        if end[name]
    )
    note(f"{f'{url}: ' if url else ''}{end['shown']} shown of {end['seen']} seen{rest}")


def _save(path: Path, records: list[dict[str, Any]]) -> None:
    """Writes the test cases. Raises Failure where no record can be one."""
    from headrace.project.cases import tapped

    names = sorted({record["pipeline"] for record in records})
    if len(names) > 1:
        raise Failure(f"the records are of several pipelines: {', '.join(names)}", hint="name one with --pipeline")
    text, count = tapped.case_file(names[0], records) if names else ("", 0)
    if not count:
        raise Failure(f"none of {len(records)} records can be a test case; nothing was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    note(
        f"wrote {count} cases to {path}"
        + (f", {len(records) - count} records cannot be cases" if count < len(records) else "")
    )
    if hint := _missing_in_project(path, names[0]):
        note(f"hint: {hint}")


def _missing_in_project(path: Path, name: str) -> str:
    """What to do where `headrace test` cannot run a case file, as no project has its pipeline; empty where one has."""
    from headrace.project import Project, ProjectError
    from headrace.project.project import root_of

    root = root_of(path.parent)
    if root is None:
        return (
            "the file is in no project directory: write one with `headrace init`, and its pipelines with "
            "`headrace export`; `headrace test --against URL` runs cases on what a proxy stores"
        )
    try:
        has = any(each.name == name for each in Project.load(root).files.pipelines)
    except ProjectError:
        return ""
    export = "`headrace export` writes those of a set of the proxy, with --unmanaged those of none"
    return "" if has else f"the project directory has no pipeline [{name}]: {export}"
