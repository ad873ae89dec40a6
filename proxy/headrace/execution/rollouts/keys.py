"""Keys of requests: who asks, a header, or an expression over both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs

from headrace.protocol.headers.credentials import user_of
from headrace_pipelines.registry.rollouts.record import BY_HEADER, BY_ID, BY_USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.rollouts.running import RunningRollout

_BASIC = "basic "


def meets_candidate(context: RequestContext, rollout: RunningRollout) -> bool:
    """Whether the key of this request meets the candidate; a request without the key meets the stable version."""
    key = request_key(context, rollout)
    return key is not None and rollout.share.of(key) < rollout.percent


def request_key(context: RequestContext, rollout: RunningRollout) -> str | None:
    """The key of this request, of which no document has a key of its own; `None` where it has none."""
    wanted, headers = rollout.record.spec.key, context.request.headers
    if wanted == BY_ID:
        return None
    if wanted == BY_USER:
        return user_key(headers)
    if wanted.startswith(BY_HEADER):
        return headers.get(wanted.removeprefix(BY_HEADER)) or None
    facts = {
        "user": user_key(headers),
        "index": context.params.get("index", ""),
        "headers": {name.lower(): value for name, value in headers.items() if name.lower() != "authorization"},
    }
    return rollout.share.key(msgspec.json.encode(facts))


def user_key(headers: Mapping[str, str]) -> str | None:
    """The name of Basic credentials; other credentials as they are, of which only a hash is made; `None` for none."""
    sent = headers.get(hdrs.AUTHORIZATION, "")
    if sent.lower().startswith(_BASIC):
        return user_of(sent)
    return sent or None
