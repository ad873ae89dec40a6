"""Definitions of pipelines as the page shows, checks and begins them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.ui.inner import ApiError
from headrace.ui.rendering import pretty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.ui.view import View

KINDS = ("document", "query", "result")
_SHOWN_BESIDE = frozenset({"name", "version", "created", "updated", "active", "managed_by", "fault"})
"""Members of an answer that are not of the definition."""
_EXAMPLES: dict[str, dict[str, Any]] = {
    "document": {"function": "lowercase", "parameters": {"field": "level"}},
    "query": {"function": "filter_query", "parameters": {"query": {"term": {"tenant": "a"}}}},
    "result": {"function": "mask", "parameters": {"fields": ["password"]}},
}


@dataclass(frozen=True)
class Problem:
    """Why a definition cannot be stored: the path of the member, the reason, and for bad JSON the place in the text."""

    path: str
    reason: str
    offset: int = -1


async def find(view: View, kind: str, name: str, version: str = "") -> dict[str, Any]:
    """A pipeline as the API shows it. Raises ApiError."""
    found: dict[str, Any] = await view.api.get("_pipeline", name, type=kind, version=version)
    return found


def definition_text(found: dict[str, Any]) -> str:
    """The definition alone, as JSON that people edit."""
    kept = {name: value for name, value in found.items() if name not in _SHOWN_BESIDE}
    if not kept.get("description"):
        kept.pop("description", None)
    if kept.get("enabled") is True:
        kept.pop("enabled")
    return pretty(kept)


def labelled(stages: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The stages of a definition, nested ones too, by the labels that traces and statistics have."""
    for stage in stages if isinstance(stages, list) else ():
        if not isinstance(stage, dict) or not isinstance(stage.get("name"), str):
            continue
        label = prefix + stage["name"]
        yield label, stage
        config = stage.get("config")
        if isinstance(config, dict):
            yield from labelled(config.get("stages"), f"{label}/")
        yield from labelled(stage.get("on_failure"), f"{label}/")


def fields_of(stages: Any) -> dict[str, str]:
    """The field that each stage is about, by its label, where its parameters say one."""
    found = {}
    for label, stage in labelled(stages):
        config = stage.get("config")
        parameters = config.get("parameters") if isinstance(config, dict) else None
        if isinstance(parameters, dict) and isinstance(parameters.get("field"), str):
            found[label] = parameters["field"]
    return found


def skeleton(kind: str) -> str:
    """A definition to begin with."""
    return pretty({"type": kind, "stages": [{"name": "first", "type": "native", "config": _EXAMPLES[kind]}]})


async def checked(view: View, text: str) -> list[Problem]:
    """The problems of a definition, found by compiling it. Raises ApiError where that is not allowed."""
    try:
        found = await asyncio.to_thread(json.loads, text)
    except (ValueError, RecursionError) as error:
        return [_unparsable(error, text)]
    trial: dict[str, Any] = {"pipeline": msgspec.Raw(text.encode("utf-8", "replace"))}
    trial |= {"docs": []} if isinstance(found, dict) and found.get("type") == "document" else {"input": {}}
    try:
        await view.api.post("_pipeline", "_execute", body=trial)
    except ApiError as error:
        if error.status in (401, 403):
            raise
        return [problem_of(error, text)]
    return []


def problem_of(error: ApiError, text: str) -> Problem:
    """The problem that an error of the API describes."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as unparsable:
        return _unparsable(unparsable, text)
    return Problem(error.field.removeprefix("pipeline."), error.reason)


def _unparsable(error: ValueError | RecursionError, text: str) -> Problem:
    if isinstance(error, json.JSONDecodeError):
        # A browser counts UTF-16 units.
        offset = len(text[: error.pos].encode("utf-16-le", "replace")) // 2
        return Problem(
            "", f"line {error.lineno}, column {error.colno}: {error.msg.removesuffix(' starting at')}", offset
        )
    if isinstance(error, RecursionError):
        return Problem("", "this is nested too deep")
    return Problem("", f"this is not JSON: {error}")
