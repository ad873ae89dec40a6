"""`GET|POST /_search` and `/{index}/_search`: the query pipeline on the request, the result pipeline on the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs

from pipelines import Batch, PipelineType, Place
from pipelines.association import NONE, Slot
from pipelines.definition import members_of
from pipelines.errors import InvalidError, MediaTypeError, StageError, UnsupportedError
from proxy.handlers import choice
from proxy.handlers.choice import Part
from proxy.handlers.finals import attached
from proxy.protocol import search as codec

if TYPE_CHECKING:
    from aiohttp import web

    from pipelines import Execution, Snapshot
    from pipelines.registry import Pipeline
    from proxy.handlers.call import Call
    from proxy.handlers.finals import SearchChoice

QUERY, RESULT = PipelineType.QUERY, PipelineType.RESULT


@dataclass
class _Search:
    """A search on its way: its body, whether that is still the one that came, its context, and the runs so far."""

    call: Call
    body: bytes
    changed: bool
    ctx: bytes | None = None
    runs: list[tuple[Slot, Execution]] = field(default_factory=list)

    async def run(self, slot: Slot, part: Part, text: bytes) -> bytes:
        """`text` after the pipeline. Raises StageError when the pipeline ends the request."""
        batch = Batch.of(slot.kind.value, text, index=self.call.params.get("index"), ctx=self.ctx)
        place = Place(final=slot.final, indexes=part.indexes)
        run = await self.call.parts.runner.run(part.pipeline, batch, place)
        self.runs.append((slot, run))
        _, failure = batch.outcome(0)
        if failure is not None:
            raise StageError(*failure)
        self.ctx = batch.context(0)
        return batch.document(0)


async def search(call: Call) -> web.StreamResponse:
    """Runs the search with the pipelines that apply; without any it is streamed through."""
    snapshot = call.snapshot
    if not snapshot.types & {QUERY, RESULT}:
        return await call.stream_on()
    sent = await call.body()
    chosen, work = await _choose(call, snapshot, sent)
    if chosen.conflicts:
        _warn(call, chosen)
    if chosen.empty:
        return await call.send_on(work.body, changed=work.changed)
    results = chosen.of(RESULT)
    if results:
        _check_result_surface(call)
    for slot, part in chosen.of(QUERY):
        _fold(call, work)
        work.body = await work.run(slot, part, work.body or b"{}")
    if not results:
        call.extra["X-Pipeline"] = choice.header(work.runs)
        return await call.send_on(work.body, changed=work.changed)
    return await _with_results(call, work, results)


async def _choose(call: Call, snapshot: Snapshot, sent: bytes) -> tuple[SearchChoice, _Search]:
    """The pipelines, and the body without our names in it."""
    work = _Search(call, sent, changed=False)
    source = codec.source_parameter(call.target)
    if source is not None and not sent:
        work.body, work.changed = source, True
        call.target = call.target.without("source", "source_content_type")
    url_name = call.target.get("search_pipeline")
    given = {kind: choice.override(call, snapshot, kind) for kind in (QUERY, RESULT)}
    named = url_name if url_name is not None else _body_name(call, work, snapshot)
    bound = {slot for slot in snapshot.bound if slot.kind in (QUERY, RESULT) and (slot.final or named is None)}
    if "index" not in call.params and bound:
        _refuse_point_in_time(call, work)
    expression = call.params.get("index", "_all")
    chosen = await attached(call, snapshot, expression, defaults=named is None)
    if named is not None:
        for kind in (QUERY, RESULT):
            _put(chosen, kind, choice.named(snapshot, kind, named).pipeline)
    for kind, own in given.items():
        if own is not None:
            _put(chosen, kind, own.pipeline)
    call.target = call.target.without("query_pipeline", "result_pipeline")
    if url_name is not None and _is_ours(snapshot, url_name):
        if b"search_pipeline" in work.body and "search_pipeline" in members_of(work.body):
            raise InvalidError("Both named and inline search pipeline were specified.")
        call.target = call.target.without("search_pipeline")
    return chosen, work


def _put(chosen: SearchChoice, kind: PipelineType, pipeline: Pipeline | None) -> None:
    """Puts what the request names into the default slot."""
    chosen.parts[Slot(kind)] = [Part(pipeline)] if pipeline is not None else []


def _is_ours(snapshot: Snapshot, name: str) -> bool:
    return any(snapshot.active(kind, name) for kind in (QUERY, RESULT))


def _refuse_point_in_time(call: Call, work: _Search) -> None:
    """Raises UnsupportedError for a search over a point in time: its indexes cannot be told from here."""
    _read_body(call, work)
    if work.body and "pit" in members_of(work.body):
        raise UnsupportedError(
            "a search over a point in time does not run pipelines in this version, "
            "and indexes of this cluster have some"
        )


def _body_name(call: Call, work: _Search, snapshot: Snapshot) -> str | None:
    """The `search_pipeline` of the body; one of ours is taken out of it, an inline one counts as the cluster's."""
    if b"search_pipeline" not in work.body and not call.encoding:
        return None
    _read_body(call, work)
    members = members_of(work.body) if work.body else {}
    if "search_pipeline" not in members:
        return None
    name = msgspec.json.decode(members["search_pipeline"])
    if not isinstance(name, str):
        return NONE
    if _is_ours(snapshot, name):
        del members["search_pipeline"]
        work.body, work.changed = msgspec.json.encode(members), True
    return name


