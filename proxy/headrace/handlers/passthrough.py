"""Everything that no pipeline concerns: streamed to the cluster and back, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext


async def passthrough(context: RequestContext) -> web.StreamResponse:
    """Forwards the request as it is."""
    return await context.forward_streaming()
