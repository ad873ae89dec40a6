"""`PUT|POST /{index}/_doc[/{id}]` and `_create/{id}`: one document through its document pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipelines import Batch, PipelineType
from pipelines.errors import StageError
from proxy.handlers import choice

if TYPE_CHECKING:
    from aiohttp import web

    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call

MATCH_ANY = -3
MATCH_DELETED = -4
"""OpenSearch's versions for a dropped document: of an index request, of a create (measured on 3.8.0)."""


async def document(call: Call) -> web.StreamResponse:
    """Runs the document's pipeline and forwards what it made; a dropped document is answered as OpenSearch does."""
    pipeline = await _choose(call)
    if pipeline is None:
        return await call.stream_on()
    body = await call.text()
    call.require_json()
    index, id_ = call.params["index"], call.params.get("id")
    batch = Batch.of("document", body, index=index, id=id_)
    run = await call.parts.runner.run(pipeline, batch)
    call.extra["X-Pipeline"] = choice.header([(PipelineType.DOCUMENT, run)])
    state, failure = batch.outcome(0)
    if failure is not None:
        raise StageError(*failure)
    if state == "dropped":
        return await call.reply_json(200, _noop(call, index, id_))
    return await call.send_on(batch.document(0), changed=True)


async def _choose(call: Call) -> Pipeline | None:
    """The pipeline for this document; takes our names out of the target."""
    snapshot = call.snapshot
    if PipelineType.DOCUMENT not in snapshot.types:
        return None
    chosen = choice.override(call, snapshot, PipelineType.DOCUMENT)
    name = call.target.get("pipeline")
    if chosen is None and name is not None:
        chosen = choice.named(snapshot, PipelineType.DOCUMENT, name)
        if chosen.ours:
            call.target = call.target.without("pipeline")
    call.target = call.target.without("document_pipeline")
    if chosen is not None:
        return chosen.pipeline
    return await choice.for_document(snapshot, call.parts.resolver, call.params["index"])


def _noop(call: Call, index: str, id_: str | None) -> dict[str, Any]:
    create = id_ is None or call.target.get("op_type") == "create" or "_create" in call.target.segments
    given = call.target.get("version")
    version = int(given) if given and given.isdigit() else MATCH_DELETED if create else MATCH_ANY
    return {
        "_index": index,
        "_id": id_ or "auto-generated",
        "_version": version,
        "result": "noop",
        "_shards": msgspec.Raw(b'{"total":0,"successful":0,"failed":0}'),
    }
