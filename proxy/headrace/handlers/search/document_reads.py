"""`GET _doc`, `_source`, `_mget`, `_termvectors`: documents that are read by id, where their index is protected.

An index is protected by a final result pipeline, or by a default one with a stage that says `protect`. Its documents go
through that pipeline as a response with one hit, else a mask would leak to whoever knows an id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.read_guard import WHOLE_DOCUMENT, DocumentAbout, Guard, guard_of, protecting, seen
from headrace.execution.search_run import RESULT, SearchRun
from headrace.protocol.errors import error_object
from headrace.protocol.headers.encoding import canonical
from headrace.server.reply import reply, reply_answer, reply_json
from headrace_pipelines.definition import members_of, object_of
from headrace_pipelines.errors import RefusedError, StageError, UnsupportedError, UpstreamError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.choice import Override, ScopedPipeline
    from headrace.protocol.target import Target
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.association import Slot

_BEFORE = (
    b'{"took":0,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},'
    b'"hits":{"total":{"value":1,"relation":"eq"},"max_score":null,"hits":['
)


class _Found(msgspec.Struct):
    docs: list[msgspec.Raw]


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class _Response(msgspec.Struct):
    hits: _Hits


async def _named(context: RequestContext) -> str:
    """The index of a read by id, put in place of its alias, so that the one that is judged is the one that is read."""
    name = context.params.get("index", "_all")
    if not context.snapshot.protects:
        return name
    behind = (await context.components.resolver.view([name])).aliases.get(name, {})
    if len(behind) != 1:
        return name
    ((index, options),) = behind.items()
    if options.written is not None:
        if context.target.get("routing") not in (None, options.written):
            return name
        context.target = context.target.with_parameter("routing", options.written)
    context.target = context.target.at_indexes(index, instead=True)
    return index


async def document(context: RequestContext) -> web.StreamResponse:
    """`GET` and `HEAD` of `/{index}/_doc/{id}` and `/{index}/_source/{id}`."""
    guard = await guard_of(context, await _named(context), _taken(context))
    if guard is None:
        return await context.forward_streaming()
    guard.check(context)
    sent, source_only = context.target, context.target.raw_segments[1] == "_source"
    if source_only:
        context.target = sent.at("/".join(["", sent.raw_segments[0], "_doc", *sent.raw_segments[2:]]))
    if context.method == "HEAD":
        return await _head(context, guard, sent)
    answer = await context.forward_buffered(b"", changed=False, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        if source_only and answer.status == 404:
            return await _no_source(context)
        return await reply_answer(context, answer)
    if not await guard.lets_see(context, answer.body):
        about = {"_index": context.params["index"], "_id": context.params["id"], "found": False}
        return await (_no_source(context) if source_only else reply_json(context, 404, about))
    work = SearchRun(context, context.params["index"], b"")
    hit = await _as_hit(work, guard.parts, answer.body)
    if work.runs:
        context.response_headers["X-Pipeline"] = choice.header(work.runs)
    if source_only:
        source = members_of(hit).get("_source") if hit is not None else None
        return await (_no_source(context) if source is None else reply_answer(context, answer, bytes(source)))
    if hit is None:
        return await reply(context, 404, _missing(answer.body))
    return await reply_answer(context, answer, hit)


async def _head(context: RequestContext, guard: Guard, sent: Target) -> web.StreamResponse:
    """The head of a document's answer; of one that may not be seen that of a missing one."""
    if guard.visible is not None:
        answer = await context.call_cluster("GET", context.target.without("filter_path", "_source", "format").raw)
        if answer.ok and not await guard.lets_see(context, answer.body):
            return await reply(context, 404, b"")
    context.target = sent
    return await context.forward_streaming()


async def _no_source(context: RequestContext) -> web.StreamResponse:
    reason = f"Document not found [{context.params['index']}]/[{context.params['id']}]"
    cause = {"type": "resource_not_found_exception", "reason": reason}
    return await reply_json(context, 404, {"error": {"root_cause": [cause], **cause}, "status": 404})


async def mget(context: RequestContext) -> web.StreamResponse:
    """`_mget`: each document by its own index; one that fails in its pipeline is its own error."""
    given = _taken(context)
    snapshot = context.snapshot
    if given is None and RESULT not in snapshot.bound_types and not snapshot.protects:
        return await context.forward_streaming()
    body = await context.text()
    if snapshot.protects and body:
        context.require_json()
        body = canonical(body)
    answer = await context.forward_buffered(body, changed=True, unfiltered=True)
    if not answer.json and await protecting(context, "_all", given):
        answer.require_json()
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    docs = _documents(answer.body)
    if docs is None:
        docs = await _readable(context, *_asked_for(body))
    guards: dict[str, Guard | None] = {}
    held: list[Guard | None] = []
    for doc in docs:
        about = msgspec.json.decode(doc, type=DocumentAbout)
        if about.index not in guards:
            guards[about.index] = await guard_of(context, about.index, given)
        held.append(guards[about.index] if about.found else None)
    for guard in filter(None, guards.values()):
        _check_mget(context, guard, body)
    shown = await _shown_documents(context, docs, held)
    return await reply_answer(context, answer, b'{"docs":[' + b",".join(shown) + b"]}")


