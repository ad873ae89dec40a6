"""`GET _doc`, `_source`, `_mget`, `_termvectors`: documents that are read by id, where their index is protected.

An index is protected by a final result pipeline, or by a default one with a stage that says `protect`. Its documents go
through that pipeline as a response with one hit, else a mask would leak to whoever knows an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution import choice
from headrace.execution.choice import Chosen, Part
from headrace.execution.expressions import read_by
from headrace.execution.protected import UNPROTECTED, canonical, protection_of
from headrace.execution.search_plan import attached
from headrace.execution.search_run import RESULT, RESULT_FINAL, Searching
from headrace.execution.visibility import Read, visible
from headrace.protocol.errors import error_object
from headrace_pipelines.definition import members_of, object_of
from headrace_pipelines.errors import RefusedError, StageError, UnsupportedError, UpstreamError
from headrace_pipelines.registry.association import Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from headrace.execution.protection import Scope
    from headrace.protocol.target import Target
    from headrace.server.request import Call

_BEFORE = (
    b'{"took":0,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},'
    b'"hits":{"total":{"value":1,"relation":"eq"},"max_score":null,"hits":['
)


class _About(msgspec.Struct):
    """What the answer to a read by id says of the document."""

    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")
    routing: str | None = msgspec.field(name="_routing", default=None)
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    found: bool = False


class _Found(msgspec.Struct):
    docs: list[msgspec.Raw]


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class _Response(msgspec.Struct):
    hits: _Hits


_NARROWING = ("_source", "_source_includes", "_source_excludes")
_WHOLE = (
    "what a final result pipeline hides of this document depends on other fields of it: leave out [_source], so that "
    "the pipeline sees the whole document"
)


@dataclass
class Guard:
    """What protects the documents of an index: pipelines that they go through, and a query that they have to meet."""

    parts: list[tuple[Slot, Part]]
    visible: Any
    scope: Scope
    indexes: frozenset[str] | None
    """The indexes that were judged; `None` where no final pipeline is attached anywhere."""

    def check(self, call: Call) -> None:
        """Raises RefusedError for parameters that show hidden fields past the pipelines."""
        if self.scope.hidden and self.scope.conditional and call.target.has_any(_NARROWING):
            raise RefusedError(_WHOLE)
        for name in ("stored_fields", "fields", "docvalue_fields"):
            for field in (call.target.get(name) or "").split(","):
                if field and self.scope.hidden.covers(field):
                    raise RefusedError(f"[{name}] asks for [{field}], which a final result pipeline hides")

    async def lets_see(self, call: Call, document: bytes) -> bool:
        """Whether the final query pipelines let a document that was found be seen."""
        return (await seen(call, [(self, document)]))[0]


async def seen(call: Call, documents: Sequence[tuple[Guard, bytes]]) -> list[bool]:
    """The same for several documents, which are all found."""
    answers = [True] * len(documents)
    asked: list[tuple[int, Read, Any]] = []
    for at, (guard, document) in enumerate(documents):
        try:
            about = msgspec.json.decode(document, type=_About)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Nobody can read it, so nobody can say what of it may be seen.
            answers[at] = False
            continue
        if guard.indexes is not None and about.index not in guard.indexes:
            answers[at] = False
        elif guard.visible is not None:
            asked.append((at, Read(about.index, about.id, about.routing, about.seq_no), guard.visible))
    if asked:
        found = await visible(call, [(read, query) for _, read, query in asked])
        for (at, _, _), good in zip(asked, found, strict=True):
            answers[at] = good
    return answers


async def _named(call: Call) -> str:
    """The index of a read by id, put in place of its alias, so that the one that is judged is the one that is read."""
    name = call.params.get("index", "_all")
    if not call.snapshot.protects:
        return name
    behind = (await call.parts.resolver.view([name])).aliases.get(name, {})
    if len(behind) != 1:
        return name
    ((index, options),) = behind.items()
    if options.written is not None:
        if call.target.get("routing") not in (None, options.written):
            return name
        call.target = call.target.with_parameter("routing", options.written)
    call.target = call.target.at_indexes(index, instead=True)
    return index


async def document(call: Call) -> web.StreamResponse:
    """`GET` and `HEAD` of `/{index}/_doc/{id}` and `/{index}/_source/{id}`."""
    guard = await guard_of(call, await _named(call), _taken(call))
    if guard is None:
        return await call.stream_on()
    guard.check(call)
    sent, source_only = call.target, call.target.raw_segments[1] == "_source"
    if source_only:
        call.target = sent.at("/".join(["", sent.raw_segments[0], "_doc", *sent.raw_segments[2:]]))
    if call.method == "HEAD":
        return await _head(call, guard, sent)
    answer = await call.exchange(b"", changed=False, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        if source_only and answer.status == 404:
            return await _no_source(call)
        return await call.reply_answer(answer)
    if not await guard.lets_see(call, answer.body):
        about = {"_index": call.params["index"], "_id": call.params["id"], "found": False}
        return await (_no_source(call) if source_only else call.reply_json(404, about))
    work = Searching(call, call.params["index"], b"")
    hit = await _as_hit(work, guard.parts, answer.body)
    if work.runs:
        call.extra["X-Pipeline"] = choice.header(work.runs)
    if source_only:
        source = members_of(hit).get("_source") if hit is not None else None
        return await (_no_source(call) if source is None else call.reply_answer(answer, bytes(source)))
    if hit is None:
        return await call.reply(404, _missing(answer.body))
    return await call.reply_answer(answer, hit)


async def _head(call: Call, guard: Guard, sent: Target) -> web.StreamResponse:
    """The head of a document's answer; of one that may not be seen that of a missing one."""
    if guard.visible is not None:
        answer = await call.ask("GET", call.target.without("filter_path", "_source", "format").raw)
        if answer.ok and not await guard.lets_see(call, answer.body):
            return await call.reply(404, b"")
    call.target = sent
    return await call.stream_on()


