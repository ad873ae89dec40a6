"""`GET|POST /_search` and `/{index}/_search`: the query pipeline on the request, the result pipeline on the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.expressions import options_of
from headrace.execution.protected import canonical, withheld
from headrace.execution.search_run import (
    QUERY,
    RESULT,
    Searching,
    is_ours,
    pinned,
    protect,
    sealed,
    strip_names,
    warn_of_conflicts,
)
from headrace.handlers.passthrough import passthrough
from headrace.protocol import search as codec
from headrace.server.cursors import Cursor
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.choice import Part
    from headrace.execution.search_plan import SearchChoice
    from headrace.server.request import Call
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import Slot


async def search(call: Call, *, asynchronous: bool = False) -> web.StreamResponse:
    """Runs the search with the pipelines that apply; without any it is streamed through."""
    snapshot = call.snapshot
    if not snapshot.types & {QUERY, RESULT}:
        return await call.stream_on()
    sent = await call.body()
    expression = call.params.get("index", "_all")
    work = Searching(call, expression, sent, asynchronous=asynchronous, options=options_of(call))
    source = codec.source_parameter(call.target)
    if source is not None and not sent:
        work.body, work.changed = source, True
        call.target = call.target.without("source", "source_content_type")
    return await serve(work, snapshot)


async def template(call: Call) -> web.StreamResponse:
    """`_search/template`: where a pipeline concerns it, the template is rendered first, by the cluster."""
    snapshot = call.snapshot
    expression = call.params.get("index", "_all")
    if not snapshot.protects and not await choice.concerned(call, expression, QUERY, RESULT):
        return await passthrough(call)
    call.require_json()
    await _check_url(call)
    rendered = await render(call, await call.text())
    # Beside a template the URL has no other effect on the body (measured on 3.8.0).
    call.target = call.target.without(*(name for name in codec.FOLDED if name != "track_total_hits"))
    call.target = call.target.at(call.target.raw_path.rstrip("/").removesuffix("/template"))
    work = Searching(call, expression, rendered, changed=True, rendered=True, options=options_of(call))
    return await serve(work, snapshot)


async def _check_url(call: Call) -> None:
    """Has the cluster read what the URL says beside a template: it has no effect, but may be wrong.

    Raises ClusterRefusedError.
    """
    if not call.target.has_any(codec.FOLDED):
        return
    nothing = b'{"source":{"size":0,"query":{"match_none":{}}}}'
    target = call.target.without("scroll", "filter_path", "search_pipeline", "query_pipeline", "result_pipeline")
    answer = await call.ask("POST", target.raw, nothing)
    answer.require_ok()


async def render(call: Call, body: bytes) -> bytes:
    """The search that a template makes, with what the template's request says beside it. Raises ClusterRefusedError."""
    members = members_of(body)
    beside = {name: members.pop(name) for name in ("explain", "profile") if name in members}
    answer = await call.ask("POST", "/_render/template", msgspec.json.encode(members))
    answer.require_ok()
    made = members_of(answer.body)["template_output"]
    return msgspec.json.encode(members_of(bytes(made)) | beside) if beside else bytes(made)


async def serve(work: Searching, snapshot: Snapshot) -> web.StreamResponse:
    """The search of `work`, whose body may still be compressed as it came."""
    call = work.call
    chosen = await _choose(work, snapshot)
    warn_of_conflicts(call, chosen.conflicts)
    results = chosen.of(RESULT)
    cursors = _makes_cursor(work, snapshot, results)
    protection = await protect(work, chosen, withholds=not cursors)
    if chosen.empty and protection is None and not cursors and not work.rendered:
        return await call.send_on(work.body, changed=work.changed)
    if chosen.of(QUERY) or protection is not None:
        _fold(work)
        if protection is not None:
            work.body = canonical(work.body or b"{}")
        await work.queries(chosen.of(QUERY), protection)
    if not results and not cursors and not work.rendered and not work.scripted:
        if work.runs:
            call.extra["X-Pipeline"] = choice.header(work.runs)
        return await call.send_on(work.body, changed=work.changed)
    return await _with_results(work, results)


async def _choose(work: Searching, snapshot: Snapshot) -> SearchChoice:
    """The pipelines; takes our names out of URL and body."""
    call = work.call
    url_name = call.target.get("search_pipeline")
    named = url_name
    if named is None and (b"search_pipeline" in work.body or call.coded):
        _read_body(work)
        named = work.take_name(snapshot)
    if "index" not in call.params:
        bound = any(slot.kind in (QUERY, RESULT) and (slot.final or named is None) for slot in snapshot.bound)
        if bound or call.speaks_json:
            _read_body(work)
            work.open_point_in_time(snapshot)
    chosen = await work.choose(snapshot, named)
    if url_name is not None and is_ours(snapshot, url_name):
        _read_body(work)
        if "search_pipeline" in work.members:
            raise InvalidError("Both named and inline search pipeline were specified.")
    strip_names(call, snapshot)
    return chosen


def _read_body(work: Searching) -> None:
    """Makes the body one that stages can read: plain JSON. Raises MediaTypeError."""
    call = work.call
    if work.body:
        call.require_json()
    if call.coded and not work.changed:
        work.body, work.changed = call.inflated(work.body), True


def _fold(work: Searching) -> None:
    """Puts what the URL says of the body into the body; the URL beats it."""
    call = work.call
    _read_body(work)
    over = codec.folded(call.target)
    if over:
        members = work.members
        for name in codec.ADDED & over.keys() & members.keys():
            before = msgspec.json.decode(members[name])
            over[name] = [*(before if isinstance(before, list) else [before]), *over[name]]
        work.put(members | {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in over.items()})
        call.target = call.target.without(*codec.FOLDED)
    work.changed = True


def _makes_cursor(work: Searching, snapshot: Snapshot, results: list[tuple[Slot, Part]]) -> bool:
    """Whether the answer holds a cursor that must be sealed: later pages need the pipelines of this one."""
    begins = work.asynchronous or work.call.target.get("scroll") is not None
    return (begins and (bool(results) or snapshot.protects)) or work.pit is not None


async def _with_results(work: Searching, results: list[tuple[Slot, Part]]) -> web.StreamResponse:
    """Sends the search and runs the result pipelines over a good answer; other answers pass as they are."""
    call = work.call
    answer = await call.exchange(work.body, changed=work.changed, unfiltered=True)
    answer.require_json()
    told = withheld(answer.body) if work.scripted else answer.body
    if not answer.ok:
        if work.runs:
            call.extra["X-Pipeline"] = choice.header(work.runs)
        return await call.reply_answer(answer, told if work.scripted else None)
    body = _sealed(work, results, await work.results(results, told))
    if work.rendered:
        # The answer to a template says its status too; that to a search does not.
        body = msgspec.json.encode(members_of(body) | {"status": answer.status})
    if work.runs:
        call.extra["X-Pipeline"] = choice.header(work.runs)
    return await call.reply_answer(answer, body)


def _sealed(work: Searching, results: list[tuple[Slot, Part]], body: bytes) -> bytes:
    """The answer with its cursors sealed: the scroll or asynchronous search that it begins, its point in time."""
    kind, member = ("async", "id") if work.asynchronous else ("scroll", "_scroll_id")
    if work.asynchronous or work.call.target.get("scroll") is not None:
        ctx = work.ctx.decode() if work.ctx is not None else None
        cursor = Cursor(kind, results=pinned(results), ctx=ctx)
        body = sealed(body, member, work.call.parts.cursors.sealer(cursor))
    return work.seal_point_in_time(body)