def _documents(answer: bytes) -> list[bytes] | None:
    """The documents of the answer to an `_mget`; `None` if one of them cannot be read, so that none is told apart."""
    try:
        docs = [bytes(doc) for doc in msgspec.json.decode(answer, type=_Found).docs]
        for doc in docs:
            msgspec.json.decode(doc)
    except msgspec.ValidationError:
        raise UpstreamError("the upstream answered an _mget without [docs]") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return docs


def _asked_for(body: bytes) -> tuple[str, list[msgspec.Raw]]:
    """The list of an `_mget`: its name, `docs` or `ids`, and its entries."""
    members = members_of(body)
    name = "docs" if "docs" in members else "ids"
    return name, msgspec.json.decode(members.get(name, msgspec.Raw(b"[]")), type=list[msgspec.Raw])


async def _readable(context: RequestContext, name: str, asked: list[msgspec.Raw]) -> list[bytes]:
    """Asks for documents half by half until those that nobody can read stand alone: for us they are not there."""
    if len(asked) == 1:
        entry = msgspec.json.decode(asked[0])
        entry = entry if name == "docs" else {"_id": entry}
        about = {"_index": entry.get("_index") or context.params.get("index", ""), "_id": str(entry.get("_id", ""))}
        return [msgspec.json.encode(about | {"found": False})]
    found: list[bytes] = []
    target = context.target.without("filter_path", "format").raw
    for half in (asked[: len(asked) // 2], asked[len(asked) // 2 :]):
        answer = await context.call_cluster("POST", target, msgspec.json.encode({name: half}))
        docs = _documents(answer.body) if answer.ok else None
        found += docs if docs is not None else await _readable(context, name, half)
    return found


def _check_mget(context: RequestContext, guard: Guard, body: bytes) -> None:
    """Raises RefusedError for stored fields, of the URL or of one document, that a pipeline hides."""
    guard.check(context)
    if not guard.scope.hidden or not body:
        return
    for doc in object_of(body).get("docs") or []:
        if guard.scope.conditional and isinstance(doc, dict) and "_source" in doc:
            raise RefusedError(WHOLE_DOCUMENT)
        fields = doc.get("stored_fields", doc.get("_stored_fields")) if isinstance(doc, dict) else None
        for field in [fields] if isinstance(fields, str) else fields or []:
            if guard.scope.hidden.covers(str(field)):
                raise RefusedError(f"[stored_fields] asks for [{field}], which a final result pipeline hides")


async def _shown_documents(context: RequestContext, docs: list[bytes], guards: list[Guard | None]) -> list[bytes]:
    """Documents as they may be shown, each by the guard beside it."""
    checked = [(guard, doc) for guard, doc in zip(guards, docs, strict=True) if guard is not None]
    good = iter(await seen(context, checked))
    shown: list[bytes] = []
    for guard, doc in zip(guards, docs, strict=True):
        if guard is None:
            shown.append(doc)
        else:
            shown.append(await _shown_document(context, doc, guard.parts) if next(good) else _missing(doc))
    return shown


async def _shown_document(context: RequestContext, doc: bytes, parts: list[tuple[Slot, ScopedPipeline]]) -> bytes:
    if not parts:
        return doc
    try:
        index = msgspec.json.decode(doc, type=DocumentAbout).index
        hit = await _as_hit(SearchRun(context, index, b""), parts, doc)
    except StageError as error:
        cause = error_object(error)
        about = msgspec.json.decode(_missing(doc))
        del about["found"]
        return msgspec.json.encode(about | {"error": {"root_cause": [cause], **cause}})
    return _missing(doc) if hit is None else hit


async def term_vectors(context: RequestContext) -> web.StreamResponse:
    """`_termvectors` and `_mtermvectors`: no pipeline can read them, so they are refused for protected indexes."""
    await refuse_protected(context)
    return await context.forward_streaming()


async def refuse_protected(context: RequestContext) -> None:
    """Raises UnsupportedError where the request would show documents of a protected index in a form of its own.

    The indexes that a body names count, too.
    """
    expressions = [await _named(context)]
    given = _taken(context)
    if context.snapshot.protects and context.has_body:
        context.require_json()
        body = object_of(canonical(await context.text() or b"{}"))
        docs = [doc for doc in body.get("docs") or [] if isinstance(doc, dict)]
        expressions += [str(each["_index"]) for each in [body, *docs] if each.get("_index")]
    for expression in expressions:
        if await guard_of(context, expression, given) is not None:
            raise UnsupportedError(
                "this would show documents that final pipelines protect, in a form that they cannot read"
            )


def _taken(context: RequestContext) -> Override | None:
    """The request's own `result_pipeline`, taken out of the URL. Raises InvalidError for one that is not there."""
    if RESULT not in context.snapshot.types:
        return None
    given = choice.override(context, context.snapshot, RESULT)
    context.target = context.target.without(choice.OVERRIDES[RESULT])
    return given


async def _as_hit(work: SearchRun, parts: list[tuple[Slot, ScopedPipeline]], document: bytes) -> bytes | None:
    """A document after the pipelines; `None` if they removed it. Raises StageError."""
    shown = await work.results(parts, _BEFORE + document.strip() + b"]}}")
    hits = msgspec.json.decode(shown, type=_Response).hits.hits
    return bytes(hits[0]) if hits else None


def _missing(document: bytes) -> bytes:
    about = members_of(document)
    return msgspec.json.encode({"_index": about["_index"], "_id": about["_id"], "found": False})
