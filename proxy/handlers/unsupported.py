"""Surfaces on which pipelines do not run yet: refused when one would concern the request, never bypassed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines import PipelineType
from pipelines.definition import object_of
from pipelines.errors import UnsupportedError
from proxy.handlers.choice import concerned
from proxy.handlers.passthrough import passthrough
from proxy.protocol.search import msearch_indexes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from proxy.handlers.call import Call

DOCUMENT, QUERY, RESULT = PipelineType.DOCUMENT, PipelineType.QUERY, PipelineType.RESULT


def refuse(call: Call, found: list[str]) -> None:
    """Raises UnsupportedError if pipelines were found."""
    if found:
        surface = next((s for s in reversed(call.target.segments) if s.startswith("_")), call.target.raw_path)
        raise UnsupportedError(
            f"pipelines do not run on [{surface}] in this version, and this request is concerned by "
            f"{', '.join(found)}; "
            "send it to the cluster directly if it may pass unprocessed"
        )


def by_path(*kinds: PipelineType) -> Callable[[Call], Awaitable[web.StreamResponse]]:
    """A handler for surfaces whose indexes are in the path."""

    async def handler(call: Call) -> web.StreamResponse:
        if call.snapshot.types.intersection(kinds):
            refuse(call, await concerned(call, call.params.get("index", "_all"), *kinds))
        return await passthrough(call)

    return handler


async def msearch(call: Call) -> web.StreamResponse:
    """`_msearch` and `_msearch/template`: indexes stand in the header lines."""
    if not call.snapshot.bound_types & {QUERY, RESULT}:
        return await passthrough(call)
    call.require_json()
    body = await call.body()
    for expression in msearch_indexes(call.inflated(body), call.params.get("index", "_all")):
        refuse(call, await concerned(call, expression, QUERY, RESULT))
    return await call.send_on(body, changed=False)


async def reindex(call: Call) -> web.StreamResponse:
    """`_reindex`: source and destination stand in the body."""
    if not call.snapshot.bound_types & {QUERY, DOCUMENT}:
        return await passthrough(call)
    call.require_json()
    body = await call.body()
    request = object_of(call.inflated(body)) if body else {}
    source, destination = request.get("source"), request.get("dest")
    if isinstance(source, dict) and "remote" not in source:
        refuse(call, await concerned(call, _expression(source.get("index")), QUERY))
    if isinstance(destination, dict):
        refuse(call, await concerned(call, _expression(destination.get("index")), DOCUMENT))
    return await call.send_on(body, changed=False)


async def update(call: Call) -> web.StreamResponse:
    """`_update/{id}`: concerns a document pipeline only when it may insert."""
    found = await concerned(call, call.params["index"], DOCUMENT)
    if not found:
        return await passthrough(call)
    call.require_json()
    body = await call.body()
    request = object_of(call.inflated(body)) if body else {}
    if "upsert" in request or request.get("doc_as_upsert") not in (None, False, "false"):
        refuse(call, found)
    return await call.send_on(body, changed=False)


def _expression(index: object) -> str:
    return ",".join(map(str, index)) if isinstance(index, list) else str(index or "_all")
