"""A project directory: pipelines, UDFs, associations and test cases as files that git keeps.

The package reads a directory with line and column of every value, checks it offline and runs its test cases in
the engine. It imports nothing of the server.

- `nodes`, `source`: YAML and JSON with positions;
- `config`, `variables`: `headrace.toml`, its targets and their variables;
- `files`, `project`: the directory;
- `check`: its problems;
- `problems`: what a problem is.
"""

from headrace.project.problems import Problem, ProjectError
from headrace.project.project import Project

__all__ = ["Problem", "Project", "ProjectError"]
