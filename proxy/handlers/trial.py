"""What the `_pipeline` and `_udf` surfaces share: compiling a definition, and trying it on an input."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pipelines import Batch, PipelineType, Place
from pipelines.definition import explained, members_of
from pipelines.errors import InvalidError
from pipelines.registry import compile_pipeline
from pipelines.stats import PipelineStats

if TYPE_CHECKING:
    from pipelines import PipelineDefinition, Snapshot
    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call

T = TypeVar("T")


def now() -> str:
    """The time of a change, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def kind_of(call: Call) -> PipelineType | None:
    """The `type` parameter. Raises InvalidError for an unknown one."""
    given = call.target.get("type")
    if given is None:
        return None
    try:
        return PipelineType(given)
    except ValueError:
        raise InvalidError(f"[{given}] is not one of {', '.join(k.value for k in PipelineType)}", "type") from None


async def compiled(call: Call, definition: PipelineDefinition, snapshot: Snapshot) -> Pipeline:
    """The definition compiled against the registry, off the loop. Raises InvalidError that names the field."""
    return await asyncio.to_thread(compile_pipeline, definition, snapshot, call.parts.registry.catalog)


def asked(body: bytes, what: type[T]) -> T:
    """A request body as a struct. Raises InvalidError that names the field."""
    members_of(body)
    try:
        return msgspec.json.decode(body, type=what)
    except msgspec.ValidationError as error:
        raise explained(error) from None


async def tried(call: Call, pipeline: Pipeline, text: bytes, *, verbose: bool) -> dict[str, Any]:
    """What a trial run gave: `output`, `success`, `duration_ms`, and on request each stage's own; not counted."""
    pipeline = replace(pipeline, stats=PipelineStats())
    batch = Batch.of(pipeline.definition.type.value, text, trial=True)
    started = time.monotonic()
    run = await call.parts.runner.run(pipeline, batch, Place(trace=verbose, counted=False))
    state, failure = batch.outcome(0)
    answer: dict[str, Any] = {
        "output": msgspec.Raw(batch.document(0)) if state in ("live", "finished") else None,
        "duration_ms": round((time.monotonic() - started) * 1000, 3),
        "success": failure is None,
    }
    if state == "dropped":
        answer["filtered"] = True
    if failure is not None:
        status, kind, reason, _, stage = failure
        answer["error"] = {"type": kind, "reason": reason, "stage": stage, "status": status}
    if run.trace is not None:
        answer["stage_results"] = [
            {**entry, "output": msgspec.Raw(entry["output"])} if "output" in entry else entry for entry in run.trace
        ]
    return answer
