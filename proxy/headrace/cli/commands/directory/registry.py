"""`headrace diff`, `apply`, `export`, `history`, `rollback`, `sync`: a set of a proxy, and the directory it is in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import confirm, emit, note, output_option
from headrace.cli.project_target import client_of, project_of, remote_options, set_of, set_options, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.client import Client

FOLDER = click.argument("folder", default=".", metavar="[DIR]")
PRUNE = click.option("--prune", is_flag=True, help="Delete objects of the set that the directory does not have.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
WAIT_SECONDS = 60.0
"""Seconds that `--wait` waits at most by default."""


def _source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--commit` and `--by`."""
    commit = click.option("--commit", default="", help="The commit, by default that of git.")
    by = click.option("--by", default="", metavar="NAME", help="Who changes it, by default the user of git.")
    return commit(by(function))


def _waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--wait` and `--timeout`."""
    flag = click.option("--wait", "waits", is_flag=True, help="Wait until all workers have it in force.")
    seconds = click.option(
        "--timeout", type=float, default=WAIT_SECONDS, show_default=True, help="Maximum of seconds of --wait."
    )
    return flag(seconds(function))


@command(
    "Show what applying a directory would change.",
    example="headrace diff\nheadrace diff shop --target prod --prune -o json",
    exits=(ExitCode.DIFFERENCES, *REMOTE),
)
@FOLDER
@PRUNE
@output_option
@remote_options
def diff(folder: str, prune: bool, output: str, target: str, url: str) -> int:
    """Nothing is written. Changes that somebody made by hand are marked."""
    from headrace.cli import sets
    from headrace.client import ClientError

    project = project_of(Path(folder), target, url)
    body = sets.body_of(project, {}, prune=prune)
    with client_of(Path(folder), target, url) as client:
        try:
            answer = client.registry.diff(body)
        except ClientError as error:
            raise sets.failed(error, project) from None
    sets.emit_changes(answer, output, patches=True)
    return ExitCode.DIFFERENCES if sets.different(answer) else ExitCode.OK


@command(
    "Bring a directory in force, as a whole.",
    example="headrace apply\nheadrace apply shop --target prod --prune --yes --wait",
    exits=REMOTE,
)
@FOLDER
@PRUNE
@YES
@_waiting
@_source
@output_option
@remote_options
def apply(
    folder: str,
    prune: bool,
    yes: bool,
    waits: bool,
    timeout: float,
    commit: str,
    by: str,
    output: str,
    target: str,
    url: str,
) -> None:
    """Everything of the set changes at once, or nothing. Another change at the same time ends it with status 4.

    Before anything is deleted or detached, the command asks; without a terminal it needs --yes.
    """
    from headrace.cli import sets
    from headrace.client import ClientError

    path = Path(folder)
    project = project_of(path, target, url)
    body = sets.body_of(project, sets.source_of(path, commit, by), prune=prune)
    with client_of(path, target, url) as client:
        try:
            planned = client.registry.diff(body)
            if gone := sets.removed(planned):
                if output == "table":
                    sets.emit_changes(planned, output, patches=False)
                confirm(f"remove {', '.join(gone)}?", yes=yes)
            answer = client.registry.apply({**body, "expected": planned["revision"]})
        except ClientError as error:
            raise sets.failed(error, project) from None
        sets.emit_changes(answer, output, patches=False)
        note(f"the set {project.set} is at revision {answer['revision']}")
        if waits:
            sets.wait(client, project.set, answer["revision"], timeout)


@command(
    "Write a set as a project directory.",
    example="headrace export shop --set shop\nheadrace export shop --unmanaged",
    exits=REMOTE,
)
@click.argument("folder", metavar="DIR")
@click.option("--set", "name", default="", metavar="NAME", help="The set, by default that of the directory.")
@click.option("--unmanaged", is_flag=True, help="Write the objects that belong to no set.")
@PRUNE
@YES
@remote_options
def export(folder: str, name: str, unmanaged: bool, prune: bool, yes: bool, target: str, url: str) -> None:
    """A file whose object is the same stays as it is. Applying the directory again changes nothing."""
    from headrace.cli import sets
    from headrace.project import ProjectError
    from headrace.project.tools.writer import write

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    wanted = name or set_of(path)
    variables = variables_of(path, target, url)
    with client_of(path, target, url) as client:
        found = {**client.registry.export(None if unmanaged else wanted), "set": wanted}
    try:
        written = write(path, found, variables)
    except ProjectError as error:
        raise sets.shown_problems(error.problems) from None
    for file in written.files:
        click.echo(file)
    note(f"{len(written.files)} files written")
    if written.stale and prune:
        confirm(f"delete {', '.join(written.stale)}?", yes=yes)
        for file in written.stale:
            (path / file).unlink()
    elif written.stale:
        note(f"not in the set: {', '.join(written.stale)} (--prune deletes them)")


@command("Show the revisions of a set.", example="headrace history\nheadrace history --set shop -o json", exits=REMOTE)
@output_option
@set_options
def history(client: Client, name: str, output: str) -> None:
    """The newest first. A proxy keeps 50 of them."""
    found = client.registry.revisions(name)
    rows = [
        {
            **revision,
            "by": revision["source"].get("by") or revision.get("user"),
            "commit": revision["source"].get("commit", "")[:12],
            "changes": len(revision["changes"]),
        }
        for revision in found["revisions"]
    ]
    columns = {key: key for key in ("revision", "created", "action", "by", "commit", "changes")}
    emit(rows, {**columns, "in force": "in_force"}, output, found)


@command(
    "Bring an earlier revision of a set in force again.",
    example="headrace rollback --yes\nheadrace rollback 41 --set shop --yes --wait",
    exits=REMOTE,
)
@click.argument("revision", type=int, required=False)
@YES
@_waiting
@_source
@output_option
@set_options
def rollback(
    client: Client,
    name: str,
    revision: int | None,
    yes: bool,
    waits: bool,
    timeout: float,
    commit: str,
    by: str,
    output: str,
) -> None:
    """It becomes a new revision. Without REVISION it is the one before the present one."""
    from headrace.cli import sets

    found = client.registry.revisions(name)
    if revision is None:
        if len(found["revisions"]) < 2:
            raise Failure(f"the set {name} has no earlier revision")
        revision = int(found["revisions"][1]["revision"])
    confirm(f"bring revision {revision} of the set {name} in force in place of {found['revision']}?", yes=yes)
    source = {key: value for key, value in {"commit": commit, "by": by}.items() if value}
    answer = client.registry.rollback(name, revision, {"source": source, "expected": found["revision"]})
    sets.emit_changes(answer, output, patches=False)
    note(f"the set {name} is at revision {answer['revision']}")
    if waits:
        sets.wait(client, name, answer["revision"], timeout)


@command(
    "Apply a directory whenever it changes.",
    example="headrace sync --dir /git/pipelines --every 30s\nheadrace sync --dir . --once",
    exits=REMOTE,
)
@click.option("--dir", "folder", default=".", metavar="DIR", help="The project directory.")
@click.option("--every", default="30s", show_default=True, help="Time between two readings of the directory.")
@click.option("--once", is_flag=True, help="Apply it once and end, for a scheduled job.")
@PRUNE
@remote_options
def sync(folder: str, every: str, once: bool, prune: bool, target: str, url: str) -> None:
    """It runs beside a program that keeps the directory up to date, and applies what is new in it.

    A failed attempt is repeated with growing pauses. SIGTERM ends it between two attempts.
    """
    from headrace.cli.sync import Sync
    from headrace_pipelines import units

    seconds = units.seconds(every, "every")
    Sync(Path(folder), target, url, seconds, prune=prune).run(once=once)
