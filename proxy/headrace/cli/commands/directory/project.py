"""`headrace validate` and `headrace init`: project directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.command import command
from headrace.cli.errors import ExitCode
from headrace.cli.output import note
from headrace.cli.target import target_names

if TYPE_CHECKING:
    from headrace.project import Project

FOLDER = click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
TARGET = click.option(
    "--target",
    "variables",
    metavar="NAME",
    shell_complete=target_names,
    help="The target whose variables are used; without it HEADRACE_TARGET, or the first of headrace.toml.",
)


def load(folder: Path, variables: str | None) -> Project:
    """The directory with the variables of a target. Raises ProjectError for a named target that it does not have.

    Without a name it is that of HEADRACE_TARGET if the directory has it, or the first: nothing is sent.
    """
    from headrace.project import Project
    from headrace.project.config import load_config, target_of_environment

    return Project.load(folder, variables or target_of_environment(load_config(folder)))


@command(
    "Check a project directory, offline.",
    example="headrace validate\nheadrace validate search --format github\nheadrace validate --target prod",
)
@FOLDER
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="The form of the problems: for people, scripts, annotations of a workflow, or code scanning.",
)
@TARGET
def validate(folder: Path, form: str, variables: str | None) -> int:
    """Compiles everything that DIR holds and shows all problems, each with file, line and column."""
    from headrace.project import ProjectError
    from headrace.project.cases.run import unreadable
    from headrace.project.problems import in_order
    from headrace.project.tools.formats import render

    try:
        project = load(folder, variables)
        problems = in_order([*project.problems(), *unreadable(project)])
        files = project.files
        counts = [
            (len(files.pipelines), "pipeline"),
            (len(files.udfs), "UDF"),
            (len(files.patterns), "association"),
        ]
        found = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
    except ProjectError as error:
        problems, found = error.problems, ""
    prefix = "" if folder == Path() else f"{folder.as_posix()}/"
    if text := render(problems, form, prefix):
        click.echo(text)
    if problems:
        note(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
        return ExitCode.FAILED
    note(f"{found}: no problems")
    return ExitCode.OK


@command("Write a project directory to begin with.", example="headrace init\nheadrace init search")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> int:
    """Writes a pipeline, a UDF, their test cases, a workflow of GitHub and hooks of pre-commit.

    A file that is there already stays as it is.
    """
    from headrace.project.tools import scaffold

    written, left = scaffold.write(folder)
    for name in written:
        click.echo((folder / name).as_posix())
    for name in left:
        note(f"{(folder / name).as_posix()} exists and stays as it is")
    where = "" if folder == Path() else f" {folder.as_posix()}"
    note(f"try `headrace validate{where}` and `headrace test{where}`")
    return ExitCode.OK
