"""The right of a caller to read the documents of an index, asked of the cluster with the caller's own credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.upstream.client import ClusterRefusedError
from headrace_pipelines.errors import RefusedError

if TYPE_CHECKING:
    from headrace.server.request import RequestContext


async def may_read(context: RequestContext, index: str) -> bool:
    """Whether the caller may search an index; where the cluster has no rights to ask for, everybody may."""
    try:
        verdict = await context.components.permissions.search(context, index)
    except ClusterRefusedError:
        return False
    return verdict.allowed is not False


async def require_readable(context: RequestContext, index: str) -> None:
    """Raises RefusedError unless the caller may search an index, or the indexes of an expression."""
    if not await may_read(context, index):
        raise RefusedError(
            f"watching the documents of [{index}] needs the right to read them: indices:data/read/search"
        )
