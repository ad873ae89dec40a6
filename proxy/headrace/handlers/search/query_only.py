"""`_count`, `_explain`, `_validate/query`, `_rank_eval`: query pipelines run, so that counts match searches.

Only the `query` of a stage's output is forwarded: these surfaces have no other member of a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from headrace.execution import choice
from headrace.execution.expressions import options_of
from headrace.execution.protected import UNPROTECTED, withheld
from headrace.execution.read_guard import guard_of
from headrace.execution.search_run import QUERY, SearchRun, protect, strip_names, warn_of_conflicts
from headrace.handlers.search.document_reads import refuse_protected
from headrace.protocol import search as codec
from headrace.protocol.headers.encoding import canonical
from headrace.protocol.target import encoded
from headrace.server.reply import reply_answer, reply_json
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError, RefusedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.execution.protected import Protection
    from headrace.execution.search_plan import SearchPlan
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot


_SHOWS = {"_source", "_source_includes", "_source_excludes", "stored_fields"}
"""Parameters of `_explain` by which it shows the document."""


_SHOWS_TERMS = ("rewrite", "all_shards", "explain")
"""Parameters of `_validate/query` by which it shows terms of an index, whatever document they are of."""


def _surface(
    write: Callable[[SearchRun, SearchPlan, Protection | None], Awaitable[None]],
) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """A handler that has `write` put what query pipelines make of the request into its body."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        explains = False
        if "_explain" in context.target.raw_segments:
            if context.target.has_any(_SHOWS):
                await refuse_protected(context)
            explains, hidden = await _explained(context)
            if hidden is not None:
                return await reply_json(context, 404, hidden)
        if QUERY not in context.snapshot.types and not context.snapshot.protects:
            return await context.forward_streaming()
        sent = await context.body()
        work = SearchRun(context, context.params.get("index", "_all"), sent, options=options_of(context))
        chosen = await _chosen(work, context.snapshot)
        protection = await _protection(work, chosen, templates=write is _write_requests)
        if not chosen.of(QUERY) and protection is None:
            return await context.forward(sent, changed=False)
        if sent:
            context.require_json()
        work.body = context.decoded_text(sent)
        if protection is not None and work.body:
            work.body = canonical(work.body)
        await write(work, chosen, protection)
        if work.runs:
            context.response_headers["X-Pipeline"] = choice.header(work.runs[: len(chosen.of(QUERY))])
        return await (_matched_only(context, work.body) if explains else _forwarded(work))

    return handler


async def _protection(work: SearchRun, chosen: SearchPlan, *, templates: bool) -> Protection | None:
    """What protects the searched indexes. Raises RefusedError for parameters that show their terms."""
    context = work.context
    protection = await protect(work, chosen)
    if protection is None and context.snapshot.protects and templates:
        # A template may hide a look-up.
        protection = UNPROTECTED
    if protection is not None and not protection.lookups and context.target.has_any(_SHOWS_TERMS):
        raise RefusedError("[rewrite] and [explain] show terms of documents that final pipelines hide; leave them out")
    return protection


async def _forwarded(work: SearchRun) -> web.StreamResponse:
    """The cluster's response, without the errors of scripts that quote documents."""
    context = work.context
    if not work.scripted:
        return await context.forward(work.body, changed=True)
    answer = await context.forward_buffered(work.body, unfiltered=True)
    return await reply_answer(context, answer, withheld(answer.body) if answer.json else None)


async def _matched_only(context: RequestContext, body: bytes) -> web.StreamResponse:
    """Whether a document matches; not why: an explanation counts documents that the filter leaves out."""
    answer = await context.forward_buffered(body, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        return await reply_answer(context, answer)
    told = {name: value for name, value in members_of(answer.body).items() if name != "explanation"}
    return await reply_answer(context, answer, msgspec.json.encode(told))


async def _explained(context: RequestContext) -> tuple[bool, dict[str, object] | None]:
    """Whether a final query pipeline filters what is explained; and the answer for a document that it leaves out.

    Raises RefusedError where result pipelines hide fields: an explanation shows values of what it explains.
    """
    index, id_ = context.params["index"], context.params["id"]
    guard = await guard_of(context, index, None) if context.snapshot.protects else None
    if guard is None:
        return False, None
    if guard.scope.hidden:
        raise RefusedError("[_explain] shows values of fields that a final result pipeline hides")
    if guard.visible is None:
        return False, None
    routing = {"routing": routing} if (routing := context.target.get("routing")) is not None else {}
    path = f"/{quote(index, safe='')}/_doc/{quote(id_, safe='')}"
    answer = await context.call_cluster("GET", f"{path}?{encoded({'_source': 'false', **routing})}")
    if answer.ok and await guard.lets_see(context, answer.body):
        return True, None
    return True, {"_index": index, "_id": id_, "matched": False}


async def _write_query(work: SearchRun, chosen: SearchPlan, protection: Protection | None) -> None:
    """One query, in the body or in the URL."""
    context = work.context
    if not work.body and (source := codec.source_parameter(context.target)) is not None:
        work.body = source
    context.target = context.target.without("source", "source_content_type")
    members = work.members
    # Beside a body these surfaces do not know `q`, and the cluster says so.
    if not work.body and (over := codec.folded_query(context.target)) is not None:
        members["query"] = msgspec.Raw(msgspec.json.encode(over))
        context.target = context.target.without(*codec.QUERY_STRING)
    if not members and "_validate" in context.target.raw_segments:
        # An empty body of `_validate/query` is a query of everything, but an object without one is none.
        members["query"] = msgspec.Raw(b'{"match_all":{}}')
    await work.run_members(chosen, members, protection)


async def _write_requests(work: SearchRun, chosen: SearchPlan, protection: Protection | None) -> None:
    """The searches of a `_rank_eval`."""
    members = work.members
    try:
        requests = msgspec.json.decode(members.get("requests", msgspec.Raw(b"[]")), type=list[dict[str, msgspec.Raw]])
    except msgspec.ValidationError as error:
        raise InvalidError(f"[requests] of _rank_eval: {error}") from None
    for each in requests:
        if "template_id" in each:
            raise UnsupportedError("_rank_eval with templates hides its queries from the pipelines that concern them")
        work.body = bytes(each.get("request", msgspec.Raw(b"{}")))
        await work.queries(chosen.of(QUERY), protection)
        each["request"] = msgspec.Raw(work.body)
    members["requests"] = msgspec.Raw(msgspec.json.encode(requests))
    work.replace_members(members)


async def _chosen(work: SearchRun, snapshot: Snapshot) -> SearchPlan:
    named = work.context.target.get("search_pipeline")
    chosen = await work.choose(snapshot, named)
    warn_of_conflicts(work.context, chosen.conflicts)
    strip_names(work.context, snapshot)
    return chosen


query_only = _surface(_write_query)
"""`_count`, `_explain`, `_validate/query`."""
rank_eval = _surface(_write_requests)
"""`_rank_eval`."""
