"""`headrace.toml`: the name of the set, and the targets that a project is applied to.

set = "shop"

[target.dev]
url = "http://127.0.0.1:9280"

[target.prod]
url = "https://search.example.org"
ca = "ca.pem"
user = "${env:OS_USER}"
vars = { retention = "30d" }
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from headrace.client.target import FILE, Target
from headrace.project.nodes import split
from headrace.project.problems import Problem, ProjectError, nearest
from headrace.project.source import read_text
from headrace_pipelines.definition import NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_SET = "default"
_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_FIELD = re.compile(r"`(\w+)`")
Value = str | int | float | bool
T = TypeVar("T", bound=msgspec.Struct)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `headrace.toml`, `${env:NAME}` as it stands there.

    `set`: objects of a project carry this name on the server.
    """

    set: str = DEFAULT_SET
    target: dict[str, Target] = {}


def load_config(folder: Path) -> Config:
    """The configuration of a directory; without a file, the default. Raises ProjectError with the position."""
    path = folder / FILE
    if not path.is_file():
        return Config()
    text = read_text(path, FILE)
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError([_unreadable(str(error), text)]) from None
    return _Reader(text).config(fields)


def target_of_environment(config: Config) -> str | None:
    """The target of HEADRACE_TARGET, if the directory has it."""
    name = os.environ.get("HEADRACE_TARGET", "")
    return name if name in config.target else None


class _Reader:
    """Makes the structs, part by part: msgspec's own path names no target."""

    def __init__(self, text: str) -> None:
        self.text = text

    def config(self, fields: dict[str, Any]) -> Config:
        targets = fields.get("target", {})
        if not isinstance(targets, dict):
            raise self.error(["target"], "must be tables: [target.NAME]")
        found = {name: self.target(name, target) for name, target in targets.items()}
        config = self.converted({**fields, "target": {}}, Config, [])
        if not NAME.fullmatch(config.set):
            raise self.error(["set"], f"[{config.set}] does not match {NAME.pattern}")
        return msgspec.structs.replace(config, target=found)

    def target(self, name: str, fields: Any) -> Target:
        for key, value in fields.get("vars", {}).items() if isinstance(fields, dict) else ():
            if not isinstance(value, Value):
                raise self.error(["target", name, "vars", key], "must be a text, a number or a boolean")
        return self.converted(fields, Target, ["target", name])

    def converted(self, fields: Any, kind: type[T], parts: Sequence[str | int]) -> T:
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `")
            parts = [*parts, *split(path.rstrip("`").removeprefix("$"))]
            match = _FIELD.search(reason) if "unknown field" in reason else None
            if match is None:
                raise self.error(parts, reason) from None
            raise self.error([*parts, match[1]], "unknown field", nearest(match[1], kind.__struct_fields__)) from None

    def error(self, parts: Sequence[str | int], reason: str, hint: str = "") -> ProjectError:
        names = [str(part) for part in parts]
        line, column = _where(self.text, names)
        field = ".".join(names)
        return ProjectError([Problem(file=FILE, line=line, column=column, field=field, reason=reason, hint=hint)])


def _unreadable(reason: str, text: str) -> Problem:
    match = _AT.search(reason)
    end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
    line, column = (int(match[1]), int(match[2])) if match and match[1] else end
    return Problem(file=FILE, line=line, column=column, reason=f"is not TOML: {_AT.sub('', reason)}")


def _where(text: str, parts: list[str]) -> tuple[int, int]:
    """Line and column of a key: TOML has one spelling of it in a line of its own, or in its table's header."""
    if not parts:
        return 1, 1
    table: list[str] = []
    best = (1, 1)
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("[") and "]" in bare:
            table = [part.strip().strip("\"'") for part in bare.strip("[] ").split("#")[0].rstrip("] ").split(".")]
            if table == parts[: len(table)]:
                best = (number, line.index("[") + 2)
            continue
        key = bare.partition("=")[0].strip().strip("\"'")
        if key and [*table, *key.split(".")] == parts[: len(table) + len(key.split("."))]:
            best = (number, len(line) - len(line.lstrip()) + 1)
            if [*table, *key.split(".")] == parts:
                return best
    return best
