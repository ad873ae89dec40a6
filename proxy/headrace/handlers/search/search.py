"""`GET|POST /_search` and `/{index}/_search`: the query pipeline on the request, the result pipeline on the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution import choice
from headrace.execution.expressions import options_of
from headrace.execution.protected import withheld
from headrace.execution.search_run import (
    QUERY,
    RESULT,
    SearchRun,
    is_ours,
    pinned,
    protect,
    sealed,
    strip_names,
    warn_of_conflicts,
)
from headrace.handlers.passthrough import passthrough
from headrace.protocol import search as codec
from headrace.protocol.cursors import Cursor
from headrace.protocol.headers.encoding import canonical
from headrace.server.reply import reply_answer
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.execution.choice import ScopedPipeline
    from headrace.execution.search_plan import SearchPlan
    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace_pipelines import Snapshot
    from headrace_pipelines.registry.association import Slot


async def search(context: RequestContext, *, asynchronous: bool = False) -> web.StreamResponse:
    """Runs the search with the pipelines that apply; without any it is streamed through."""
    snapshot = context.snapshot
    if not snapshot.types & {QUERY, RESULT}:
        return await context.forward_streaming()
    sent = await context.body()
    expression = context.params.get("index", "_all")
    work = SearchRun(context, expression, sent, asynchronous=asynchronous, options=options_of(context))
    source = codec.source_parameter(context.target)
    if source is not None and not sent:
        work.body, work.changed = source, True
        context.target = context.target.without("source", "source_content_type")
    return await serve(work, snapshot)


async def template(context: RequestContext) -> web.StreamResponse:
    """`_search/template`: where a pipeline concerns it, the template is rendered first, by the cluster."""
    snapshot = context.snapshot
    expression = context.params.get("index", "_all")
    if not snapshot.protects and not await choice.pipelines_affecting(context, expression, QUERY, RESULT):
        return await passthrough(context)
    context.require_json()
    await _check_url(context)
    rendered = await render(context, await context.text())
    # Beside a template the URL has no other effect on the body (measured on 3.8.0).
    context.target = context.target.without(*(name for name in codec.FOLDED if name != "track_total_hits"))
    context.target = context.target.at(context.target.raw_path.rstrip("/").removesuffix("/template"))
    work = SearchRun(context, expression, rendered, changed=True, rendered=True, options=options_of(context))
    return await serve(work, snapshot)


async def _check_url(context: RequestContext) -> None:
    """Has the cluster read what the URL says beside a template: it has no effect, but may be wrong.

    Raises ClusterRefusedError.
    """
    if not context.target.has_any(codec.FOLDED):
        return
    nothing = b'{"source":{"size":0,"query":{"match_none":{}}}}'
    target = context.target.without("scroll", "filter_path", "search_pipeline", "query_pipeline", "result_pipeline")
    answer = await context.call_cluster("POST", target.raw, nothing)
    answer.require_ok()


async def render(context: RequestContext, body: bytes) -> bytes:
    """The search that a template makes, with what the template's request says beside it. Raises ClusterRefusedError."""
    members = members_of(body)
    beside = {name: members.pop(name) for name in ("explain", "profile") if name in members}
    answer = await context.call_cluster("POST", "/_render/template", msgspec.json.encode(members))
    answer.require_ok()
    rendered = members_of(answer.body)["template_output"]
    return msgspec.json.encode(members_of(bytes(rendered)) | beside) if beside else bytes(rendered)


async def serve(work: SearchRun, snapshot: Snapshot) -> web.StreamResponse:
    """The search of `work`, whose body may still be compressed as it came."""
    context = work.context
    chosen = await _choose(work, snapshot)
    warn_of_conflicts(context, chosen.conflicts)
    results = chosen.of(RESULT)
    cursors = _makes_cursor(work, snapshot, results)
    protection = await protect(work, chosen, withholds=not cursors)
    if chosen.empty and protection is None and not cursors and not work.rendered:
        return await context.forward(work.body, changed=work.changed)
    if chosen.of(QUERY) or protection is not None:
        _fold(work)
        if protection is not None:
            work.body = canonical(work.body or b"{}")
        await work.queries(chosen.of(QUERY), protection)
    if not results and not cursors and not work.rendered and not work.scripted:
        if work.runs:
            context.response_headers["X-Pipeline"] = choice.header(work.runs)
        return await context.forward(work.body, changed=work.changed)
    return await _with_results(work, results)


