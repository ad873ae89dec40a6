"""The options of commands on a project directory: the directory, its set, and the proxy of one of its targets."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.target import TARGET, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.client import Client
    from headrace.client.target import Target
    from headrace.project import Project


def remote_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--target` and `--url`; a target is one of the directory's `headrace.toml`."""
    url = click.option(
        "--url", default="", metavar="URL", help="The address of the proxy, in place of that of the target."
    )
    return TARGET(url(function))


def set_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--set` and `--dir`, and gives the function the `name` of the set and a connected `client`."""

    @click.option("--set", "name", default="", metavar="NAME", help="The set, by default that of the directory.")
    @click.option("--dir", "folder", default=".", metavar="DIR", help="The project directory.")
    @remote_options
    @functools.wraps(function)
    def with_set(*args: Any, name: str, folder: str, target: str, url: str, **options: Any) -> Any:
        from pathlib import Path

        path = Path(folder)
        with client_of(path, target, url) as client:
            return function(*args, name=name or set_of(path), client=client, **options)

    return with_set


def set_of(folder: Path) -> str:
    """The set of a directory; the default one where it has no `headrace.toml`."""
    from headrace.project.config import load_config

    return load_config(folder).set


def target_of(folder: Path, target: str, url: str) -> str:
    """The target that is asked for, else the first one of the directory; empty where an address is named."""
    from headrace.project.config import load_config

    named = target or os.environ.get("HEADRACE_TARGET", "")
    if named or url or os.environ.get("HEADRACE_URL"):
        return named
    return next(iter(load_config(folder).target), "")


def client_of(folder: Path, target: str, url: str) -> Client:
    """The client of a target of a directory. Raises InvalidError for a target that does not exist."""
    return connect(loaded(folder, target, url))


def loaded(folder: Path, target: str, url: str) -> Target:
    """A target of a directory, as it is called. Raises InvalidError for one that does not exist."""
    from headrace.client.target import FILE, load

    file = folder / FILE
    name = target_of(folder, target, url)
    return load(name, url, file=file if file.is_file() else None)


def project_of(folder: Path, target: str, url: str) -> Project:
    """The directory, with the variables of the target that is called. Raises ProjectError."""
    from headrace.project import Project

    return Project.load(folder, variables_of(folder, target, url))


def variables_of(folder: Path, target: str, url: str) -> str | None:
    """The target whose variables go to the proxy that is called; `None` where the directory has no variables.

    Raises ProjectError for a target that the directory does not have, and for an address without a target where
    targets have variables: those of another target would be sent.
    """
    from headrace.client.target import FILE
    from headrace.project.config import load_config
    from headrace.project.problems import Problem, ProjectError

    name = target_of(folder, target, url)
    targets = load_config(folder).target
    if name in targets or not any(each.vars for each in targets.values()):
        return name if name in targets else None
    exist = ", ".join(sorted(targets))
    reason = f"has no target [{name}]" if name else "has variables for each target, and the address names no target"
    hint = f"name one with --target or HEADRACE_TARGET: {exist}; --url replaces its address"
    raise ProjectError([Problem(file=FILE, field="target", reason=reason, hint=hint)])
