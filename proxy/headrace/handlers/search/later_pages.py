"""Later requests for a search that has begun: pages of a scroll, and results of an asynchronous search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution import choice
from headrace.execution.search_run import SearchRun, sealed, unpinned
from headrace.server.reply import reply_answer

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.cursors import Cursor
    from headrace.server.request import RequestContext


async def later_answer(
    context: RequestContext, cursor: Cursor, body: bytes, member: str, *, asynchronous: bool = False
) -> web.StreamResponse:
    """Answers a later request for a search that has begun: by its result pipelines, its cursor (`member`) sealed again.

    Raises MissingError for a pipeline's version that is gone, StageError, MediaTypeError.
    """
    parts = unpinned(context.snapshot, cursor.results)
    ctx = cursor.ctx.encode() if cursor.ctx is not None else None
    work = SearchRun(context, "_all", b"", ctx=ctx, asynchronous=asynchronous)
    answer = await context.forward_buffered(body, changed=bool(body), unfiltered=True)
    answer.require_json()
    if not answer.ok:
        return await reply_answer(context, answer)
    text = await work.results(parts, answer.body)
    if work.runs:
        context.response_headers["X-Pipeline"] = choice.header(work.runs)
    return await reply_answer(context, answer, sealed(text, member, context.components.cursors.sealer(cursor)))
