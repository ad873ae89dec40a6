"""`/_proxy/health/live` and `/_proxy/health/ready`; no index names, no document data."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.server.reply import reply_json
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.components import Components
    from headrace.server.request import RequestContext

ALIVE = {"status": "alive"}
ASK_SECONDS = 2.0
"""Seconds for the cluster's answer to a readiness probe: below the time-outs of common probes."""


async def live(context: RequestContext) -> web.StreamResponse:
    """The process answers."""
    return await reply_json(context, 200, ALIVE)


async def ready(context: RequestContext) -> web.StreamResponse:
    """200 when traffic is served and wanted; says whether the registry is a copy, and what of its index is ignored."""
    good, answer = await readiness(context.components)
    return await reply_json(context, 200 if good else 503, answer)


async def readiness(components: Components) -> tuple[bool, dict[str, str | int]]:
    """Whether traffic is served and wanted, and the answer of a readiness probe."""
    reachable = await _cluster_answers(components)
    registry, ledger = components.registry.state, components.registry.ledger
    draining = components.lifecycle.draining
    good = reachable and registry != "none" and not draining
    answer: dict[str, str | int] = {
        "status": "draining" if draining else "ready" if good else "not ready",
        "registry": registry,
        "cluster": "reachable" if reachable else "unreachable",
    }
    # Only where there is something to say: most of the time there is not.
    noted: dict[str, str | int | None] = {
        "registry_ignored": len(ledger.ignored),
        "registry_repaired": ledger.repaired,
        "registry_rival": ledger.rival,
    }
    return good, answer | {name: value for name, value in noted.items() if value}


async def _cluster_answers(components: Components) -> bool:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await components.upstream.read("HEAD", "/", b"", None)
    except (HeadraceError, TimeoutError):
        return False
    return answer.status < 500
