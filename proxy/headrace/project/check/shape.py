"""Unknown fields, missing fields and wrong types of a definition: all of them, not the first alone.

Each stage is decoded for itself, with a stand-in for the stages in it. After a fault its field is left out, and the
rest is decoded again.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.project.check.details import bare
from headrace.project.nodes import split
from headrace_pipelines.definition import (
    PipelineDefinition,
    StageDefinition,
)
from headrace_pipelines.errors.validation import explained
from headrace_pipelines.udf.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

_STAND_IN = {"name": "stage", "type": "native", "config": {"function": "set"}}
MOST_FAULTS = 20
"""Maximum of faults that one object reports: more of them have one reason."""


class Fault(NamedTuple):
    """What is wrong at a path; `key`: it is about the name there, not its value."""

    field: str
    reason: str
    hint: str = ""
    key: bool = False


def definition_faults(body: dict[str, Any]) -> Iterator[Fault]:
    """The faults of a pipeline's definition."""
    stages, handlers = body.get("stages"), body.get("on_failure")
    shallow = dict(body)
    if isinstance(stages, list):
        shallow["stages"] = [_STAND_IN]
        yield from _all_stages(stages, "stages")
    if isinstance(handlers, list):
        shallow["on_failure"] = [_STAND_IN]
        yield from _all_stages(handlers, "on_failure")
    yield from faults(shallow, PipelineDefinition, "")


def manifest_faults(fields: dict[str, Any]) -> Iterator[Fault]:
    """The faults of a UDF's manifest."""
    yield from faults({"name": "udf", **fields}, Manifest, "", {"packages"})


def _all_stages(stages: list[Any], path: str) -> Iterator[Fault]:
    for i, stage in enumerate(stages):
        here = f"{path}[{i}]"
        if not isinstance(stage, dict):
            yield Fault(here, "must be an object with name, type and config")
            continue
        yield from _stage(stage, here)


def _stage(stage: dict[str, Any], path: str) -> Iterator[Fault]:
    shallow = dict(stage)
    if isinstance(stage.get("on_failure"), list):
        shallow["on_failure"] = [_STAND_IN]
        yield from _all_stages(stage["on_failure"], f"{path}.on_failure")
    config = stage.get("config")
    if stage.get("type") == "composite" and isinstance(config, dict) and isinstance(config.get("stages"), list):
        shallow["config"] = {**config, "stages": [_STAND_IN]}
        yield from _all_stages(config["stages"], f"{path}.config.stages")
    yield from faults(shallow, StageDefinition, path)


def faults(
    fields: dict[str, Any], kind: Any, path: str, extra: frozenset[str] | set[str] = frozenset()
) -> Iterator[Fault]:
    """What of an object at `path` does not fit a type; `extra` are fields beside those of the type."""
    left = copy.deepcopy({name: value for name, value in fields.items() if name not in extra})
    removed: set[str] = set()
    for _ in range(MOST_FAULTS):
        try:
            msgspec.json.decode(msgspec.json.encode(left), type=kind)
            return
        except msgspec.ValidationError as error:
            told = explained(error, kind, left)
            reason = bare(told)
        if reason.startswith("required field") and told.field in removed:
            return
        if told.field not in removed:
            yield _fault(reason, told.field, path)
        removed.add(told.field)
        if not _remove(left, told.field):
            return


def _fault(reason: str, field: str, path: str) -> Fault:
    dot = "." if path and field and not field.startswith("[") else ""
    where = f"{path}{dot}{field}"
    if reason.startswith("unknown field"):
        _, _, hint = reason.partition("]")
        return Fault(where, "unknown field", hint.lstrip(":. "), key=True)
    if reason.startswith("required field"):
        return Fault(where, "is required", "", key=True)
    if " is not one of " in reason:
        words, _, hint = reason.partition("; ")
        return Fault(where, words, hint)
    return Fault(where, reason[:1].lower() + reason[1:])


def _remove(fields: dict[str, Any], field: str) -> bool:
    """Takes the value at a path out; false where there is none."""
    parts = split(field)
    holder: Any = fields
    for part in parts[:-1]:
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            return False
    if not parts or not isinstance(holder, dict) or parts[-1] not in holder:
        return False
    del holder[parts[-1]]
    return True
