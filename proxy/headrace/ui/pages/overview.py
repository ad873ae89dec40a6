"""The first page: what the proxy does now, and whether it is well."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from headrace.ui.inner import ApiError
from headrace.ui.rates.history import AT_ONCE, minutes_of, pipelines_by_traffic

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ui.view import View

BUSIEST = 8
"""Pipelines in the table."""


async def show(view: View) -> web.StreamResponse:
    """State, rates, and the busiest pipelines."""
    now = time.time()
    rows, health, minutes = await asyncio.gather(
        view.api.get("_cat", "pipelines", format="json"), _health(view), minutes_of(view.api, view.recent.missing(now))
    )
    udfs = await view.api.get("_cat", "udfs", format="json", h="name")
    rates, latest = view.recent.add(minutes, now), minutes[-AT_ONCE:]
    busiest = await asyncio.to_thread(pipelines_by_traffic, latest, BUSIEST)
    return await view.page(
        "overview.html",
        "overview",
        "Overview",
        health=health,
        nodes=view.components.upstream.nodes_up(),
        counts={"pipelines": len(rows), "attached": sum(row["attached"] != "0" for row in rows), "udfs": len(udfs)},
        totals=rates,
        busiest=busiest,
        minutes=len(latest),
    )


async def _health(view: View) -> dict[str, Any]:
    """The answer of the readiness probe, also of a proxy that is not ready."""
    try:
        found: dict[str, Any] = await view.api.get("_proxy", "health", "ready")
    except ApiError as error:
        return {"status": "not ready", "registry": view.components.registry.state, "reason": error.reason}
    return found
