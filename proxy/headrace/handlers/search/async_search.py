"""Asynchronous searches: submitted like `_search`, their answers fetched later by an id.

Both forms are known: `_plugins/_asynchronous_search` of OpenSearch's plugin (and its older name), `_async_search` of
Elasticsearch. The result pipelines of the beginning travel in the id, as with a scroll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from headrace.execution.search_run import sealed
from headrace.handlers.search import search
from headrace.handlers.search.later_pages import later_answer
from headrace.server.reply import reply_answer
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext


async def submit(context: RequestContext) -> web.StreamResponse:
    """Begins a search; its answer, or the first part of it, is under `response`."""
    # The plugin takes the indexes as a parameter.
    if index := context.target.get("index"):
        context.params.setdefault("index", index)
    return await search.search(context, asynchronous=True)


async def fetch(context: RequestContext) -> web.StreamResponse:
    """The answer so far, after the result pipelines that the submitted search was given."""
    text = context.params["id"]
    cursor = context.components.cursors.open("async", text)
    if cursor is None:
        if context.snapshot.protects:
            raise InvalidError(
                "this asynchronous search was submitted past this proxy, or before there were final pipelines; "
                "submit it again"
            )
        return await context.forward_streaming()
    _point_to(context, text, cursor.id)
    return await later_answer(context, cursor, b"", "id", asynchronous=True)


async def manage(context: RequestContext) -> web.StreamResponse:
    """Deletes an asynchronous search, or says how far it is: no document is in the answer."""
    cursor = context.components.cursors.open("async", text := context.params["id"])
    if cursor is None:
        return await context.forward_streaming()
    _point_to(context, text, cursor.id)
    answer = await context.forward_buffered(b"", changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    return await reply_answer(context, answer, sealed(answer.body, "id", context.components.cursors.sealer(cursor)))


def _point_to(context: RequestContext, ours: str, theirs: str) -> None:
    """Puts the cluster's own id into the path."""
    context.target = context.target.at(context.target.raw_path.replace(ours, quote(theirs, safe="")))
