"""`POST /_proxy/reload`: reads the settings, secrets and certificates again, in all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.ops.lifecycle import WorkerReloadError
from headrace.security import admin
from headrace.server.reply import reply_json

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext


async def reload(context: RequestContext) -> web.StreamResponse:
    """What has changed, and what needs a restart; 400 with the reason where the configuration is wrong."""
    await admin.require_admin(context)
    report = await context.components.lifecycle.reload()
    peers = context.components.metrics.peers
    failures = [] if peers is None else await peers.reload()
    if failures:
        raise WorkerReloadError(f"this worker has reloaded, others have not ({'; '.join(failures)}); try again")
    return await reply_json(
        context,
        200,
        {"acknowledged": True, "changed": report.changed, "restart_needed": report.restart_needed},
    )
