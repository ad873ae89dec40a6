"""The problems of a project directory, found offline with the engine: all of them, each with its position.

- `shape`: unknown fields, missing fields and wrong types, in every part of a definition;
- `udfs`: manifests, and code that does not compile;
- `pipelines`: stages one by one: built-ins, conditions, references;
- `associations`: patterns, and the pipelines that they name;
- `details`: positions and hints from the engine's words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.project.check.associations import association_problems
from headrace.project.check.compiled import catalog_for
from headrace.project.check.pipelines import PipelineChecker
from headrace.project.check.udfs import check_udfs

if TYPE_CHECKING:
    from headrace.project.files import Files
    from headrace.project.problems import Problem


def check(files: Files) -> list[Problem]:
    """The problems of files that can be read."""
    catalog = catalog_for(files)
    udfs = check_udfs(files, catalog)
    pipelines = PipelineChecker(files, udfs, catalog)
    found = [*udfs.problems, *pipelines.run()]
    return [*found, *association_problems(files, pipelines.types)]
