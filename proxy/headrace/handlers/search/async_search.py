"""Asynchronous searches: submitted like `_search`, their answers fetched later by an id.

Both forms are known: `_plugins/_asynchronous_search` of OpenSearch's plugin (and its older name), `_async_search` of
Elasticsearch. The result pipelines of the beginning travel in the id, as with a scroll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from headrace.execution.search_run import later_answer, sealed
from headrace.handlers.search import search
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import Call


async def submit(call: Call) -> web.StreamResponse:
    """Begins a search; its answer, or the first part of it, is under `response`."""
    # The plugin takes the indexes as a parameter.
    if index := call.target.get("index"):
        call.params.setdefault("index", index)
    return await search.search(call, asynchronous=True)


async def fetch(call: Call) -> web.StreamResponse:
    """What there is of the answer by now, through the result pipelines of the beginning."""
    text = call.params["id"]
    cursor = call.parts.cursors.open("async", text)
    if cursor is None:
        if call.snapshot.protects:
            raise InvalidError(
                "this asynchronous search was submitted past this proxy, or before there were final pipelines; "
                "submit it again"
            )
        return await call.stream_on()
    _point_to(call, text, cursor.id)
    return await later_answer(call, cursor, b"", "id", asynchronous=True)


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