def _read_body(call: Call, work: _Search) -> None:
    """Makes the body one that stages can read: JSON, inflated. Raises MediaTypeError."""
    if work.body:
        call.require_json()
    if call.encoding and not work.changed:
        work.body, work.changed = call.inflated(work.body), True


def _fold(call: Call, work: _Search) -> None:
    """Puts what the URL says of the body into the body; the URL beats it."""
    _read_body(call, work)
    over = codec.folded(call.target)
    if over:
        members = members_of(work.body or b"{}")
        members.update({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in over.items()})
        work.body = msgspec.json.encode(members)
        call.target = call.target.without(*codec.FOLDED)
    work.changed = True


def _check_result_surface(call: Call) -> None:
    """Refuses what a result pipeline would miss or could not read."""
    if call.target.get("scroll") is not None:
        raise UnsupportedError(
            "result pipelines do not follow scrolls in this version: later pages would pass unprocessed. "
            "Search without scroll, or with result_pipeline=_none"
        )
    wanted = call.target.get("format") or call.request.headers.get(hdrs.ACCEPT) or ""
    if any(word in wanted.lower() for word in ("yaml", "cbor", "smile")):
        raise MediaTypeError(f"[{wanted}] is not supported where a result pipeline applies; ask for JSON")


async def _with_results(call: Call, work: _Search, results: list[tuple[Slot, Part]]) -> web.StreamResponse:
    """Sends the search and runs the result pipelines over a good answer; other answers pass as they are."""
    answer = await call.exchange(work.body, changed=work.changed, unfiltered=True)
    if answer.ok and not answer.json:
        raise InvalidError("the cluster's answer is not plain JSON, so the result pipeline cannot run; ask for JSON")
    if not answer.ok:
        call.extra["X-Pipeline"] = choice.header(work.runs)
        return await call.reply_answer(answer)
    body = answer.body
    for slot, part in results:
        body = await work.run(slot, part, body)
    call.extra["X-Pipeline"] = choice.header(work.runs)
    return await call.reply_answer(answer, body)


def _warn(call: Call, chosen: SearchChoice) -> None:
    """Says that pipelines of several indexes differ, so that none of them ran."""
    conflicts = "; ".join(chosen.conflicts)
    call.extra["X-Pipeline-Conflict"] = conflicts
    call.extra.add(
        "Warning",
        f'299 Headrace "the indexes of this search have different pipelines, none of them ran: {conflicts}"',
    )
