"""`/{index}/_doc[/{id}]`, `_create/{id}`, `_update/{id}`: one document through document pipelines, as a bulk of one.

What stages leave in its place is forwarded where the client sent it; when they moved it to another index or made
several documents of it, it goes on as a bulk, whose item is answered in the shape of a single write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs

from headrace.execution import choice, document_run
from headrace.execution.dead_letters import policy
from headrace.execution.dead_letters.bulk import Error
from headrace.execution.dead_letters.single import SingleWrite
from headrace.handlers.passthrough import passthrough
from headrace.handlers.write import fitting, updates
from headrace.protocol.headers.encoding import as_single_line, canonical
from headrace.server.reply import reply_answer, reply_json
from headrace_pipelines import Bulk, PipelineType, plain_json, unambiguous_json
from headrace_pipelines.errors import OverloadedError
from headrace_pipelines.registry.association import DOCUMENT_FINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from headrace.execution.dead_letters.single import Reply
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry import Pipeline

MATCH_ANY = -3
"""The `_version` of a dropped document in the answer to an index request (measured on 3.8.0)."""
MATCH_DELETED = -4
"""The same in the answer to a create."""
_OF_THE_ACTION = ("routing", "version", "version_type", "if_seq_no", "if_primary_term", "retry_on_conflict")
_OF_THE_BULK = ("refresh", "timeout", "wait_for_active_shards", "pipeline", "require_alias")


async def document(context: RequestContext) -> web.StreamResponse:
    """Runs the document's pipelines and forwards what they made; a dropped document is answered as OpenSearch does."""
    snapshot, named = context.snapshot, _named(context)
    pipeline = await _choose(context)
    dead = await policy.of_target(context, snapshot, context.params["index"], pipeline)
    if pipeline is None and dead is None and not await _has_final(context):
        return await context.forward_streaming()
    body = await context.text()
    if not body:
        # The cluster refuses it in its own words; it takes no `source=` here (measured on 3.8.0).
        return await context.forward(body, changed=True)
    context.require_json()
    op = "create" if _creates(context) else "index"
    write = SingleWrite(context, dead, op, body, named, pipeline.label if pipeline is not None else "")
    if DOCUMENT_FINAL in snapshot.bound:
        try:
            body = unambiguous_json(body)
        except ValueError as error:
            return await _failed(write, (400, "mapper_parsing_exception", f"failed to parse: {error}", "", ""))
    else:
        body = plain(body)
    action = _action(context, op)
    parsed = Bulk(b"%b\n%b\n" % (action, as_single_line(body)))
    groups: list[document_run.Group] = [(pipeline, [0])] if pipeline is not None else []
    fitted: list[document_run.Fitted] = []
    runs = await document_run.run(context, snapshot, parsed, groups, fitted)
    if runs:
        context.response_headers["X-Pipeline"] = choice.header(runs)
    text = parsed.document(0)
    return await _forward(write, parsed, body if text is None else text, fitted)


async def update(context: RequestContext) -> web.StreamResponse:
    """`_update/{id}`: document pipelines on what it may insert, its `upsert` or its `doc` with `doc_as_upsert`."""
    snapshot = context.snapshot
    # OpenSearch refuses `pipeline=` here; so it is left to the cluster.
    named = context.target.get("document_pipeline")
    pipeline = await _choose(context, names=False)
    dead = await policy.of_target(context, snapshot, context.params["index"], pipeline)
    guarded = snapshot.protects and await document_run.hides(context, context.params["index"])
    if pipeline is None and dead is None and not guarded and not await _has_final(context):
        return await passthrough(context)
    body = await context.text()
    if not body:
        # The cluster refuses it in its own words; it takes no `source=` here (measured on 3.8.0).
        return await context.forward(body, changed=True)
    context.require_json()
    write = SingleWrite(context, dead, "update", body, named, pipeline.label if pipeline is not None else "")
    body = canonical(body) if snapshot.protects else plain(body)
    parsed = Bulk(b"%b\n%b\n" % (_action(context, "update"), as_single_line(body)))
    if await document_run.refuse_shown(context, parsed):
        await updates.check_update(context)
    runs = await document_run.run(context, snapshot, parsed, [(pipeline, [0])] if pipeline is not None else [])
    if runs:
        context.response_headers["X-Pipeline"] = choice.header(runs)
    lines = parsed.render()
    return await _forward(write, parsed, bytes(lines).split(b"\n")[1] if lines else body)


def plain(body: bytes) -> bytes:
    """A document without comments, which the cluster passes over; one to the line's end would go on in one line."""
    return plain_json(body) or body if b"/" in body and (b"//" in body or b"/*" in body) else body


async def _dead(context: RequestContext, dead: Reply) -> web.StreamResponse:
    """Answers for a document that is a dead letter."""
    if dead.status == OverloadedError.status:
        context.response_headers[hdrs.RETRY_AFTER] = "1"
    return await reply_json(context, dead.status, dead.body)


