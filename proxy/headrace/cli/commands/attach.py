"""`headrace attach`, `detach` and `resolve`: which pipelines run on which indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import Failure
from headrace.cli.output import confirm, emit, note, output_option
from headrace.cli.target import PIPELINE_TYPES, completed, index_names, pipeline_names, target_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.client import Client

FORCE = click.option("--force", is_flag=True, help="Change what a set from git manages.")


def _pattern_names(client: Client) -> list[str]:
    return [found["pattern"] for found in client.associations.list()["associations"]]


def _slots(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--document`, `--final-document` and so on."""
    for kind in reversed(PIPELINE_TYPES):
        for final in (True, False):
            name = f"--final-{kind}" if final else f"--{kind}"
            slot = "final" if final else "default"
            option = click.option(
                name, metavar="NAME", help=f"The {slot} {kind} pipeline.", shell_complete=completed(pipeline_names)
            )
            function = option(function)
    return function


@command(
    "Attach pipelines to the indexes of a pattern.",
    example="headrace attach 'app-*' --document logs --final-query tenants",
    exits=REMOTE,
)
@click.argument("pattern", shell_complete=completed(_pattern_names))
@_slots
@click.option("--priority", type=int, help="The highest of the patterns that match an index wins.")
@click.option("--dead-letters", metavar="STREAM", help="The stream for documents that fail. `_none`: none is kept.")
@click.option(
    "--dead-letters-answer",
    type=click.Choice(["error", "accepted"]),
    help="The answer for a document that is kept there.",
)
@FORCE
@target_options
def attach(
    client: Client,
    pattern: str,
    priority: int | None,
    dead_letters: str | None,
    dead_letters_answer: str | None,
    force: bool,
    **slots: str | None,
) -> None:
    """What is not named stays as it is attached. `_none` says that no pipeline runs."""
    from headrace.client import ClientError

    try:
        association = {**client.associations.get(pattern)}
    except ClientError as error:
        if error.status != 404:
            raise
        association = {}
    dead = _dead_letters(association.get("dead_letters"), dead_letters, dead_letters_answer)
    if priority is None and not (dead_letters or dead_letters_answer) and not any(slots.values()):
        raise Failure("nothing to attach", hint="name a pipeline, such as --document NAME")
    body = _changed(association, priority, slots)
    if dead is not None:
        body["dead_letters"] = dead
    client.associations.put(pattern, body, **({"force": True} if force else {}))
    note(f"attached to {pattern}")


def _changed(association: dict[str, Any], priority: int | None, slots: dict[str, str | None]) -> dict[str, Any]:
    """The association with the pipelines of the command line in it."""
    body: dict[str, Any] = {"priority": association.get("priority", 0) if priority is None else priority}
    for kind in PIPELINE_TYPES:
        before = association.get(kind) or {}
        found = {"default_pipeline": before} if isinstance(before, str) else dict(before)
        for slot, name in (("default_pipeline", slots[kind]), ("final_pipeline", slots[f"final_{kind}"])):
            if name:
                found[slot] = name
        if found:
            body[kind] = found
    return body


def _dead_letters(before: dict[str, Any] | None, stream: str | None, answer: str | None) -> dict[str, Any] | None:
    """The dead letters of the association with those of the command line in them."""
    if stream == "_none":
        return {"on": []}
    said = {name: value for name, value in (("stream", stream), ("answer", answer)) if value is not None}
    if not said:
        return before
    return {name: value for name, value in (before or {}).items() if name != "on" or value} | said


@command("Remove what is attached to a pattern.", example="headrace detach 'app-*' --yes", exits=REMOTE)
@click.argument("pattern", shell_complete=completed(_pattern_names))
@FORCE
@click.option("--yes", is_flag=True, help="Do not ask.")
@target_options
def detach(client: Client, pattern: str, force: bool, yes: bool) -> None:
    """Indexes and templates keep what their own settings attach."""
    confirm(f"remove what is attached to {pattern}?", yes=yes)
    client.associations.delete(pattern, **({"force": True} if force else {}))
    note(f"detached from {pattern}")


@command(
    "Show which pipelines run on an index, and why.",
    example="headrace resolve app-1\nheadrace resolve 'app-*' -o json",
    exits=REMOTE,
)
@click.argument("index", shell_complete=completed(index_names))
@output_option
@target_options
def resolve(client: Client, index: str, output: str) -> None:
    """SOURCE says what attaches it: the index, its template, a pattern, or a default of the proxy."""
    found = client.associations.resolve(index)
    rows = [
        {"index": name, "type": kind, "slot": slot, **attached}
        for name, kinds in found.items()
        for kind, slots in kinds.items()
        for slot, attached in slots.items()
    ]
    columns = {key: key for key in ("index", "type", "slot", "pipeline", "version", "enabled", "source", "by")}
    emit(rows, columns, output, found, name="pipeline")
