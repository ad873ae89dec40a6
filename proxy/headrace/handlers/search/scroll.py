"""Scrolls: later pages go through the result pipelines of the search that began them, in the same versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.execution.search_run import later_answer
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import object_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import Call

PATH = "/_search/scroll"


async def page(call: Call) -> web.StreamResponse:
    """The next page of a scroll; its id stands in the body, in the URL or in the path."""
    snapshot = call.snapshot
    if PipelineType.RESULT not in snapshot.types and not snapshot.protects:
        return await call.stream_on()
    _, request = await _request(call)
    text = request.get("scroll_id")
    cursor = call.parts.cursors.open("scroll", text) if isinstance(text, str) else None
    if cursor is None and snapshot.protects:
        raise InvalidError(
            "this scroll was begun past this proxy, or before there were final pipelines; begin it again"
        )
    if cursor is None:
        return await _send(call, request)
    request["scroll_id"] = cursor.id
    _point_to(call)
    return await later_answer(call, cursor, msgspec.json.encode(request), "_scroll_id")


async def clear(call: Call) -> web.StreamResponse:
    """Ends scrolls: one id, several, or `_all`."""
    if PipelineType.RESULT not in call.snapshot.types and not call.snapshot.protects:
        return await call.stream_on()
    body, request = await _request(call)
    given = request.get("scroll_id")
    ids = given if isinstance(given, list) else str(given).split(",") if given is not None else []
    request["scroll_id"] = [_opened(call, str(each)) for each in ids]
    if request["scroll_id"] in ([], ["_all"]):
        return await call.send_on(body, changed=True)
    return await _send(call, request)


def _opened(call: Call, text: str) -> str:
    cursor = call.parts.cursors.open("scroll", text)
    return text if cursor is None else cursor.id


async def _request(call: Call) -> tuple[bytes, dict[str, object]]:
    """The request's body; and with what path and URL say where it says nothing (as OpenSearch reads it)."""
    body = await call.text()
    if body:
        call.require_json()
    request: dict[str, object] = dict(object_of(body)) if body else {}
    given = {"scroll_id": call.params.get("id") or call.target.get("scroll_id"), "scroll": call.target.get("scroll")}
    return body, {name: value for name, value in given.items() if value is not None} | request


def _point_to(call: Call) -> None:
    call.target = call.target.at(PATH).without("scroll_id", "scroll")


async def _send(call: Call, request: dict[str, object]) -> web.StreamResponse:
    _point_to(call)
    return await call.send_on(msgspec.json.encode(request), changed=True)
