"""Bulks of old Elasticsearch clients: their action lines name a `_type`, which OpenSearch refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_pipelines import without_types

if TYPE_CHECKING:
    from headrace.server.request import RequestContext


async def untyped(context: RequestContext) -> bytes | None:
    """A bulk without `_type` in its action lines, inflated; `None` where Elasticsearch's clients are not expected."""
    if not context.components.settings.elasticsearch_compat or not context.readable:
        return None
    body = await context.text()
    return without_types(body) if b'"_type"' in body else body
