"""Scrolls: later pages go through the result pipelines of the search that began them, in the same versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.handlers.search.later_pages import later_answer
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import object_of
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

PATH = "/_search/scroll"


async def page(context: RequestContext) -> web.StreamResponse:
    """The next page of a scroll; its id stands in the body, in the URL or in the path."""
    snapshot = context.snapshot
    if PipelineType.RESULT not in snapshot.types and not snapshot.protects:
        return await context.forward_streaming()
    _, request = await _request(context)
    text = request.get("scroll_id")
    cursor = context.components.cursors.open("scroll", text) if isinstance(text, str) else None
    if cursor is None and snapshot.protects:
        raise InvalidError(
            "this scroll was begun past this proxy, or before there were final pipelines; begin it again"
        )
    if cursor is None:
        return await _send(context, request)
    request["scroll_id"] = cursor.id
    _point_to(context)
    return await later_answer(context, cursor, msgspec.json.encode(request), "_scroll_id")


async def clear(context: RequestContext) -> web.StreamResponse:
    """Ends scrolls: one id, several, or `_all`."""
    if PipelineType.RESULT not in context.snapshot.types and not context.snapshot.protects:
        return await context.forward_streaming()
    body, request = await _request(context)
    given = request.get("scroll_id")
    ids = given if isinstance(given, list) else str(given).split(",") if given is not None else []
    request["scroll_id"] = [_opened(context, str(each)) for each in ids]
    if request["scroll_id"] in ([], ["_all"]):
        return await context.forward(body, changed=True)
    return await _send(context, request)


def _opened(context: RequestContext, text: str) -> str:
    cursor = context.components.cursors.open("scroll", text)
    return text if cursor is None else cursor.id


async def _request(context: RequestContext) -> tuple[bytes, dict[str, object]]:
    """The request's body; and with what path and URL say where it says nothing (as OpenSearch reads it)."""
    body = await context.text()
    if body:
        context.require_json()
    request: dict[str, object] = dict(object_of(body)) if body else {}
    given = {
        "scroll_id": context.params.get("id") or context.target.get("scroll_id"),
        "scroll": context.target.get("scroll"),
    }
    return body, {name: value for name, value in given.items() if value is not None} | request


def _point_to(context: RequestContext) -> None:
    context.target = context.target.at(PATH).without("scroll_id", "scroll")


async def _send(context: RequestContext, request: dict[str, object]) -> web.StreamResponse:
    _point_to(context)
    return await context.forward(msgspec.json.encode(request), changed=True)
