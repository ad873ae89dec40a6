"""`_nodes`: the addresses that clients sniff are the proxy's, so that they do not go round it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs

from headrace.server.reply import reply_answer

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext


async def nodes(context: RequestContext) -> web.StreamResponse:
    """Every `http.publish_address` becomes the address by which clients reach this proxy."""
    address = context.components.settings.advertise or context.request.headers.get(hdrs.HOST, "")
    if not address:
        return await context.forward_streaming()
    answer = await context.forward_buffered(b"", changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    for node in told.get("nodes", {}).values():
        if isinstance(node, dict) and isinstance(http := node.get("http"), dict):
            for name, told_here in (("publish_address", address), ("bound_address", [address])):
                if name in http:
                    http[name] = told_here
    return await reply_answer(context, answer, msgspec.json.encode(told))
