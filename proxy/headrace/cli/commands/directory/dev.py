"""`headrace dev`: checks, tests and applies a project at each change of its files."""

from __future__ import annotations

import getpass
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from headrace.cli.command import REMOTE, command
from headrace.cli.commands.directory.project import FOLDER
from headrace.cli.errors import ExitCode
from headrace.cli.output import note
from headrace.cli.project_target import client_of, project_of, remote_options

if TYPE_CHECKING:
    from pathlib import Path

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

    What was applied is removed at the end.
    """
    from headrace.project.tools.watching import follow

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
        self.applied = ""
        self.unreachable = False

    def changed(self, paths: set[str]) -> None:
        """Checks everything, runs the cases that the change concerns, and applies what is good."""
        from headrace.project import ProjectError

        started = time.monotonic()
        if paths:
            click.echo(f"\n{time.strftime('%H:%M:%S')} {', '.join(sorted(paths))}")
        try:
            project = project_of(self.folder, self.target, self.url)
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
        from headrace.client import ClientError, UnreachableError
        from headrace.project.tools.dev import namespace, prefixed

        body = prefixed(project.as_set(), namespace(getpass.getuser()))
        try:
            with client_of(self.folder, self.target, self.url) as client:
                answer = client.request("POST", "/_registry/_apply", body={**body, "prune": True})
        except UnreachableError:
            if not self.unreachable:
                note("no target is reachable: changes are checked and tested, not applied")
            self.unreachable = True
            return
        except ClientError as error:
            click.echo(f"  not applied: {error.reason}")
            return
        self.unreachable, self.applied = False, body["set"]
        differ = sum(change["action"] != "unchanged" for change in answer["changes"])
        click.echo(f"  applied as {body['set']}, revision {answer['revision']}: {differ} changes")

    def close(self) -> None:
        """Removes what was applied."""
        if not self.applied:
            return
        from headrace.client import ClientError, UnreachableError
        from headrace.project import ProjectError

        with suppress(ClientError, UnreachableError, ProjectError):
            with client_of(self.folder, self.target, self.url) as client:
                client.request("POST", "/_registry/_apply", body={"set": self.applied, "prune": True})
            note(f"removed {self.applied}")
