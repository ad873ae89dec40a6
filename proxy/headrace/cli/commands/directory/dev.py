"""`headrace dev`: checks, tests and applies a project at each change of its files."""

from __future__ import annotations

import getpass
import json
import time
from typing import TYPE_CHECKING

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.commands.directory.project import FOLDER, load
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import note
from headrace.cli.project_target import loaded, project_of, remote_options
from headrace.cli.target import connect

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.client.target import Target
    from headrace.project import Project


@command(
    "Check, test and apply a project at each change.",
    example="headrace dev\nheadrace dev search --target dev\nheadrace dev --no-apply",
    exits=REMOTE,
)
@FOLDER
@remote_options
@click.option("--no-apply", is_flag=True, help="Check and test only.")
def dev(folder: Path, target: str, url: str, no_apply: bool) -> int:
    """Everything is applied under names with the prefix dev-USER-, which match no index of others.

    Everything that was applied is removed at the end.
    """
    from headrace.project.project import PARTS
    from headrace.project.tools.watching import follow

    if not any((folder / part).exists() for part in PARTS):
        raise Failure(f"{folder} is no project directory", hint="`headrace init` writes one", code=ExitCode.USAGE)
    session = Session(folder, target, url, applies=not no_apply)
    try:
        follow(folder, session.changed)
    finally:
        session.close()
    return ExitCode.OK


class Session:
    """The state between two changes."""

    def __init__(self, folder: Path, target: str, url: str, *, applies: bool) -> None:
        self.folder = folder
        self.target = target
        self.url = url
        self.applies = applies
        self.applied: dict[tuple[str, str], Target] = {}
        """The targets where something was applied, by the name of the set and the address."""
        self.unreachable = False

    def changed(self, paths: set[str]) -> None:
        """Checks everything, runs the cases that the change concerns, and applies what is good.

        A file that vanishes meanwhile is told: the change of it comes next.
        """
        try:
            self._changed(paths)
        except OSError as error:
            click.echo(f"{error.filename or ''}: {error.strerror or error}")

    def _changed(self, paths: set[str]) -> None:
        from headrace.project import ProjectError

        started = time.monotonic()
        if paths:
            click.echo(f"\n{time.strftime('%H:%M:%S')} {', '.join(sorted(paths))}")
        try:
            project = self._project()
            problems = project.problems()
        except ProjectError as error:
            problems = error.problems
        for problem in problems:
            click.echo(str(problem) + (f"\n  hint: {problem.hint}" if problem.hint else ""))
        if problems:
            return
        failed = self._tested(project, paths)
        click.echo(f"  {time.monotonic() - started:.2f} s")
        if self.applies and not failed:
            self._apply(project)

    def _project(self) -> Project:
        if not self.applies:
            return load(self.folder, self.target)
        return project_of(self.folder, self.target, self.url)

    def _tested(self, project: Project, paths: set[str]) -> int:
        """Runs the cases; the number of those that fail."""
        from headrace.cli.commands.directory.testing import show
        from headrace.project.cases.run import CaseRun
        from headrace.project.files import TESTS
        from headrace.project.tools.dev import concerned

        run = CaseRun(project, [project.folder / TESTS])
        if paths:
            runs = concerned(project.files, paths)
            run.files = [file for file in run.files if runs(file)]
        results = list(run.run()) if run.count else []
        for result in results:
            show(result)
        failed = sum(result.failed for result in results)
        click.echo(f"valid; {len(results) - failed} passed, {failed} failed")
        return failed

    def _apply(self, project: Project) -> None:
        from headrace.cli.errors import failure_of
        from headrace.client import UnreachableError
        from headrace.project.tools.dev import namespace, prefixed

        try:
            body = prefixed(project.as_set(), namespace(getpass.getuser()))
            target = loaded(self.folder, self.target, self.url)
            self._remove(except_for=(body["set"], target.url))
            with connect(target) as client:
                answer = client.request("POST", "/_registry/_apply", body={**body, "prune": True})
        except UnreachableError:
            if not self.unreachable:
                note("no target is reachable: changes are checked and tested, not applied")
            self.unreachable = True
            return
        except Exception as error:
            if (failure := failure_of(error)) is None:
                raise
            click.echo(f"  not applied: {failure.reason}" + (f"\n  hint: {failure.hint}" if failure.hint else ""))
            return
        self.unreachable, self.applied[body["set"], target.url] = False, target
        differ = sum(change["action"] != "unchanged" for change in answer["changes"])
        click.echo(f"  applied as {body['set']}, revision {answer['revision']}: {differ} changes")

    def _remove(self, except_for: tuple[str, str] = ("", "")) -> None:
        """Removes what was applied, under earlier names and on earlier targets too, and tells what could not be."""
        from headrace.cli.errors import failure_of

        for name, url in [key for key in self.applied if key != except_for]:
            body = {"set": name, "prune": True}
            try:
                with connect(self.applied[name, url]) as client:
                    client.request("POST", "/_registry/_apply", body=body)
            except Exception as error:
                if (failure := failure_of(error)) is None:
                    raise
                text = f"could not remove the set {name} from {url}: {failure.reason}"
                click.echo(f"{text}\nhint: remove it with POST /_registry/_apply {json.dumps(body)}", err=True)
                continue
            del self.applied[name, url]
            note(f"removed {name}")

    def close(self) -> None:
        """Removes what was applied."""
        self._remove()
