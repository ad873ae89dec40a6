"""Unknown fields, missing fields and wrong types of a definition: all of them, not the first alone.

Each stage is decoded for itself, with a stand-in for the stages in it. After a fault its field is left out, and the
rest is decoded again.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

import msgspec

from headrace.project.check.details import bare
from headrace.project.nodes import split
from headrace.project.problems import nearest
from headrace_pipelines.definition import (
    CompositeConfig,
    FailurePolicy,
    NativeConfig,
    PipelineDefinition,
    PipelineType,
    RetryConfig,
    StageDefinition,
    UdfConfig,
    explained,
)
from headrace_pipelines.udf.manifest import LimitsConfig, Manifest, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STAND_IN = {"name": "stage", "type": "native", "config": {"function": "set"}}
_TYPES = {kind.__struct_config__.tag: kind for kind in get_args(StageDefinition)}
_CONFIGS = {"native": NativeConfig, "composite": CompositeConfig}
_WORDS = {
    "type": [kind.value for kind in PipelineType],
    "on_failure": [policy.value for policy in FailurePolicy],
}
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
            told = explained(error)
            reason = bare(told)
        if "missing required" in reason and told.field in removed:
            return
        if told.field not in removed:
            yield _fault(reason, told.field, path, left)
        removed.add(told.field)
        if not _remove(left, told.field):
            return


def _fault(reason: str, field: str, path: str, fields: dict[str, Any]) -> Fault:
    dot = "." if path and field and not field.startswith("[") else ""
    where = f"{path}{dot}{field}"
    name = str(split(field)[-1]) if field else ""
    if "unknown field" in reason:
        return Fault(where, "unknown field", nearest(name, _names(field, path, fields)), key=True)
    if "missing required" in reason:
        return Fault(where, "is required", "", key=True)
    if reason.startswith(("Invalid value", "Invalid enum value")):
        value = reason.partition("'")[2].rstrip("'")
        return Fault(where, f"[{value}] is not a value of it", nearest(value, _words(field, path)))
    return Fault(where, reason[:1].lower() + reason[1:])


def _words(field: str, path: str) -> Iterable[str]:
    """The words that may stand in a field of fixed ones."""
    if path and field == "type":
        return _TYPES
    if field.startswith("parameters[") and not path:
        return get_args(get_type_hints(Parameter)["type"])
    return _WORDS.get(field, ())


def _names(field: str, path: str, fields: dict[str, Any]) -> list[str]:
    """The fields that exist where an unknown one is."""
    parts = split(field)[:-1]
    kind: Any
    if not parts:
        stage = _TYPES.get(fields.get("type", "")) if path else None
        kind = stage or (Manifest if "stages" not in fields and not path else PipelineDefinition)
    else:
        configs = {"config": _CONFIGS.get(fields.get("type", ""), UdfConfig), "retry": RetryConfig}
        last = next(part for part in reversed(parts) if isinstance(part, str))
        kind = {**configs, "limits": LimitsConfig, "parameters": Parameter}.get(last, PipelineDefinition)
    names = [each.encode_name for each in msgspec.structs.fields(kind)]
    return [*names, "type"] if kind in _TYPES.values() else names


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
