"""Surfaces on which pipelines do not run yet: refused when one would concern the request, never bypassed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution.choice import pipelines_affecting
from headrace.handlers.passthrough import passthrough
from headrace.security import quotas
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from headrace.server.request import RequestContext


def refuse(context: RequestContext, found: list[str]) -> None:
    """Raises UnsupportedError if pipelines were found."""
    if found:
        surface = next((s for s in reversed(context.target.segments) if s.startswith("_")), context.target.raw_path)
        raise UnsupportedError(
            f"pipelines do not run on [{surface}] in this version, and this request is concerned by "
            f"{', '.join(found)}; "
            "send it to the cluster directly if it may pass unprocessed"
        )


def by_path(*kinds: PipelineType) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """A handler for surfaces whose indexes are in the path."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        if context.snapshot.types.intersection(kinds):
            refuse(context, await pipelines_affecting(context, context.params.get("index", "_all"), *kinds))
        return await passthrough(context)

    return handler


async def bulk_stream(context: RequestContext) -> web.StreamResponse:
    """`_bulk/stream`: refused where a document pipeline or a final one is attached, never passed by one.

    Its lines name any index, and its updates show documents. Raises InvalidError.
    """
    if quotas.counts_documents(context):
        raise InvalidError("_bulk/stream does not count documents, and a quota does; use _bulk")
    found = await pipelines_affecting(context, context.params.get("index", "_all"), PipelineType.DOCUMENT)
    if found or PipelineType.DOCUMENT in context.snapshot.bound_types or context.components.registry.protects:
        named = f"{', '.join(found)} would have to run" if found else "its lines may go where some are attached"
        raise InvalidError(f"_bulk/stream does not run pipelines, and {named}; use _bulk")
    return await passthrough(context)
