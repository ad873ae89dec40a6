"""`headrace pipeline`: the pipelines of a target."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import confirm, emit, emit_data, note, output_option
from headrace.cli.target import PIPELINE_TYPES, completed, pipeline_names, target_options

if TYPE_CHECKING:
    from headrace.client import Client

TYPE = click.option(
    "--type", "kind", type=click.Choice(PIPELINE_TYPES), help="The type, where pipelines of several have the name."
)
YES = click.option("--yes", is_flag=True, help="Do not ask before a version that is switched off becomes active.")
FORCE = click.option("--force", is_flag=True, help="Change what a set from git manages.")
NAME = click.argument("name", shell_complete=completed(pipeline_names))
STATS_COLUMNS = {
    "name": "name",
    "version": "version",
    "stage": "stage",
    "runs": "executions",
    "documents": "documents_in",
    "dropped": "documents_dropped",
    "failed": "failures",
    "p50 ms": "p50_duration_ms",
    "p99 ms": "p99_duration_ms",
    "fuel": "fuel",
}
VERSION_COLUMNS = {"version": "version", "active": "active", "enabled": "enabled", "created": "created"}
LIST_COLUMNS = {"name": "name", "type": "type", "active": "version", "enabled": "enabled", "updated": "updated"}


@click.group(short_help="List, store, run and change pipelines.")
def pipeline() -> None:
    """Lists, stores, runs and changes the pipelines of a target."""


def _forced(force: bool) -> dict[str, Any]:
    return {"force": True} if force else {}


def read_document(file: str) -> Any:
    """The content of a JSON or YAML file, or of standard input for `-`. Raises ProjectError with line and column."""
    from headrace.project.source import Source

    if file == "-":
        return Source.parse(sys.stdin.read(), "standard input").value
    return Source.read(Path(file), file).value


@command(
    "List the pipelines.",
    example="headrace pipeline list\nheadrace pipeline list --type query -o name",
    name="list",
    exits=REMOTE,
    group=pipeline,
)
@click.option("--type", "kind", type=click.Choice(PIPELINE_TYPES), help="Only those of this type.")
@output_option
@target_options
def list_(client: Client, kind: str | None, output: str) -> None:
    """Shows the active version of each."""
    found = client.pipelines.list(type=kind)
    emit(found["pipelines"], LIST_COLUMNS, output, found)


@command("Print a definition.", example="headrace pipeline get logs -o yaml", exits=REMOTE, group=pipeline)
@NAME
@click.option("--version", help="A version; the active one without it.")
@TYPE
@output_option
@target_options
def get(client: Client, name: str, version: str | None, kind: str | None, output: str) -> None:
    """A table is no form of a definition: `-o table` prints YAML."""
    found = client.pipelines.get(name, version=version, type=kind)
    if output == "name":
        click.echo(found["name"])
    else:
        emit_data(found, "json" if output == "json" else "yaml")


@command(
    "Store a definition and make it active.",
    example="headrace pipeline put logs logs.yaml\nheadrace pipeline put logs logs.yaml --no-activate",
    exits=REMOTE,
    group=pipeline,
)
@NAME
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--no-activate", is_flag=True, help="Store it beside the active version, for a rollout.")
@FORCE
@output_option
@target_options
def put(client: Client, name: str, file: str, no_activate: bool, force: bool, output: str) -> None:
    """FILE is JSON or YAML, such as `headrace pipeline get` prints; `-` reads standard input."""
    given = read_document(file)
    if isinstance(given, dict):
        given = {key: value for key, value in given.items() if key not in _ADDED}
    beside = {"activate": False} if no_activate else {}
    stored = client.pipelines.put(name, given, **_forced(force), **beside)
    emit([dict(stored)], {"name": "name", "version": "version", "type": "type"}, output, stored)


@command("Delete a pipeline or a version of it.", example="headrace pipeline delete logs", exits=REMOTE, group=pipeline)
@NAME
@click.option("--version", help="A version; all of them without it.")
@TYPE
@FORCE
@click.option("--yes", is_flag=True, help="Do not ask.")
@target_options
def delete(client: Client, name: str, version: str | None, kind: str | None, force: bool, yes: bool) -> None:
    """A pipeline that is attached stays, and the error names what uses it."""
    confirm(f"delete the pipeline {name}{f'@{version}' if version else ''}?", yes=yes)
    client.pipelines.delete(name, version=version, type=kind, **_forced(force))
    note(f"deleted {name}{f'@{version}' if version else ''}")


@command("List the versions of a pipeline.", example="headrace pipeline versions logs", exits=REMOTE, group=pipeline)
@NAME
@TYPE
@output_option
@target_options
def versions(client: Client, name: str, kind: str | None, output: str) -> None:
    """Shows when each was stored, which is active, and which are switched off."""
    found = client.pipelines.versions(name, type=kind)
    emit(found["versions"], VERSION_COLUMNS, output, found)


@command(
    "Compare two versions.",
    example="headrace pipeline diff logs 3 4",
    exits=(ExitCode.DIFFERENCES, *REMOTE),
    group=pipeline,
)
@NAME
@click.argument("old")
@click.argument("new")
@TYPE
@output_option
@target_options
def diff(client: Client, name: str, old: str, new: str, kind: str | None, output: str) -> int:
    """Prints a unified difference of both as YAML; with `-o json` a JSON patch. Exit status 3: they differ."""
    left, right = (_content(client.pipelines.get(name, version=version, type=kind)) for version in (old, new))
    if output in ("json", "yaml"):
        import jsonpatch

        emit_data(jsonpatch.make_patch(left, right).patch, output)
    else:
        show_difference(left, right, f"{name}@{old}", f"{name}@{new}")
    return ExitCode.OK if left == right else ExitCode.DIFFERENCES


_ADDED = ("created", "updated", "active", "fault", "managed_by")
"""Members that the registry adds to a definition, and refuses in one."""


def _content(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in (*_ADDED, "version", "name")}


def show_difference(left: Any, right: Any, old: str, new: str) -> None:
    """Prints the unified difference of two values as YAML, in colour on a terminal."""
    import difflib

    import msgspec

    before, after = (msgspec.yaml.encode(value).decode().splitlines() for value in (left, right))
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(before, after, old, new, lineterm=""):
        click.echo(click.style(line, fg=colours.get(line[:1])))


def _activated(client: Client, name: str, version: dict[str, Any], kind: str | None, force: bool, yes: bool) -> None:
    """Makes a version active, after a question where this switches the pipeline off."""
    label, enabled = f"{name}@{version['version']}", version.get("enabled", True)
    if not enabled:
        note(f"{label} is switched off: what {name} is attached to would run nothing of it")
        confirm(f"make {label} active, which is switched off?", yes=yes)
    client.pipelines.activate(name, version["version"], type=kind, **_forced(force))
    note(f"{label} is active" + ("" if enabled else ", and switched off: it runs nothing"))


@command("Make a version active.", example="headrace pipeline activate logs 3", exits=REMOTE, group=pipeline)
@NAME
@click.argument("version")
@TYPE
@FORCE
@YES
@target_options
def activate(client: Client, name: str, version: str, kind: str | None, force: bool, yes: bool) -> None:
    """All proxies run it within the poll interval of the registry."""
    found = client.pipelines.versions(name, type=kind)["versions"]
    wanted = next((each for each in found if each["version"] == version), {"version": version})
    _activated(client, name, dict(wanted), kind, force, yes)


@command(
    "Make an earlier version active.",
    example="headrace pipeline rollback logs\nheadrace pipeline rollback logs 3",
    exits=REMOTE,
    group=pipeline,
)
@NAME
@click.argument("version", required=False)
@TYPE
@FORCE
@YES
@target_options
def rollback(client: Client, name: str, version: str | None, kind: str | None, force: bool, yes: bool) -> None:
    """Without VERSION: the last one before the active one that is not switched off.

    Versions are in the order in which they were stored.
    """
    found = [dict(each) for each in client.pipelines.versions(name, type=kind)["versions"]]
    active = next((i for i, each in enumerate(found) if each["active"]), 0)
    earlier = [each for each in found[:active][::-1] if version in (None, each["version"])]
    if not earlier:
        raise Failure(
            f"{name} has no version {f'[{version}] ' if version else ''}before the active one",
            hint=f"headrace pipeline versions {name}",
        )
    wanted = next((each for each in earlier if each.get("enabled", True)), earlier[0])
    if passed := [each["version"] for each in earlier[: earlier.index(wanted)]]:
        note(f"passed over, since switched off: {', '.join(f'{name}@{each}' for each in passed)}")
    _activated(client, name, wanted, kind, force, yes)


@command("Print the statistics of pipelines.", example="headrace pipeline stats logs", exits=REMOTE, group=pipeline)
@click.argument("name", required=False, shell_complete=completed(pipeline_names))
@output_option
@target_options
def stats(client: Client, name: str | None, output: str) -> None:
    """Counts, percentiles and the last errors since the start of the proxy, for each stage."""
    found = client.pipelines.stats(name)
    rows = [row for counts in (found["pipelines"] if name is None else [found]) for row in _stats_rows(counts)]
    emit(rows, STATS_COLUMNS, output, found)


def _stats_rows(counts: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of the pipeline, and those of its stages."""
    head = {**counts, "executions": counts["total_executions"], "failures": counts["documents_failed"]}
    return [head, *({**stage, "name": "", "stage": stage["name"]} for stage in counts["stage_stats"])]


def _switched(client: Client, name: str, kind: str | None, force: bool, *, enabled: bool) -> None:
    definition = _content(client.pipelines.get(name, type=kind))
    definition["enabled"] = enabled
    stored = client.pipelines.put(name, definition, **_forced(force))
    note(f"{name}@{stored['version']} is {'enabled' if enabled else 'disabled'}")


@command("Let a pipeline run again.", example="headrace pipeline enable logs", exits=REMOTE, group=pipeline)
@NAME
@TYPE
@FORCE
@target_options
def enable(client: Client, name: str, kind: str | None, force: bool) -> None:
    """Stores a version that is enabled, and makes it active."""
    _switched(client, name, kind, force, enabled=True)


@command("Keep a pipeline from running.", example="headrace pipeline disable logs", exits=REMOTE, group=pipeline)
@NAME
@TYPE
@FORCE
@target_options
def disable(client: Client, name: str, kind: str | None, force: bool) -> None:
    """Stores a version that is disabled: what is attached stays attached and does not run."""
    _switched(client, name, kind, force, enabled=False)
