"""`/{index}/_pipeline/_fit` and `_unfit`: what `fit_mapping` would do with documents, and what it has done so far."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from headrace.execution import choice
from headrace.handlers.admin.trials.simulate import decode_body
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines import Batch, Deadline
from headrace_pipelines.errors import InvalidError, UpstreamError
from headrace_pipelines.stages.native import fitter

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines.stages.native import NativeRunner

MAX_DOCUMENTS = 10_000
"""Documents of one dry run: its answer has each of them."""
MAX_FIELDS = 1_000
"""Fields in an answer of counts: those with the highest counts."""
_SECONDS = 10.0
"""Seconds for a dry run."""


class FitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Documents, and options of `fit_mapping`; without these those of the pipeline that is attached to the index."""

    docs: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    parameters: dict[str, Any] | None = None


class Misfit(msgspec.Struct):
    """A field whose value does not fit, and why."""

    path: str
    reason: str


class FittedDocument(msgspec.Struct, omit_defaults=True):
    """A document as it would be sent; `moved`: what does not fit; `error`: why it would fail."""

    fits: bool
    moved: list[Misfit] = []
    doc: Any = None
    error: str | None = None


class UnfitField(msgspec.Struct):
    """How many values of a field did not fit."""

    path: str
    reason: str
    count: int


class FitAnswer(msgspec.Struct):
    """The result of a dry run, with sums by field."""

    index: str
    documents: int
    fit: int
    fields: list[UnfitField]
    docs: list[FittedDocument]


class UnfitAnswer(msgspec.Struct):
    """The values that did not fit since the workers began, by field and reason."""

    index: str
    total: int
    fields: list[UnfitField]


async def fit(context: RequestContext) -> web.StreamResponse:
    """What would move, and why; nothing is written and nothing counted."""
    await admin.require_admin(context, changes=False)
    wanted, index = decode_body(await context.text(), FitRequest), context.params["index"]
    runner = await _runner(context, index, wanted.parameters)
    keeper = context.components.mappings
    await keeper.ready([index])
    if not keeper.has(index):
        raise UpstreamError(f"the mapping of [{index}] cannot be read; the proxy's log says why")
    docs = await asyncio.to_thread(_fitted, context, runner, index, wanted.docs)
    counts: dict[tuple[str, str], int] = {}
    for doc in docs:
        for each in doc.moved:
            counts[each.path, each.reason] = counts.get((each.path, each.reason), 0) + 1
    fits = sum(doc.fits for doc in docs)
    return await reply_json(context, 200, FitAnswer(index, len(docs), fits, _sorted(counts), docs))


async def unfit(context: RequestContext) -> web.StreamResponse:
    """The values of an index that did not fit, of all workers."""
    await admin.require_admin(context, changes=False)
    index = context.params["index"]
    fields = (await context.components.metrics.gathered()).unfit_fields.get(index, {})
    counts = {(path, reason): count for path, reasons in fields.items() for reason, count in reasons.items()}
    return await reply_json(context, 200, UnfitAnswer(index, sum(counts.values()), _sorted(counts)))


def _sorted(counts: dict[tuple[str, str], int]) -> list[UnfitField]:
    found = [UnfitField(path, reason, count) for (path, reason), count in counts.items()]
    return sorted(found, key=lambda field: (-field.count, field.path, field.reason))[:MAX_FIELDS]


async def _runner(context: RequestContext, index: str, parameters: dict[str, Any] | None) -> NativeRunner:
    """The stage: with these options, else the one of the index, else with its defaults. Raises InvalidError."""
    if parameters is not None:
        return fitter(msgspec.json.encode(parameters))
    snapshot, resolver = context.snapshot, context.components.resolver
    for final in (True, False):
        pipeline = await choice.for_document(snapshot, resolver, index, final=final)
        if pipeline is not None and pipeline.fitters:
            return pipeline.fitters[0]
    return fitter(b"{}")


def _fitted(context: RequestContext, runner: NativeRunner, index: str, docs: list[msgspec.Raw]) -> list[FittedDocument]:
    found: list[FittedDocument] = []
    deadline, before = Deadline(_SECONDS), None
    for n, raw in enumerate(docs):
        text = bytes(raw)
        batch = Batch.of("document", text, index=index, trial=True)
        if before is None:
            batch.fit(context.components.mappings.mappings, dry=True)
        else:
            # Fields that the documents before have added are there.
            batch.fit_as(before)
        if batch.check(""):
            raise InvalidError("must be a JSON object", f"docs[{n}]")
        batch.run_native(runner.native, deadline, abort=True, pipeline="", stage="")
        before = batch
        _, failure = batch.outcome(0)
        moved = [Misfit(path, reason) for _, path, reason, _ in batch.unfit()]
        if failure is not None:
            found.append(FittedDocument(fits=False, moved=moved, error=failure[2]))
            continue
        new = batch.document(0)
        # Its text, so that numbers are exact.
        found.append(FittedDocument(fits=new == text, moved=moved, doc=msgspec.Raw(new)))
    return found
