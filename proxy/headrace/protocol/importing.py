"""The cluster's own `_ingest` and `_search` pipelines as pipelines of ours: same processors, options, meaning."""

from __future__ import annotations

from typing import Any

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.stages.native import FUNCTIONS

_NOTHING = {
    "name": "nothing",
    "type": "native",
    "description": "the pipeline has no processors",
    "config": {"function": "remove", "parameters": {"field": []}},
}
"""The stage of a pipeline without processors, which the cluster has; a pipeline of ours has at least one stage."""
_OF_THE_STAGE = ("tag", "description", "if", "ignore_failure", "on_failure")


def from_ingest(body: dict[str, Any], name: str, version: str | None) -> dict[str, Any]:
    """A document pipeline out of an `_ingest/pipeline` definition. Raises InvalidError that names what we lack."""
    supported = {"description", "version", "processors", "on_failure", "_meta"}
    _refuse_unknown(body, supported)
    definition = _head(body, name, version, PipelineType.DOCUMENT)
    definition["stages"] = _stages(body.get("processors", []), "processors", PipelineType.DOCUMENT) or [_NOTHING]
    if body.get("on_failure"):
        definition["on_failure"] = _stages(body["on_failure"], "on_failure", PipelineType.DOCUMENT)
    return definition


def from_search(body: dict[str, Any], name: str, version: str | None) -> list[dict[str, Any]]:
    """A query and a result pipeline out of a `_search/pipeline` definition, each if it has processors."""
    supported = {"description", "version", "request_processors", "response_processors", "phase_results_processors"}
    _refuse_unknown(body, supported)
    if body.get("phase_results_processors"):
        names = ", ".join(next(iter(p)) for p in body["phase_results_processors"])
        raise InvalidError(f"processors between the phases of a search run only in the cluster: {names}")
    stages = []
    for key, kind in (("request_processors", PipelineType.QUERY), ("response_processors", PipelineType.RESULT)):
        if body.get(key):
            stages.append(_head(body, name, version, kind) | {"stages": _stages(body[key], key, kind)})
    if not stages:
        raise InvalidError("the pipeline has no processors")
    return stages


def _head(body: dict[str, Any], name: str, version: str | None, kind: PipelineType) -> dict[str, Any]:
    head = {"name": name, "type": kind.value, "description": body.get("description", "")}
    if version is not None:
        head["version"] = version
    # Search pipelines of the cluster fail closed unless a processor says otherwise.
    return head if kind is PipelineType.DOCUMENT else head | {"on_failure": "abort"}


def _refuse_unknown(body: dict[str, Any], supported: set[str]) -> None:
    if unknown := set(body) - supported:
        raise InvalidError(f"cannot be imported: {', '.join(sorted(unknown))}")


def _stages(processors: list[dict[str, Any]], path: str, kind: PipelineType) -> list[dict[str, Any]]:
    lacking = sorted({name for p in processors for name in p if kind.value not in FUNCTIONS.get(name, [])})
    if lacking:
        raise InvalidError(f"there is no built-in for {', '.join(lacking)}; write a UDF in its place", path)
    stages: list[dict[str, Any]] = []
    for i, processor in enumerate(processors):
        if len(processor) != 1:
            raise InvalidError("must hold exactly one processor", f"{path}[{i}]")
        ((function, options),) = processor.items()
        stages.append(_stage(function, dict(options), f"{path}[{i}].{function}", kind, [s["name"] for s in stages]))
    return stages


def _stage(function: str, options: dict[str, Any], path: str, kind: PipelineType, taken: list[str]) -> dict[str, Any]:
    own = {key: options.pop(key) for key in _OF_THE_STAGE if key in options}
    if "if" in own:
        raise InvalidError(
            f"the condition is Painless: write it in CEL, as [if] of the stage: {own['if']}", f"{path}.if"
        )
    if function == "foreach":
        _check_inner(options.get("processor"), f"{path}.processor")
    name = own.get("tag") or function
    stage: dict[str, Any] = {
        "name": _free(name, taken),
        "type": "native",
        "config": {"function": function, "parameters": options},
    }
    if own.get("description"):
        stage["description"] = own["description"]
    if own.get("ignore_failure"):
        stage["on_failure"] = "continue"
    elif own.get("on_failure"):
        stage["on_failure"] = _stages(own["on_failure"], f"{path}.on_failure", kind)
    return stage


def _check_inner(inner: Any, path: str) -> None:
    """Refuses Painless in the processor inside a `foreach` and in its handlers. They keep their other options."""
    for function, options in (inner or {}).items():
        here = f"{path}.{function}"
        if "if" in options:
            raise InvalidError("a condition is not available inside a foreach; write a UDF in its place", f"{here}.if")
        if function == "foreach":
            _check_inner(options.get("processor"), f"{here}.processor")
        for i, handler in enumerate(options.get("on_failure") or []):
            _check_inner(handler, f"{here}.on_failure[{i}]")


def _free(name: str, taken: list[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
