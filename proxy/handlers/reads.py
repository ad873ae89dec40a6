"""`GET _doc`, `_source`, `_mget`, `_termvectors`: documents that are read by id, where their index is protected.

An index is protected by a final result pipeline, or by a default one with a stage that says `protect`. Its documents go
through that pipeline as a response with one hit, else a mask would leak to whoever knows an id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipelines.association import Slot
from pipelines.definition import members_of
from pipelines.errors import StageError, UnsupportedError
from proxy.handlers import choice
from proxy.handlers.choice import Chosen, Part
from proxy.handlers.searching import RESULT, RESULT_FINAL, Searching
from proxy.protocol.errors import error_object

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call

_BEFORE = (
    b'{"took":0,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},'
    b'"hits":{"total":{"value":1,"relation":"eq"},"max_score":null,"hits":['
)


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class _Response(msgspec.Struct):
    hits: _Hits


async def document(call: Call) -> web.StreamResponse:
    """`GET /{index}/_doc/{id}` and `_source/{id}`."""
    parts = await protecting(call, call.params["index"], _taken(call))
    if not parts:
        return await call.stream_on()
    sent, source_only = call.target, call.target.segments[-2] == "_source"
    if source_only:
        call.target = sent.at(sent.raw_path.replace("/_source/", "/_doc/", 1))
    answer = await call.exchange(b"", changed=False, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        if not source_only:
            return await call.reply_answer(answer)
        call.target = sent
        return await call.stream_on()
    work = Searching(call, call.params["index"], b"")
    hit = await _as_hit(work, parts, answer.body)
    call.extra["X-Pipeline"] = choice.header(work.runs)
    if source_only:
        source = members_of(hit).get("_source") if hit is not None else None
        if source is not None:
            return await call.reply_answer(answer, bytes(source))
        reason = f"Document not found [{call.params['index']}]/[{call.params['id']}]"
        cause = {"type": "resource_not_found_exception", "reason": reason}
        return await call.reply_json(404, {"error": {"root_cause": [cause], **cause}, "status": 404})
    if hit is None:
        return await call.reply(404, _missing(answer.body))
    return await call.reply_answer(answer, hit)


async def mget(call: Call) -> web.StreamResponse:
    """`_mget`: each document by its own index; one that fails in its pipeline is its own error."""
    given = _taken(call)
    if given is None and RESULT not in call.snapshot.bound_types:
        return await call.stream_on()
    answer = await call.exchange(await call.body(), changed=False, unfiltered=True)
    if not answer.json and await protecting(call, "_all", given):
        answer.require_json()
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    members = members_of(answer.body)
    docs = msgspec.json.decode(members["docs"], type=list[msgspec.Raw])
    found: dict[str, list[tuple[Slot, Part]]] = {}
    made: list[bytes] = []
    for doc in docs:
        about = members_of(bytes(doc))
        index = msgspec.json.decode(about["_index"], type=str)
        if index not in found:
            found[index] = await protecting(call, index, given)
        there = bytes(about.get("found", msgspec.Raw(b"false"))) == b"true"
        made.append(await _one(call, bytes(doc), found[index]) if found[index] and there else bytes(doc))
    members["docs"] = msgspec.Raw(b"[" + b",".join(made) + b"]")
    return await call.reply_answer(answer, msgspec.json.encode(members))


async def _one(call: Call, doc: bytes, parts: list[tuple[Slot, Part]]) -> bytes:
    try:
        hit = await _as_hit(Searching(call, "", b""), parts, doc)
    except StageError as error:
        cause = error_object(error)
        about = msgspec.json.decode(_missing(doc))
        del about["found"]
        return msgspec.json.encode(about | {"error": {"root_cause": [cause], **cause}})
    return _missing(doc) if hit is None else hit


async def term_vectors(call: Call) -> web.StreamResponse:
    """`_termvectors` and `_mtermvectors`: no pipeline can read them, so they are refused for protected indexes."""
    await refuse_protected(call)
    return await call.stream_on()


async def refuse_protected(call: Call) -> None:
    """Raises UnsupportedError where the request would show documents of a protected index in a form of its own."""
    if await protecting(call, call.params.get("index", "_all"), _taken(call)):
        raise UnsupportedError(
            "this would show documents that result pipelines protect, in a form that they cannot read"
        )


def _taken(call: Call) -> Chosen | None:
    """The request's own `result_pipeline`, taken out of the URL. Raises InvalidError for one that is not there."""
    if RESULT not in call.snapshot.types:
        return None
    given = choice.override(call, call.snapshot, RESULT)
    call.target = call.target.without(choice.OVERRIDES[RESULT])
    return given


async def protecting(call: Call, expression: str, given: Chosen | None) -> list[tuple[Slot, Part]]:
    """The result pipelines that protect an index of `expression`; `given` is in place of the default ones."""
    snapshot = call.snapshot
    parts: list[tuple[Slot, Part]] = []
    slots = [RESULT_FINAL]
    if given is None:
        slots.insert(0, Slot(RESULT))
    elif given.pipeline is not None:
        parts.append((Slot(RESULT), Part(given.pipeline)))
    for held in await choice.held(snapshot, call.parts.resolver, expression, slots):
        for name in held.names:
            pipeline = snapshot.attached(RESULT, name)
            if pipeline.definition.enabled and (held.slot.final or pipeline.protects):
                parts.append((held.slot, Part(pipeline)))
    return parts


async def _as_hit(work: Searching, parts: list[tuple[Slot, Part]], document: bytes) -> bytes | None:
    """A document after the pipelines; `None` if they removed it. Raises StageError."""
    made = await work.results(parts, _BEFORE + document.strip() + b"]}}")
    hits = msgspec.json.decode(made, type=_Response).hits.hits
    return bytes(hits[0]) if hits else None


def _missing(document: bytes) -> bytes:
    about = members_of(document)
    return msgspec.json.encode({"_index": about["_index"], "_id": about["_id"], "found": False})
