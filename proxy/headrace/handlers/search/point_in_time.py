"""Points in time: their indexes travel in the sealed id, so that searches over them find their pipelines.

OpenSearch's form is `_search/point_in_time`, Elasticsearch's `_pit`. With `elasticsearch_compat` the second is
translated into the first: OpenSearch does not know it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution.expressions import narrow, options_of, read_by
from headrace.execution.rollouts import versions
from headrace.execution.search_run import sealed
from headrace.protocol.cursors import Cursor
from headrace.protocol.pit_id import indexes_of
from headrace.server.reply import reply_answer, reply_json
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import members_of, object_of
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from headrace.server.request import RequestContext

_KINDS = {PipelineType.QUERY, PipelineType.RESULT}
_PATH = "/_search/point_in_time"


async def create(context: RequestContext) -> web.StreamResponse:
    """Makes a point in time; the client gets its id with the indexes in it."""
    translated = _translated(context)
    watched = bool(context.snapshot.types & _KINDS)
    if not watched and not translated:
        return await context.forward_streaming()
    member = "pit_id" if translated or "_pit" not in context.target.segments else "id"
    indexes: tuple[str, ...] = ()
    if watched:
        reading = await read_by(context, context.params["index"], options_of(context))
        indexes = reading.resolution.indexes
        if context.snapshot.protects and not narrow(context, reading) and not reading.resolution.aliased:
            raise RefusedError(
                "a point in time over so many indexes, or over hidden ones behind filtering aliases, cannot be made "
                "where final pipelines are attached; name fewer indexes"
            )
    if translated:
        context.target = context.target.at(context.target.raw_path.rstrip("/").removesuffix("/_pit") + _PATH)
    answer = await context.forward_buffered(await context.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    body = answer.body
    if watched:
        cursor = _cursor(sorted(indexes) or [context.params["index"]], context)
        body = sealed(body, member, context.components.cursors.sealer(cursor))
    if translated:
        body = msgspec.json.encode({"id": members_of(body)["pit_id"]})
    return await reply_answer(context, answer, body)


def _cursor(indexes: list[str], context: RequestContext) -> Cursor:
    return Cursor("pit", expression=",".join(indexes), versions=versions.met(context.snapshot))


async def every(context: RequestContext) -> web.StreamResponse:
    """`GET` and `DELETE` of `_search/point_in_time/_all`: ids as clients got them."""
    if not context.snapshot.types & _KINDS:
        return await context.forward_streaming()
    answer = await context.forward_buffered(await context.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    told = msgspec.json.decode(answer.body)
    for pit in told.get("pits", []):
        indexes = indexes_of(str(pit.get("pit_id")))
        if indexes is not None:
            pit["pit_id"] = context.components.cursors.sealer(_cursor(indexes, context))(pit["pit_id"])
    return await reply_answer(context, answer, msgspec.json.encode(told))


async def delete(context: RequestContext) -> web.StreamResponse:
    """Deletes points in time; the answer names them as the client did."""
    if _translated(context):
        return await _delete_translated(context)
    if not context.snapshot.types & _KINDS:
        return await context.forward_streaming()
    body = await context.text()
    if body:
        context.require_json()
    request = object_of(body) if body else {}
    member = "id" if "_pit" in context.target.segments else "pit_id"
    given = request.get(member, [])
    opener = _opener(context)
    theirs = {opener(each): each for each in map(str, given if isinstance(given, list) else [given])}
    if all(id_ == text for id_, text in theirs.items()):
        return await context.forward(body, changed=True)
    request[member] = list(theirs) if member == "pit_id" else next(iter(theirs))
    answer = await context.forward_buffered(msgspec.json.encode(request), unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    told = msgspec.json.decode(answer.body)
    for pit in told.get("pits", []):
        pit["pit_id"] = theirs.get(pit.get("pit_id"), pit.get("pit_id"))
    return await reply_answer(context, answer, msgspec.json.encode(told))


async def _delete_translated(context: RequestContext) -> web.StreamResponse:
    """`DELETE /_pit` in OpenSearch's words, and its answer in Elasticsearch's."""
    request = object_of(await context.text())
    context.target = context.target.at(_PATH)
    wanted = {"pit_id": [_opener(context)(str(request.get("id")))]}
    answer = await context.forward_buffered(msgspec.json.encode(wanted), unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    ended = [pit["successful"] for pit in msgspec.json.decode(answer.body)["pits"]]
    return await reply_json(context, 200, {"succeeded": all(ended), "num_freed": sum(ended)})


def _translated(context: RequestContext) -> bool:
    return context.components.settings.elasticsearch_compat and "_pit" in context.target.segments


def _opener(context: RequestContext) -> Callable[[str], str]:
    """A function from a sealed id to the cluster's own; any other id stays."""

    def opener(text: str) -> str:
        cursor = context.components.cursors.open("pit", text)
        return cursor.id if cursor else text

    return opener