async def _no_source(call: Call) -> web.StreamResponse:
    reason = f"Document not found [{call.params['index']}]/[{call.params['id']}]"
    cause = {"type": "resource_not_found_exception", "reason": reason}
    return await call.reply_json(404, {"error": {"root_cause": [cause], **cause}, "status": 404})


async def mget(call: Call) -> web.StreamResponse:
    """`_mget`: each document by its own index; one that fails in its pipeline is its own error."""
    given = _taken(call)
    snapshot = call.snapshot
    if given is None and RESULT not in snapshot.bound_types and not snapshot.protects:
        return await call.stream_on()
    body = await call.text()
    if snapshot.protects and body:
        call.require_json()
        body = canonical(body)
    answer = await call.exchange(body, changed=True, unfiltered=True)
    if not answer.json and await protecting(call, "_all", given):
        answer.require_json()
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    docs = _documents(answer.body)
    if docs is None:
        docs = await _readable(call, *_asked_for(body))
    guards: dict[str, Guard | None] = {}
    held: list[Guard | None] = []
    for doc in docs:
        about = msgspec.json.decode(doc, type=_About)
        if about.index not in guards:
            guards[about.index] = await guard_of(call, about.index, given)
        held.append(guards[about.index] if about.found else None)
    for guard in filter(None, guards.values()):
        _check_mget(call, guard, body)
    made = await _several(call, docs, held)
    return await call.reply_answer(answer, b'{"docs":[' + b",".join(made) + b"]}")


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
    """What an `_mget` asks for: the name of its list, `docs` or `ids`, and what is in it."""
    members = members_of(body)
    name = "docs" if "docs" in members else "ids"
    return name, msgspec.json.decode(members.get(name, msgspec.Raw(b"[]")), type=list[msgspec.Raw])


