"""`GET /_proxy/quotas`: the quotas in force, what they refused, and whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.security import admin
from headrace.security.quotas import bucket_of
from headrace.server.reply import reply_json

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.security.quotas import Quota, Quotas
    from headrace.server.request import RequestContext

MAX_KEYS = 20
"""Keys of a quota in an answer: those with the most refusals."""
NANOSECONDS = 1e9


async def quotas(context: RequestContext) -> web.StreamResponse:
    """Each quota with its limits, its refusals since the start, and the keys that were refused most."""
    await admin.require_admin(context, changes=False)
    in_force: Quotas = context.components.quotas
    counts = await context.components.metrics.gathered(compact=True)
    shown = [_shown(in_force, quota, counts.quotas, counts.quota_keys) for quota in in_force.rules]
    return await reply_json(context, 200, {"workers": counts.workers, "quotas": shown})


def _shown(in_force: Quotas, quota: Quota, refused: dict[str, int], refused_keys: dict[str, int]) -> dict[str, Any]:
    prefix = f"{quota.name}|"
    mine = {key.removeprefix(prefix): count for key, count in refused_keys.items() if key.startswith(prefix)}
    most = sorted(mine, key=lambda key: (-mine[key], key))[:MAX_KEYS]
    return {
        "name": quota.name,
        "match": {
            "users": list(quota.match.users),
            "indexes": list(quota.match.indexes),
            "headers": quota.match.headers,
            "operations": list(quota.match.operations),
        },
        "per": quota.per,
        "burst": quota.burst,
        "limits": quota.limits,
        "refused": {limit: refused.get(prefix + limit, 0) for limit in quota.limits},
        "keys": [{"key": key, "refused": mine[key], **_state(in_force, quota, key)} for key in most],
    }


def _state(in_force: Quotas, quota: Quota, key: str) -> dict[str, Any]:
    """Seconds until the fullest bucket of a key is empty, and its requests in progress."""
    states = {limit: in_force.buckets.state(bucket_of(quota, limit, key)) for limit in quota.limits}
    used = max((used for limit, (used, _) in states.items() if limit != "concurrent_requests"), default=0)
    in_progress = states.get("concurrent_requests", (0, 0))[1]
    return {"empty_in_seconds": round(used / NANOSECONDS, 3), "in_progress": in_progress}
