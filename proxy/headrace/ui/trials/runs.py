"""Trial runs as the page shows them: stage by stage, with what each has changed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.ui.definitions import labelled
from headrace.ui.differences import MemberChange, member_changes, parse, value_text

if TYPE_CHECKING:
    from headrace.ui.inner import Api
    from headrace.ui.trials.samples import Sample


@dataclass(frozen=True)
class StageTrial:
    """A stage in a trial run. `condition` is its `if`, `met` what that was: `true`, `false`, or unknown (`""`)."""

    name: str
    status: str
    milliseconds: float | None
    condition: str
    met: str
    changes: list[MemberChange]
    more_changes: int
    note: str
    logs: list[str]


@dataclass(frozen=True)
class Trial:
    """A sample in a trial run: stages, outputs, or the failure that ended it."""

    stages: list[StageTrial]
    outputs: list[Any]
    error: dict[str, Any] | None
    dropped: bool

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return self.error is None

    @property
    def output_text(self) -> str:
        """The outputs for people."""
        shown = self.outputs[0] if len(self.outputs) == 1 else self.outputs
        return value_text(shown)


async def trials_of(api: Api, text: str, samples: list[Sample]) -> list[Trial]:
    """Runs a definition over samples. Raises ApiError."""
    definition = msgspec.Raw(text.encode("utf-8", "replace"))
    found = await asyncio.to_thread(_decoded, text)
    conditions = _conditions(found.get("stages") if isinstance(found, dict) else None)
    if isinstance(found, dict) and found.get("type") == "document":
        docs = [msgspec.Raw(sample.text) for sample in samples]
        reply = await _execute(api, {"pipeline": definition, "docs": docs, "verbose": True})
        answers = (await asyncio.to_thread(parse, reply))["docs"]
    else:
        answers = []
        for sample in samples:
            body = {"pipeline": definition, "input": msgspec.Raw(sample.text), "verbose": True}
            answers.append(await asyncio.to_thread(parse, await _execute(api, body)))
    return await asyncio.to_thread(
        lambda: [_trial(answer, sample, conditions) for answer, sample in zip(answers, samples, strict=True)]
    )


async def _execute(api: Api, body: dict[str, Any]) -> bytes:
    return (await api.call("POST", ("_pipeline", "_execute"), msgspec.json.encode(body), {})).body


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _conditions(stages: Any) -> dict[str, str]:
    """The `if` of each stage that has one, by the label that the trace has."""
    return {label: stage["if"] for label, stage in labelled(stages) if isinstance(stage.get("if"), str)}


def _trial(answer: dict[str, Any], sample: Sample, conditions: dict[str, str]) -> Trial:
    if "docs" in answer:
        outputs = [each["_source"] for each in answer["docs"]]
    elif "doc" in answer:
        outputs = [answer["doc"]["_source"]] if answer["doc"] else []
    else:
        whole = answer.get("output")
        outputs = [] if whole is None else whole if answer.get("expanded") else [whole]
    before, stages = sample.input, []
    for entry in answer.get("stage_results", ()):
        after = entry.get("output", before)
        stages.append(_stage(entry, before, after, conditions))
        before = after
    return Trial(stages, outputs, answer.get("error"), bool(answer.get("filtered")) and not outputs)


def _stage(entry: dict[str, Any], before: Any, after: Any, conditions: dict[str, str]) -> StageTrial:
    name, status, reason = entry["stage"], entry["status"], entry.get("reason", "")
    condition, met = conditions.get(name, ""), ""
    if condition:
        met = "false" if reason == "if is false" else "" if "duration_ms" not in entry else "true"
    changes, more = member_changes(before, after) if status == "success" else ([], 0)
    failure = entry.get("error") or {}
    note = f"{failure['type']}: {failure['reason']}" if failure else reason
    milliseconds = float(entry["duration_ms"]) if "duration_ms" in entry else None
    return StageTrial(name, status, milliseconds, condition, met, changes, more, note, entry.get("logs", []))
