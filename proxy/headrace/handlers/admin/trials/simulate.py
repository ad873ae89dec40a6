"""Shared by `_pipeline` and `_udf`: compiles a definition, and runs it on an input as a trial."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from headrace_pipelines import Batch, PipelineType, RunOptions
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import bad_value, explained
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.stats import PipelineStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.server.request import RequestContext
    from headrace_pipelines import Execution, PipelineDefinition, Snapshot
    from headrace_pipelines.registry import Pipeline

T = TypeVar("T")


def kind_of(context: RequestContext) -> PipelineType | None:
    """The `type` parameter. Raises InvalidError for an unknown one."""
    given = context.target.get("type")
    if given is None:
        return None
    try:
        return PipelineType(given)
    except ValueError:
        raise InvalidError(bad_value(given, [k.value for k in PipelineType]), "type") from None


async def compile_definition(context: RequestContext, definition: PipelineDefinition, snapshot: Snapshot) -> Pipeline:
    """The definition compiled against the registry, off the loop. Raises InvalidError that names the field."""
    return await asyncio.to_thread(compile_pipeline, definition, snapshot, context.components.registry.catalog)


def decode_body(body: bytes, what: type[T]) -> T:
    """A request body as a struct. Raises InvalidError that names the field."""
    members_of(body)
    try:
        return msgspec.json.decode(body, type=what)
    except msgspec.ValidationError as error:
        raise explained(error, what, body) from None


class TrialDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A document to try a pipeline on, as OpenSearch's `_simulate` takes it."""

    source: msgspec.Raw = msgspec.field(name="_source")
    index: str = msgspec.field(name="_index", default="_index")
    id: str | None = msgspec.field(name="_id", default=None)
    routing: str | None = msgspec.field(name="_routing", default=None)


async def simulate(context: RequestContext, pipeline: Pipeline, text: bytes, *, verbose: bool) -> dict[str, Any]:
    """The result of a trial run: `output`, `success`, `duration_ms`, on request a trace. It is not counted."""
    started = time.monotonic()
    batch, run = await _run(
        context, pipeline, partial(Batch.of, pipeline.definition.type.value, text, trial=True), verbose=verbose
    )
    outputs, failure = _outcome(batch)
    answer: dict[str, Any] = {
        "output": outputs[0] if len(outputs) == 1 else outputs or None,
        "duration_ms": round((time.monotonic() - started) * 1000, 3),
        "success": failure is None,
    }
    if len(outputs) > 1:
        answer["expanded"] = len(outputs)
    if not outputs and failure is None:
        answer["filtered"] = True
    if failure is not None:
        answer["error"] = failure
    return answer | _shown_trace(run)


async def simulate_document(
    context: RequestContext, pipeline: Pipeline, document: TrialDocument, *, verbose: bool
) -> dict[str, Any]:
    """A trial run over a document with its metadata: `doc`, or `docs` when it became several, or `error`."""
    make = partial(
        Batch.of,
        "document",
        bytes(document.source),
        index=document.index,
        id=document.id,
        routing=document.routing,
    )
    batch, run = await _run(context, pipeline, make, verbose=verbose)
    _, failure = _outcome(batch)
    docs = []
    for i in range(len(batch)):
        if batch.outcome(i)[0] == "live":
            index, id_, routing = batch.metadata(i)
            meta = {"_index": index, "_id": id_, "_routing": routing}
            shown: dict[str, Any] = {key: value for key, value in meta.items() if value is not None}
            docs.append(shown | {"_source": msgspec.Raw(batch.document(i))})
    answer: dict[str, Any]
    if failure is not None:
        answer = {"error": failure}
    elif len(docs) > 1:
        answer = {"docs": docs}
    else:
        answer = {"doc": docs[0]} if docs else {"doc": None, "filtered": True}
    return answer | _shown_trace(run)


async def _run(
    context: RequestContext, pipeline: Pipeline, make: Callable[[], Batch], *, verbose: bool
) -> tuple[Batch, Execution]:
    uncounted, batch = replace(pipeline, stats=PipelineStats()), make()
    return batch, await context.components.runner.run(uncounted, batch, make, RunOptions(trace=verbose, counted=False))


def _outcome(batch: Batch) -> tuple[list[msgspec.Raw], dict[str, Any] | None]:
    """The outputs of a run, and its first failure."""
    outputs: list[msgspec.Raw] = []
    for i in range(len(batch)):
        state, failure = batch.outcome(i)
        if failure is not None:
            status, kind, reason, _, stage = failure
            return [], {"type": kind, "reason": reason, "stage": stage, "status": status}
        if state in ("live", "finished"):
            outputs.append(msgspec.Raw(batch.document(i)))
    return outputs, None


def _shown_trace(run: Execution) -> dict[str, Any]:
    if run.trace is None:
        return {}
    return {
        "stage_results": [
            {**entry, "output": msgspec.Raw(entry["output"])} if "output" in entry else entry for entry in run.trace
        ]
    }
