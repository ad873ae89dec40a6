"""Points in time: what they are of travels in their id, so that searches over them find their pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipelines import PipelineType
from pipelines.definition import object_of
from proxy.cursors import Cursor
from proxy.handlers.searching import replaced

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call

_KINDS = {PipelineType.QUERY, PipelineType.RESULT}


async def create(call: Call) -> web.StreamResponse:
    """Makes a point in time; the client gets its id with the indexes in it."""
    if not call.snapshot.types & _KINDS:
        return await call.stream_on()
    indexes = await call.parts.resolver.concrete(call.params["index"])
    answer = await call.exchange(await call.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    cursor = Cursor("pit", expression=",".join(indexes) or call.params["index"])
    return await call.reply_answer(answer, replaced(answer.body, "pit_id", call.parts.cursors.sealer(cursor)))


async def delete(call: Call) -> web.StreamResponse:
    """Deletes points in time; the answer names them as the client did."""
    if not call.snapshot.types & _KINDS:
        return await call.stream_on()
    body = await call.text()
    if body:
        call.require_json()
    request = object_of(body) if body else {}
    given = request.get("pit_id", [])
    ids = [str(each) for each in (given if isinstance(given, list) else [given])]
    opened = {each: call.parts.cursors.open("pit", each) for each in ids}
    if not any(opened.values()):
        return await call.send_on(body, changed=True)
    theirs = {cursor.id if cursor else text: text for text, cursor in opened.items()}
    request["pit_id"] = list(theirs)
    answer = await call.exchange(msgspec.json.encode(request), unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    told = msgspec.json.decode(answer.body)
    for pit in told.get("pits", []):
        pit["pit_id"] = theirs.get(pit.get("pit_id"), pit.get("pit_id"))
    return await call.reply_answer(answer, msgspec.json.encode(told))
