"""Sets on the command line: what is sent, how changes and errors are shown, and waiting until all workers have them."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import click

from headrace.cli.errors import ExitCode, Failure, failure_of
from headrace.cli.output import emit, emit_data, note, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from headrace.client import Client, ClientError
    from headrace.project import Problem, Project

GIT_SECONDS = 10.0
"""Seconds for an answer of git: it reads a few files."""
WAIT_PAUSE = 0.2
"""Seconds between two questions to a proxy whose workers are waited for."""
LONGEST_VALUE = 200
"""Characters of a value in a table of changes."""
SIGNS = {"create": "+", "update": "~", "activate": "~", "delete": "-", "detach": "-", "unchanged": " "}
COLOURS = {"+": "green", "~": "yellow", "-": "red"}
COLUMNS = {key: key for key in ("action", "kind", "type", "name", "from", "to", "note")}


def source_of(folder: Path, commit: str = "", by: str = "") -> dict[str, str]:
    """Where a directory comes from, as far as git knows it: the commit, the address without credentials, the user."""
    url = _git(folder, "remote", "get-url", "origin")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    head = commit or _git(folder, "rev-parse", "HEAD")
    if head and not commit and _git(folder, "status", "--porcelain", "--", "."):
        head += "-dirty"
    found = {"commit": head, "url": url, "by": by or _git(folder, "config", "user.name")}
    return {name: value for name, value in found.items() if value}


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git, or no repository."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GIT_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def body_of(project: Project, source: Mapping[str, str], *, prune: bool) -> dict[str, Any]:
    """What is sent of a directory. Raises Failure, after it has shown the problems of files that cannot be read."""
    from headrace.project import ProjectError

    try:
        return {**project.as_set(source), "prune": prune}
    except ProjectError as error:
        raise shown_problems(error.problems) from None


def shown_problems(problems: Sequence[Problem], code: ExitCode = ExitCode.FAILED) -> Failure:
    """Prints problems on standard error, and gives the failure that ends the command."""
    for problem in problems:
        click.echo(printable(str(problem)), err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)
    count = len(problems)
    return Failure(f"{count} problem{'s' if count != 1 else ''} in the directory; nothing was changed", code=code)


def failed(error: ClientError, project: Project) -> Exception:
    """The failure of a refused set: every error of the proxy with the position of its object in the directory."""
    body = error.body.get("error", {}) if isinstance(error.body, dict) else {}
    errors = body.get("errors") if isinstance(body, dict) else None
    if not errors:
        return error
    failure = failure_of(error)
    return shown_problems([_problem(each, project) for each in errors], failure.code if failure else ExitCode.FAILED)


def _problem(error: Mapping[str, Any], project: Project) -> Problem:
    """An error of a proxy as a problem of a file of the directory, where one has the object."""
    from headrace.project import Problem

    kind, name, where = error["kind"], error["name"], error.get("field", "")
    for pipeline in project.files.pipelines if kind == "pipeline" else ():
        if pipeline.name == name and error.get("type") in (None, pipeline.fields.get("type")):
            return pipeline.source.problem(error["reason"], where)
    for udf in project.files.udfs if kind == "udf" else ():
        if udf.name == name:
            if udf.manifest is not None and where and udf.manifest.find(where) is not None:
                return udf.manifest.problem(error["reason"], where)
            return Problem(file=udf.file, field=where, reason=error["reason"])
    if kind == "association" and project.files.associations is not None and name in project.files.patterns:
        return project.files.associations.problem(f"[{name}] {error['reason']}", f"{name}.{where}" if where else name)
    return Problem(file=f"{kind} [{name}]", field=where, reason=error["reason"])


def different(answer: Mapping[str, Any]) -> bool:
    """Whether a set changes anything."""
    return any(change["action"] != "unchanged" for change in answer["changes"])


def removed(answer: Mapping[str, Any]) -> list[str]:
    """The objects that go, in words."""
    return [f"{c['kind']} {c['name']}" for c in answer["changes"] if c["action"] in ("delete", "detach")]


def emit_changes(answer: Mapping[str, Any], output: str, *, patches: bool) -> None:
    """Prints changes: rows, with the lines of their patches where `patches` says so, or JSON."""
    if output in ("json", "yaml"):
        emit_data(dict(answer), output)
        return
    changes = [c for c in answer["changes"] if c["action"] != "unchanged"]
    if output == "name":
        for change in changes:
            click.echo(f"{change['kind']}/{change['name']}")
        return
    if not changes and not patches:
        note("nothing changed")
        return
    if not patches:
        emit([{**change, "note": _note(change)} for change in changes], COLUMNS, output)
        return
    for change in changes:
        sign = SIGNS[change["action"]]
        versions = f" {change['from']} → {change['to']}" if change["from"] and change["to"] else ""
        line = f"{sign} {change['action']} {change['kind']} {change['name']}{versions}{_note(change)}"
        click.echo(_coloured(printable(line), sign))
        if change["action"] in ("update", "activate"):
            for operation in change["patch"]:
                click.echo("    " + _operation(operation))
    same = len(answer["changes"]) - len(changes)
    note(f"{len(changes)} to change, {same} unchanged, at revision {answer['revision']}")


def _note(change: Mapping[str, Any]) -> str:
    drift = change.get("drift")
    words = " (was stored by hand)" if change.get("adopted") else ""
    if drift:
        user = f" by {drift['user']}" if drift.get("user") else ""
        words += f" (changed by hand in revision {drift['revision']}{user})"
    return words


def _operation(operation: Mapping[str, Any]) -> str:
    import msgspec

    value = f" {msgspec.json.encode(operation['value']).decode()}" if "value" in operation else ""
    if len(value) > LONGEST_VALUE:
        value = f"{value[:LONGEST_VALUE]}… ({len(value)} characters, -o json shows them)"
    return f"{operation['op']} {operation['path'] or '/'}{value}"


def _coloured(line: str, sign: str) -> str:
    return click.style(line, fg=COLOURS.get(sign)) if not os.environ.get("NO_COLOR") else line


def wait(client: Client, name: str, revision: int, seconds: float) -> None:
    """Waits until every worker of the proxy, and every process of other proxies, has a revision in force.

    A process that is new to sets reports within two polls; so long it is waited for those, too. Raises Failure when the
    time is over.
    """
    end = time.monotonic() + seconds
    settled = 0.0
    while True:
        found = client.registry.revisions(name)
        settled = settled or time.monotonic() + 2 * found["poll_seconds"]
        processes = [*found["workers"], *found["proxies"]]
        late = [p for p in processes if p["registry"] != "current" or p["revision"] < revision]
        reported = not late and len(found["workers"]) >= found["expected_workers"]
        if reported and time.monotonic() >= settled:
            return
        if reported and time.monotonic() >= end:
            raise Failure(
                f"the set is stored and in force in every process that has reported within {seconds:g} s",
                hint=f"a process that is new reports within {2 * found['poll_seconds']:g} s: give a longer --timeout",
            )
        if time.monotonic() >= end:
            names = ", ".join(f"{p.get('host', 'this proxy')}:{p['process']}" for p in late) or "a worker"
            raise Failure(
                f"the set is stored, but after {seconds:g} s revision {revision} is not in force in {names}",
                hint="look at the log and at /_proxy/health/ready of that proxy",
            )
        time.sleep(WAIT_PAUSE)