async def _choose(work: SearchRun, snapshot: Snapshot) -> SearchPlan:
    """The pipelines; takes our names out of URL and body."""
    context = work.context
    url_name = context.target.get("search_pipeline")
    named = url_name
    if named is None and (b"search_pipeline" in work.body or context.needs_decoding):
        _read_body(work)
        named = work.pop_search_pipeline(snapshot)
    if "index" not in context.params:
        bound = any(slot.kind in (QUERY, RESULT) and (slot.final or named is None) for slot in snapshot.bound)
        if bound or context.readable:
            _read_body(work)
            work.open_point_in_time(snapshot)
    chosen = await work.choose(snapshot, named)
    if url_name is not None and is_ours(snapshot, url_name):
        _read_body(work)
        if "search_pipeline" in work.members:
            raise InvalidError("Both named and inline search pipeline were specified.")
    strip_names(context, snapshot)
    return chosen


def _read_body(work: SearchRun) -> None:
    """Makes the body one that stages can read: plain JSON. Raises MediaTypeError."""
    context = work.context
    if work.body:
        context.require_json()
    if context.needs_decoding and not work.changed:
        work.body, work.changed = context.decoded_text(work.body), True


def _fold(work: SearchRun) -> None:
    """Puts what the URL says of the body into the body; the URL beats it."""
    context = work.context
    _read_body(work)
    over = codec.folded(context.target)
    if over:
        members = work.members
        for name in codec.ADDED & over.keys() & members.keys():
            before = msgspec.json.decode(members[name])
            over[name] = [*(before if isinstance(before, list) else [before]), *over[name]]
        work.replace_members(members | {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in over.items()})
        context.target = context.target.without(*codec.FOLDED)
    work.changed = True


def _makes_cursor(work: SearchRun, snapshot: Snapshot, results: list[tuple[Slot, ScopedPipeline]]) -> bool:
    """Whether the answer holds a cursor that must be sealed: later pages need the pipelines of this one."""
    begins = work.asynchronous or work.context.target.get("scroll") is not None
    return (begins and (bool(results) or snapshot.protects)) or work.pit is not None


async def _with_results(work: SearchRun, results: list[tuple[Slot, ScopedPipeline]]) -> web.StreamResponse:
    """Sends the search and runs the result pipelines over a good answer; other answers pass as they are."""
    answer = await work.context.forward_buffered(work.body, changed=work.changed, unfiltered=True)
    return await answered(work, results, answer)


async def answered(work: SearchRun, results: list[tuple[Slot, ScopedPipeline]], answer: Answer) -> web.StreamResponse:
    """Runs the result pipelines over a good answer; others pass as they are. Raises MediaTypeError, StageError."""
    context = work.context
    answer.require_json()
    told = withheld(answer.body) if work.scripted else answer.body
    if not answer.ok:
        if work.runs:
            context.response_headers["X-Pipeline"] = choice.header(work.runs)
        return await reply_answer(context, answer, told if work.scripted else None)
    body = _sealed(work, results, await work.results(results, told))
    if work.rendered:
        # The answer to a template says its status too; that to a search does not.
        body = msgspec.json.encode(members_of(body) | {"status": answer.status})
    if work.runs:
        context.response_headers["X-Pipeline"] = choice.header(work.runs)
    return await reply_answer(context, answer, body)


def _sealed(work: SearchRun, results: list[tuple[Slot, ScopedPipeline]], body: bytes) -> bytes:
    """The answer with its cursors sealed: the scroll or asynchronous search that it begins, its point in time."""
    kind, member = ("async", "id") if work.asynchronous else ("scroll", "_scroll_id")
    if work.asynchronous or work.context.target.get("scroll") is not None:
        ctx = work.ctx.decode() if work.ctx is not None else None
        cursor = Cursor(kind, results=pinned(results), ctx=ctx)
        body = sealed(body, member, work.context.components.cursors.sealer(cursor))
    return work.seal_point_in_time(body)