async def _readable(call: Call, name: str, asked: list[msgspec.Raw]) -> list[bytes]:
    """Asks for documents half by half until those that nobody can read stand alone: for us they are not there."""
    if len(asked) == 1:
        one = msgspec.json.decode(asked[0])
        one = one if name == "docs" else {"_id": one}
        about = {"_index": one.get("_index") or call.params.get("index", ""), "_id": str(one.get("_id", ""))}
        return [msgspec.json.encode(about | {"found": False})]
    found: list[bytes] = []
    target = call.target.without("filter_path", "format").raw
    for half in (asked[: len(asked) // 2], asked[len(asked) // 2 :]):
        answer = await call.ask("POST", target, msgspec.json.encode({name: half}))
        docs = _documents(answer.body) if answer.ok else None
        found += docs if docs is not None else await _readable(call, name, half)
    return found


def _check_mget(call: Call, guard: Guard, body: bytes) -> None:
    """Raises RefusedError for stored fields, of the URL or of one document, that a pipeline hides."""
    guard.check(call)
    if not guard.scope.hidden or not body:
        return
    for doc in object_of(body).get("docs") or []:
        if guard.scope.conditional and isinstance(doc, dict) and "_source" in doc:
            raise RefusedError(_WHOLE)
        fields = doc.get("stored_fields", doc.get("_stored_fields")) if isinstance(doc, dict) else None
        for field in [fields] if isinstance(fields, str) else fields or []:
            if guard.scope.hidden.covers(str(field)):
                raise RefusedError(f"[stored_fields] asks for [{field}], which a final result pipeline hides")


async def _several(call: Call, docs: list[bytes], guards: list[Guard | None]) -> list[bytes]:
    """Documents as they may be shown, each by the guard beside it."""
    checked = [(guard, doc) for guard, doc in zip(guards, docs, strict=True) if guard is not None]
    good = iter(await seen(call, checked))
    made: list[bytes] = []
    for guard, doc in zip(guards, docs, strict=True):
        if guard is None:
            made.append(doc)
        else:
            made.append(await _one(call, doc, guard.parts) if next(good) else _missing(doc))
    return made


async def _one(call: Call, doc: bytes, parts: list[tuple[Slot, Part]]) -> bytes:
    if not parts:
        return doc
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
    """Raises UnsupportedError where the request would show documents of a protected index in a form of its own.

    The indexes that a body names count, too.
    """
    expressions = [await _named(call)]
    given = _taken(call)
    if call.snapshot.protects and call.has_body:
        call.require_json()
        body = object_of(canonical(await call.text() or b"{}"))
        docs = [doc for doc in body.get("docs") or [] if isinstance(doc, dict)]
        expressions += [str(each["_index"]) for each in [body, *docs] if each.get("_index")]
    for expression in expressions:
        if await guard_of(call, expression, given) is not None:
            raise UnsupportedError(
                "this would show documents that final pipelines protect, in a form that they cannot read"
            )


def _taken(call: Call) -> Chosen | None:
    """The request's own `result_pipeline`, taken out of the URL. Raises InvalidError for one that is not there."""
    if RESULT not in call.snapshot.types:
        return None
    given = choice.override(call, call.snapshot, RESULT)
    call.target = call.target.without(choice.OVERRIDES[RESULT])
    return given


async def guard_of(call: Call, expression: str, given: Chosen | None) -> Guard | None:
    """What protects the documents of the indexes of `expression`; `None` where nothing does. Raises HeadraceError."""
    snapshot = call.snapshot
    parts = await protecting(call, expression, given)
    if not parts and not snapshot.protects:
        return None
    chosen = await attached(call, snapshot, expression, defaults=False)
    if chosen.reading is None:
        return Guard(parts, None, UNPROTECTED.scope, None) if parts else None
    protection = await protection_of(call, chosen) or UNPROTECTED
    if not parts and protection.visible is None:
        return None
    return Guard(parts, protection.visible, protection.scope, frozenset(chosen.reading.resolution.indexes))


async def protecting(call: Call, expression: str, given: Chosen | None) -> list[tuple[Slot, Part]]:
    """The result pipelines that protect an index of `expression`; `given` is in place of the default ones.

    It is the last one, so that it sees only what final ones leave.
    """
    snapshot = call.snapshot
    parts: list[tuple[Slot, Part]] = []
    named = [(Slot(RESULT), Part(given.pipeline))] if given is not None and given.pipeline is not None else []
    slots = [RESULT_FINAL] if given is not None else [Slot(RESULT), RESULT_FINAL]
    if snapshot.bound.isdisjoint(slots):
        return named
    reading = await read_by(call, expression)
    for held in choice.held(snapshot, reading.targets, slots):
        for name in held.names:
            pipeline = snapshot.attached(RESULT, name)
            if pipeline.definition.enabled and (held.slot.final or pipeline.protects):
                parts.append((held.slot, Part(pipeline)))
    return parts + named


async def _as_hit(work: Searching, parts: list[tuple[Slot, Part]], document: bytes) -> bytes | None:
    """A document after the pipelines; `None` if they removed it. Raises StageError."""
    made = await work.results(parts, _BEFORE + document.strip() + b"]}}")
    hits = msgspec.json.decode(made, type=_Response).hits.hits
    return bytes(hits[0]) if hits else None


def _missing(document: bytes) -> bytes:
    about = members_of(document)
    return msgspec.json.encode({"_index": about["_index"], "_id": about["_id"], "found": False})
