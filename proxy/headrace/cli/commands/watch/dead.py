"""`headrace dead`: documents that ended as errors, and their redrive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import Failure
from headrace.cli.output import confirm, emit, emit_data, note, output_option
from headrace.cli.target import target_options

if TYPE_CHECKING:
    from headrace.client import Client

STREAM = click.option("--stream", metavar="NAME", help="The data stream; default: headrace-dead-letters.")
COLUMNS = {
    "group": "group",
    "count": "count",
    "last": "last",
    "index": "target",
    "pipeline": "pipeline",
    "stage": "stage",
    "type": "type",
    "field": "field",
    "reason": "reason",
}
STATE_COLUMNS = {
    name: name for name in ("task", "state", "total", "indexed", "dropped", "conflict", "failed", "reason")
}
POLL_SECONDS = 0.5
"""Seconds between two questions for the state of a redrive."""


@click.group(short_help="List dead letters, and send them again.")
def dead() -> None:
    """Lists documents that ended as errors, sends them again, and deletes them."""


@command(
    "List dead letters by what failed.",
    example="headrace dead list\nheadrace dead list --index 'app-*' --since 1h",
    name="list",
    exits=REMOTE,
    group=dead,
)
@click.option("--index", help="Only documents for this index; `*` for any characters.")
@click.option("--pipeline", help="Only documents that met this pipeline.")
@click.option("--since", help="A time, or a duration such as 1h.")
@STREAM
@output_option
@target_options
def list_(client: Client, output: str, **filters: str | None) -> None:
    """Documents of a group failed alike: by type of error, stage, field and index."""
    found = client.dead_letters.list(**filters)
    rows = [{**group, **group.get("error", {})} for group in found["groups"]]
    emit(rows, COLUMNS, output, found)


@command("Print records with their documents.", example="headrace dead show 5a1f0c2e9d3b7a64", exits=REMOTE, group=dead)
@click.argument("name")
@click.option("--size", type=click.IntRange(1, 1000), help="The most records; default: 10.")
@STREAM
@output_option
@target_options
def show(client: Client, name: str, size: int | None, stream: str | None, output: str) -> None:
    """NAME is a group, or the id of a record. A table is no form of a record: `-o table` prints YAML."""
    found = client.dead_letters.get(name, size=size, stream=stream)
    if output == "name":
        for record in found["records"]:
            click.echo(record["_id"])
    else:
        emit_data(found["records"], "json" if output == "json" else "yaml")


@command(
    "Send documents again.",
    example="headrace dead redrive 5a1f0c2e9d3b7a64 --dry-run\nheadrace dead redrive 5a1f0c2e9d3b7a64",
    exits=REMOTE,
    group=dead,
)
@click.argument("group", required=False)
@click.option("--all", "every", is_flag=True, help="All records of the stream.")
@click.option("--id", "ids", multiple=True, help="A record; may be repeated.")
@click.option("--resume", metavar="TASK", help="A redrive that goes on where it was interrupted.")
@click.option("--pipeline", metavar="NAME", help="NAME, NAME@VERSION or `_none`; default: what is in force.")
@click.option("--overwrite", is_flag=True, help="Write over documents that are there.")
@click.option("--dry-run", is_flag=True, help="Run the pipelines, and write nothing.")
@click.option("--rate", type=click.IntRange(1, 10_000), help="The most documents a second; default: 500.")
@click.option("--max-docs", type=click.IntRange(1), help="The most documents.")
@click.option("--no-wait", is_flag=True, help="End once the task has begun.")
@STREAM
@output_option
@target_options
def redrive(client: Client, group: str | None, no_wait: bool, stream: str | None, output: str, **asked: Any) -> None:
    """They go through the pipelines in force, and a record is deleted once its document is there."""
    body = _body(group, **asked)
    state = client.dead_letters.redrive(body, stream=stream)
    if body.get("dry_run"):
        columns = {name: name for name in ("total", "examined", "indexed", "dropped", "failed")}
        emit([state], columns, output, state)
        return
    while state["state"] == "running" and not no_wait:
        time.sleep(POLL_SECONDS)
        state = client.dead_letters.task(state["task"], stream=stream)
    emit([state], STATE_COLUMNS, output, state)
    if state["state"] in ("failed", "interrupted"):
        raise Failure(
            f"the redrive is {state['state']}: {state['reason']}",
            hint=f"let it go on with `headrace dead redrive --resume {state['task']}`",
        )


def _body(
    group: str | None, *, every: bool, ids: tuple[str, ...], resume: str | None, **options: Any
) -> dict[str, Any]:
    """The body of a redrive."""
    chosen: dict[str, Any] = {
        "group": group,
        "ids": list(ids) or None,
        "query": {"match_all": {}} if every else None,
        "task": resume,
    }
    said = {name: value for name, value in chosen.items() if value is not None}
    if len(said) != 1:
        raise click.UsageError("name one of GROUP, --id, --all and --resume")
    return said | {name: value for name, value in options.items() if value}


@command(
    "Delete the records of a group.", example="headrace dead drop 5a1f0c2e9d3b7a64 --yes", exits=REMOTE, group=dead
)
@click.argument("group")
@click.option("--yes", is_flag=True, help="Do not ask.")
@STREAM
@target_options
def drop(client: Client, group: str, yes: bool, stream: str | None) -> None:
    """Their documents are lost."""
    confirm(f"delete the records of the group {group}?", yes=yes)
    deleted = client.dead_letters.delete(group, stream=stream)["deleted"]
    note(f"deleted {deleted} records")


@command(
    "Make the stream of dead letters in the cluster.", example="headrace dead setup --days 30", exits=REMOTE, group=dead
)
@click.option("--days", type=click.IntRange(1), default=14, show_default=True, help="The age at which records go.")
@STREAM
@target_options
def setup(client: Client, days: int, stream: str | None) -> None:
    """Stores the index template and the ISM policy, and makes the data stream. Needs the rights for that."""
    from headrace.client import ClientError
    from headrace.protocol.indices import dead_letters
    from headrace_pipelines.definition import DEAD_LETTERS

    name = stream or DEAD_LETTERS
    client.request("PUT", f"/_index_template/{name}", body=dead_letters.template(name))
    note(f"stored the index template {name}")
    for path, body, what in (
        (f"/_plugins/_ism/policies/{name}", dead_letters.policy(name, days), "the ISM policy"),
        (f"/_data_stream/{name}", None, "the data stream"),
    ):
        try:
            client.request("PUT", path, body=body)
        except ClientError as error:
            if error.status == 409 or "already_exists" in str(error) or "already exists" in str(error):
                note(f"{what} {name} is there")
            elif "_ism" in path and error.status in (400, 404, 405):
                note("the cluster has no index state management: delete old records yourself")
            else:
                raise
        else:
            note(f"made {what} {name}")
