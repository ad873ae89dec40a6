"""Requests that are passed on unread although something is protected: only what shows and writes no document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution.expressions import options_of
from headrace.execution.protected import visible_documents
from headrace.execution.search_plan import plan_search
from headrace.handlers.passthrough import passthrough
from headrace.protocol import endpoints
from headrace.protocol.headers.encoding import canonical, decode_object
from headrace_pipelines.errors import InvalidError, RefusedError
from headrace_pipelines.registry.association import QUERY_FINAL

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext


class BadIndexNameError(InvalidError):
    """A path of one segment that is no endpoint: what the node takes for the name of an index."""

    type = "invalid_index_name_exception"


async def unread(context: RequestContext) -> web.StreamResponse:
    """Passes a request on whose endpoint is known to show and write no document. Raises RefusedError."""
    segments = context.target.raw_segments
    if not context.components.registry.protects:
        return await passthrough(context)
    if not endpoints.harmless(context.method, segments) and context.components.settings.unknown_requests == "refuse":
        if len(segments) == 1 and segments[0].startswith("_") and context.method in endpoints.READS:
            raise BadIndexNameError(f"Invalid index name [{segments[0]}], must not start with '_'.")
        raise RefusedError(
            f"[{context.method} {context.target.raw_path[:200]}] is not known to this proxy: it might show or write "
            "documents past the final pipelines that are attached. Send it to the cluster directly, or allow such "
            "requests by the setting unknown_requests"
        )
    return await passthrough(context)


async def field_capabilities(context: RequestContext) -> web.StreamResponse:
    """`_field_caps`: its `index_filter` tells of documents that final query pipelines hide. Raises RefusedError."""
    if context.components.registry.protects and context.has_body:
        context.require_json()
        if "index_filter" in decode_object(canonical(await context.text() or b"{}")):
            raise RefusedError("[index_filter] would look at documents past final query pipelines; leave it out")
    return await passthrough(context)


async def count(context: RequestContext) -> web.StreamResponse:
    """`_cat/count`: refused where a final query pipeline leaves documents out. Raises RefusedError."""
    if QUERY_FINAL in context.snapshot.bound:
        expression = context.params.get("index", "_all")
        chosen = await plan_search(context, context.snapshot, expression, defaults=False, options=options_of(context))
        if await visible_documents(context, chosen.parts.get(QUERY_FINAL, ())) is not None:
            raise RefusedError("[_cat/count] counts documents that final query pipelines leave out; use _count")
    return await passthrough(context)