async def _failed(write: SingleWrite, failure: tuple[int, str, str, str, str]) -> web.StreamResponse:
    """Answers for a document that failed: as a dead letter, or raises StageError in the cluster's shape."""
    error = write.context.stage_error(*failure)
    if (dead := await write.failed((error.status, error.type, error.reason, error.pipeline, error.stage))) is not None:
        return await _dead(write.context, dead)
    raise error


async def _forward(
    write: SingleWrite, parsed: Bulk, body: bytes, fitted: list[document_run.Fitted] | None = None
) -> web.StreamResponse:
    """Sends on what stages made of the one document. Raises StageError."""
    context = write.context
    state, failure = parsed.outcome(0)
    if failure is not None:
        return await _failed(write, failure)
    if state == "dropped":
        id_, given = context.params.get("id"), context.target.get("version")
        return await reply_json(context, 200, noop(context.params["index"], id_, given, creates=_creates(context)))
    if state == "elsewhere":
        return await _as_item(write, parsed)
    if not write.watches and not fitted:
        return await context.forward(body, changed=True)
    answer = await context.forward_buffered(body, unfiltered=True)
    if fitted:
        answer = await fitting.single_again(context, fitted, context.params["index"], body, answer)
    if write.watches and (dead := await write.refused(answer)) is not None:
        return await _dead(context, dead)
    filtered = answer.json and context.target.get("filter_path")
    return await reply_answer(context, answer, answer.body if filtered else None)


def _action(context: RequestContext, name: str) -> bytes:
    """The write as the action line of a bulk."""
    of_url = {name: value for name in _OF_THE_ACTION if (value := context.target.get(name)) is not None}
    return action_line(name, context.params["index"], context.params.get("id"), of_url)


def action_line(name: str, index: str, id_: str | None, more: Mapping[str, str] | None = None) -> bytes:
    """An action line of a bulk; `more`: further members of its metadata."""
    meta = {"_index": index}
    if id_ is not None:
        meta["_id"] = id_
    return msgspec.json.encode({name: {**meta, **more} if more else meta})


def _named(context: RequestContext) -> str | None:
    """The pipeline that the request names."""
    return context.target.get("document_pipeline") or context.target.get("pipeline")


def _creates(context: RequestContext) -> bool:
    return "_create" in context.target.segments or context.target.get("op_type") == "create"


async def _choose(context: RequestContext, *, names: bool = True) -> Pipeline | None:
    """The default pipeline for this document; takes our names out of the target. `names`: `pipeline=` is one."""
    snapshot = context.snapshot
    if PipelineType.DOCUMENT not in snapshot.types:
        return None
    chosen = choice.override(context, snapshot, PipelineType.DOCUMENT)
    name = context.target.get("pipeline") if names else None
    if document_run.names_of_cluster(context, snapshot, name):
        raise document_run.of_cluster(name)
    if chosen is None and name is not None:
        chosen = choice.named(snapshot, PipelineType.DOCUMENT, name)
        if chosen.ours:
            context.target = context.target.without("pipeline")
    context.target = context.target.without("document_pipeline")
    if chosen is not None:
        return chosen.pipeline
    return await choice.for_document(snapshot, context.components.resolver, context.params["index"])


async def _has_final(context: RequestContext) -> bool:
    """Whether a final pipeline may concern the document where it goes now."""
    if DOCUMENT_FINAL not in context.snapshot.bound:
        return False
    index = context.params["index"]
    return await choice.for_document(context.snapshot, context.components.resolver, index, final=True) is not None


async def _as_item(write: SingleWrite, parsed: Bulk) -> web.StreamResponse:
    """Writes what the pipelines made as a bulk, and answers with its item."""
    context = write.context
    kept = {name: value for name in _OF_THE_BULK if (value := context.target.get(name)) is not None}
    answer = await context.write_bulk(parsed.render() or b"", kept)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    merged = msgspec.json.decode(parsed.merge(answer.body, 0))
    (item,) = merged["items"][0].values()
    status = item.pop("status")
    if "error" in item:
        error = item["error"]
        dead = (
            await write.item(status, msgspec.convert(error, Error), error, parsed.forwarded(0))
            if write.watches
            else None
        )
        if dead is not None:
            return await _dead(context, dead)
        return await reply_json(context, status, {"error": {"root_cause": [error], **error}, "status": status})
    return await reply_json(context, status, item)


def noop(index: str, id_: str | None, given: str | None = None, *, creates: bool) -> dict[str, Any]:
    """The answer for a document that was dropped; `given`: the version that the request names."""
    version = int(given) if given and given.isdigit() else MATCH_DELETED if creates or id_ is None else MATCH_ANY
    return {
        "_index": index,
        "_id": id_ or "auto-generated",
        "_version": version,
        "result": "noop",
        "_shards": msgspec.Raw(b'{"total":0,"successful":0,"failed":0}'),
    }
