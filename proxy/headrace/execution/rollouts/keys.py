"""Keys of requests: who asks, a header, or an expression over both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs

from headrace.protocol.headers.credentials import identity_of
from headrace_pipelines.registry.rollouts.record import BY_HEADER, BY_ID, BY_USER

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.rollouts.running import RunningRollout


def meets_candidate(context: RequestContext, rollout: RunningRollout) -> bool:
    """Whether the key of this request meets the candidate; a request without the key meets the stable version."""
    key = request_key(context, rollout)
    return key is not None and rollout.share.of(key) < rollout.percent_at(context.arrived)


def request_key(context: RequestContext, rollout: RunningRollout) -> str | None:
    """The key of this request, of which no document has a key of its own; `None` where it has none."""
    wanted, headers = rollout.record.spec.key, context.request.headers
    if wanted == BY_ID:
        return None
    if wanted == BY_USER:
        return identity_of(headers.get(hdrs.AUTHORIZATION, "")) or None
    if wanted.startswith(BY_HEADER):
        return headers.get(wanted.removeprefix(BY_HEADER)) or None
    facts = {
        "user": identity_of(headers.get(hdrs.AUTHORIZATION, "")) or None,
        "index": context.params.get("index", ""),
        "headers": {name.lower(): value for name, value in headers.items() if name.lower() != "authorization"},
    }
    return rollout.share.key(msgspec.json.encode(facts))
