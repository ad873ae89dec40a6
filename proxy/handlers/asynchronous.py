"""Asynchronous searches: submitted like `_search`, their answers fetched later by an id.

Both forms are known: `_plugins/_asynchronous_search` of OpenSearch's plugin (and its older name), `_async_search` of
Elasticsearch. The result pipelines of the beginning travel in the id, as with a scroll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from pipelines.errors import InvalidError
from proxy.handlers import choice, search
from proxy.handlers.searching import QUERY, RESULT, RESULT_FINAL, Searching, sealed, unpinned
from proxy.protocol import search as codec

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call


async def submit(call: Call) -> web.StreamResponse:
    """Begins a search; its answer, or the first part of it, is under `response`."""
    snapshot = call.snapshot
    if not snapshot.types & {QUERY, RESULT}:
        return await call.stream_on()
    # The plugin takes the indexes as a parameter.
    if index := call.target.get("index"):
        call.params.setdefault("index", index)
    sent = await call.body()
    work = Searching(call, call.params.get("index", "_all"), sent, asynchronous=True)
    source = codec.source_parameter(call.target)
    if source is not None and not sent:
        work.body, work.changed = source, True
        call.target = call.target.without("source", "source_content_type")
    return await search.serve(work, snapshot)


async def fetch(call: Call) -> web.StreamResponse:
    """What there is of the answer by now, through the result pipelines of the beginning."""
    snapshot = call.snapshot
    text = call.params["id"]
    cursor = call.parts.cursors.open("async", text)
    if cursor is None:
        if RESULT_FINAL in snapshot.bound:
            raise InvalidError(
                "this asynchronous search was submitted past this proxy, or before there were final result pipelines; "
                "submit it again"
            )
        return await call.stream_on()
    parts = unpinned(snapshot, cursor.results)
    ctx = cursor.ctx.encode() if cursor.ctx is not None else None
    work = Searching(call, "_all", b"", ctx=ctx, asynchronous=True)
    _point_to(call, text, cursor.id)
    answer = await call.exchange(b"", changed=False, unfiltered=True)
    answer.require_json()
    if not answer.ok:
        return await call.reply_answer(answer)
    body = await work.results(parts, answer.body)
    if work.runs:
        call.extra["X-Pipeline"] = choice.header(work.runs)
    return await call.reply_answer(answer, sealed(body, "id", call.parts.cursors.sealer(cursor)))


async def manage(call: Call) -> web.StreamResponse:
    """Deletes an asynchronous search, or says how far it is: no document is in the answer."""
    cursor = call.parts.cursors.open("async", text := call.params["id"])
    if cursor is None:
        return await call.stream_on()
    _point_to(call, text, cursor.id)
    answer = await call.exchange(b"", changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    return await call.reply_answer(answer, sealed(answer.body, "id", call.parts.cursors.sealer(cursor)))


def _point_to(call: Call, ours: str, theirs: str) -> None:
    """Puts the cluster's own id into the path."""
    call.target = call.target.at(call.target.raw_path.replace(ours, quote(theirs, safe="")))
