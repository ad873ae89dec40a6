"""Everything that no pipeline concerns: streamed to the cluster and back, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call

READS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing in the cluster."""


async def passthrough(call: Call) -> web.StreamResponse:
    """Forwards the request as it is; one that may change indexes or aliases makes the resolver look again."""
    try:
        return await call.stream_on()
    finally:
        if call.method not in READS:
            call.parts.resolver.forget()
