"""`_count`, `_explain`, `_validate/query`, `_rank_eval`: query pipelines, so that a query means what in a search.

Of what a stage makes of the request only its `query` goes on: these surfaces know nothing else of a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from headrace.execution import choice
from headrace.execution.expressions import options_of
from headrace.execution.protected import UNPROTECTED, withheld
from headrace.execution.read_guard import guard_of
from headrace.execution.search_run import QUERY, Searching, protect, strip_names, warn_of_conflicts
from headrace.handlers.search.document_reads import refuse_protected
from headrace.protocol import search as codec
from headrace.protocol.encoding import canonical
from headrace.protocol.target import encoded
from headrace_pipelines.definition import members_of
from headrace_pipelines.errors import InvalidError, RefusedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.execution.protected import Protection
    from headrace.execution.search_plan import SearchChoice
    from headrace.server.request import Call
    from headrace_pipelines import Snapshot


_SHOWS = {"_source", "_source_includes", "_source_excludes", "stored_fields"}
"""Parameters of `_explain` by which it shows the document."""


_SHOWS_TERMS = ("rewrite", "all_shards", "explain")
"""Parameters of `_validate/query` by which it shows terms of an index, whatever document they are of."""


def _surface(
    write: Callable[[Searching, SearchChoice, Protection | None], Awaitable[None]],
) -> Callable[[Call], Awaitable[web.StreamResponse]]:
    """A handler that has `write` put what query pipelines make of the request into its body."""

    async def handler(call: Call) -> web.StreamResponse:
        explains = False
        if "_explain" in call.target.raw_segments:
            if call.target.has_any(_SHOWS):
                await refuse_protected(call)
            explains, hidden = await _explained(call)
            if hidden is not None:
                return await call.reply_json(404, hidden)
        if QUERY not in call.snapshot.types and not call.snapshot.protects:
            return await call.stream_on()
        sent = await call.body()
        work = Searching(call, call.params.get("index", "_all"), sent, options=options_of(call))
        chosen = await _chosen(work, call.snapshot)
        protection = await protect(work, chosen)
        if protection is None and call.snapshot.protects and write is _write_requests:
            # A template may hide a look-up.
            protection = UNPROTECTED
        if protection is not None and not protection.lookups and call.target.has_any(_SHOWS_TERMS):
            raise RefusedError(
                "[rewrite] and [explain] show terms of documents that final pipelines hide; leave them out"
            )
        if not chosen.of(QUERY) and protection is None:
            return await call.send_on(sent, changed=False)
        if sent:
            call.require_json()
        work.body = call.inflated(sent)
        if protection is not None and work.body:
            work.body = canonical(work.body)
        await write(work, chosen, protection)
        if work.runs:
            call.extra["X-Pipeline"] = choice.header(work.runs[: len(chosen.of(QUERY))])
        if explains:
            return await _matched_only(call, work.body)
        if work.scripted:
            answer = await call.exchange(work.body, unfiltered=True)
            return await call.reply_answer(answer, withheld(answer.body) if answer.json else None)
        return await call.send_on(work.body, changed=True)

    return handler


async def _matched_only(call: Call, body: bytes) -> web.StreamResponse:
    """Whether a document matches; not why: an explanation counts documents that the filter leaves out."""
    answer = await call.exchange(body, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        return await call.reply_answer(answer)
    told = {name: value for name, value in members_of(answer.body).items() if name != "explanation"}
    return await call.reply_answer(answer, msgspec.json.encode(told))


async def _explained(call: Call) -> tuple[bool, dict[str, object] | None]:
    """Whether a final query pipeline filters what is explained; and the answer for a document that it leaves out.

    Raises RefusedError where result pipelines hide fields: an explanation shows values of what it explains.
    """
    index, id_ = call.params["index"], call.params["id"]
    guard = await guard_of(call, index, None) if call.snapshot.protects else None
    if guard is None:
        return False, None
    if guard.scope.hidden:
        raise RefusedError("[_explain] shows values of fields that a final result pipeline hides")
    if guard.visible is None:
        return False, None
    routing = {"routing": routing} if (routing := call.target.get("routing")) is not None else {}
    path = f"/{quote(index, safe='')}/_doc/{quote(id_, safe='')}"
    answer = await call.ask("GET", f"{path}?{encoded({'_source': 'false', **routing})}")
    if answer.ok and await guard.lets_see(call, answer.body):
        return True, None
    return True, {"_index": index, "_id": id_, "matched": False}


async def _write_query(work: Searching, chosen: SearchChoice, protection: Protection | None) -> None:
    """One query, in the body or in the URL."""
    call = work.call
    if not work.body and (source := codec.source_parameter(call.target)) is not None:
        work.body = source
    call.target = call.target.without("source", "source_content_type")
    members = work.members
    # Beside a body these surfaces do not know `q`, and the cluster says so.
    if not work.body and (over := codec.folded_query(call.target)) is not None:
        members["query"] = msgspec.Raw(msgspec.json.encode(over))
        call.target = call.target.without(*codec.QUERY_STRING)
    if not members and "_validate" in call.target.raw_segments:
        # An empty body of `_validate/query` is a query of everything, but an object without one is none.
        members["query"] = msgspec.Raw(b'{"match_all":{}}')
    await work.run_members(chosen, members, protection)


async def _write_requests(work: Searching, chosen: SearchChoice, protection: Protection | None) -> None:
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
    work.put(members)


async def _chosen(work: Searching, snapshot: Snapshot) -> SearchChoice:
    named = work.call.target.get("search_pipeline")
    chosen = await work.choose(snapshot, named)
    warn_of_conflicts(work.call, chosen.conflicts)
    strip_names(work.call, snapshot)
    return chosen


query_only = _surface(_write_query)
"""`_count`, `_explain`, `_validate/query`."""
rank_eval = _surface(_write_requests)
"""`_rank_eval`."""
