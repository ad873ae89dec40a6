"""Everything that no pipeline concerns: streamed to the cluster and back, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import Call


async def passthrough(call: Call) -> web.StreamResponse:
    """Forwards the request as it is."""
    return await call.stream_on()
