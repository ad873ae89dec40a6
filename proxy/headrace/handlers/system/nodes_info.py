"""`_nodes`: the addresses that clients sniff are the proxy's, so that they do not go round it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import Call


async def nodes(call: Call) -> web.StreamResponse:
    """Every `http.publish_address` becomes the address by which clients reach this proxy."""
    address = call.parts.settings.advertise or call.request.headers.get(hdrs.HOST, "")
    if not address:
        return await call.stream_on()
    answer = await call.exchange(b"", changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    for node in told.get("nodes", {}).values():
        if isinstance(node, dict) and isinstance(http := node.get("http"), dict):
            for name, told_here in (("publish_address", address), ("bound_address", [address])):
                if name in http:
                    http[name] = told_here
    return await call.reply_answer(answer, msgspec.json.encode(told))
