"""A project directory as a whole: what it holds, its set for a proxy, and its problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.client.target import FILE, Target
from headrace.project import files as reader
from headrace.project.config import Config, load_config
from headrace.project.files import ASSOCIATIONS, PIPELINES, UDFS, Files
from headrace.project.problems import Problem, ProjectError, in_order, nearest
from headrace.project.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = (FILE, PIPELINES, UDFS, ASSOCIATIONS)
"""A directory that has any of them is a project."""


def root_of(path: Path) -> Path | None:
    """The nearest directory at or above a path that is a project."""
    resolved = path.resolve()
    return next((each for each in (resolved, *resolved.parents) if any((each / part).exists() for part in PARTS)), None)


class Project:
    """A directory of pipelines, UDFs, associations and test cases, for one of its targets."""

    def __init__(self, folder: Path, config: Config, target: str, files: Files) -> None:
        self.folder = folder
        self.config = config
        self.target = target
        self.files = files

    @classmethod
    def load(cls, folder: Path | str, target: str | None = None) -> Project:
        """Reads the directory with the variables of a target, by default the first of `headrace.toml`.

        Files that cannot be read are among `problems()`. Raises ProjectError for a directory that is no project, for
        an unreadable `headrace.toml` and for a target that it does not have.
        """
        folder = Path(folder)
        if not any((folder / part).exists() for part in PARTS):
            reason = f"is no project directory: it has none of {', '.join(PARTS)}"
            raise ProjectError([Problem(file=str(folder), reason=reason, hint="write one with `headrace init`")])
        config = load_config(folder)
        name = target or next(iter(config.target), "")
        if target is not None and target not in config.target:
            hint = nearest(target, config.target) or f"add [target.{target}] to {FILE}"
            raise ProjectError([Problem(file=FILE, field="target", reason=f"has no target [{target}]", hint=hint)])
        values = config.target[name].vars if name else {}
        return cls(folder, config, name, reader.read(folder, Variables(name, values)))

    @property
    def set(self) -> str:
        """The name that the project's objects carry on a proxy."""
        return self.config.set

    @property
    def target_config(self) -> Target:
        """The target that the project was read for; an empty one where there is none."""
        return self.config.target.get(self.target, Target())

    def as_set(self, source: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The body of `POST /_registry/_apply`, in a fixed order; `source` says where it comes from.

        References to secrets stay references. Raises ProjectError where a file cannot be read: a set is whole or not
        at all.
        """
        if self.files.problems:
            raise ProjectError(in_order(self.files.problems))
        body: dict[str, Any] = {"set": self.set}
        if source:
            body["source"] = dict(source)
        body["udfs"] = [udf.body for udf in sorted(self.files.udfs, key=lambda udf: udf.name)]
        body["pipelines"] = [each.body for each in sorted(self.files.pipelines, key=lambda each: each.name)]
        body["associations"] = dict(sorted(self.files.patterns.items()))
        return body

    def problems(self) -> list[Problem]:
        """All problems of the directory, found offline with the engine, by file and position."""
        from headrace.project.check import check

        return in_order([*self.files.problems, *check(self.files)])
