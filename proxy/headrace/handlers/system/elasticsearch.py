"""Elasticsearch's own clients in front of OpenSearch, by `elasticsearch_compat`: what they ask for before they speak.

Clients since 7.14 want the header `X-Elastic-Product` on answers, those of 8 and 9 send media types of their own, those
of 7 read `GET /` and may name a `_type` in a bulk (docs/decisions/020-elasticsearch-clients.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.server.reply import reply_answer

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext

VERSION = "7.10.2"
"""The Elasticsearch that OpenSearch was made of; what clients of 7 are told."""
TAGLINE = "You Know, for Search"


async def info(context: RequestContext) -> web.StreamResponse:
    """`GET /`: with `elasticsearch_compat`, as an Elasticsearch of 7 answers."""
    if not context.components.settings.elasticsearch_compat:
        return await context.forward_streaming()
    answer = await context.forward_buffered(b"", changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    version: dict[str, Any] = told.get("version", {})
    version.pop("distribution", None)
    version |= {"number": VERSION, "build_flavor": "default"}
    return await reply_answer(context, answer, msgspec.json.encode(told | {"version": version, "tagline": TAGLINE}))
