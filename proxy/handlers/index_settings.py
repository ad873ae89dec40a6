"""Index creation, settings and deletion: `index.{document,query,result}.default_pipeline` beside the cluster's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs

from pipelines import PipelineType
from pipelines.errors import ConflictError, InvalidError, MediaTypeError
from pipelines.registry import Association
from proxy.handlers.passthrough import passthrough
from proxy.protocol import index_settings as codec

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.handlers.call import Call
    from proxy.protocol.index_settings import Found

MARK = b"_pipeline"
ATTEMPTS = 3


async def create(call: Call) -> web.StreamResponse:
    """`PUT /{index}`: attaches, then creates, so that no document comes between; undone if the cluster refuses."""
    body = await call.body()
    text = call.inflated(body)
    if not _mentions(call, text):
        call.parts.resolver.forget()
        return await call.send_on(body, changed=False)
    rest, found = codec.take_from_create(text)
    if not found:
        call.parts.resolver.forget()
        return await call.send_on(body, changed=False)
    call.require_admin()
    index = call.params["index"]
    call.parts.resolver.forget()
    view = await call.parts.resolver.view([index])
    if view.knows(index):
        return await call.send_on(rest, changed=True)
    _check(call, found)
    before = await attach(call, index, found)
    answer = await call.exchange(rest)
    if not answer.ok:
        await attach(call, index, {kind: before.name(kind) for kind in found})
    call.parts.resolver.forget()
    return await call.reply_answer(answer)


async def update(call: Call) -> web.StreamResponse:
    """`PUT /{index}/_settings`: ours are kept, the rest goes to the cluster."""
    body = await call.body()
    text = call.inflated(body)
    if not _mentions(call, text):
        return await call.send_on(body, changed=False)
    rest, found = codec.take_from_update(text)
    if not found:
        return await call.send_on(body, changed=False)
    call.require_admin()
    _check(call, found)
    indexes = await _concrete(call, call.params.get("index", "_all"))
    if _has_settings(rest):
        answer = await call.exchange(rest)
        if not answer.ok:
            return await call.reply_answer(answer)
    for index in indexes:
        await attach(call, index, found)
    return await call.reply_json(200, {"acknowledged": True})


def _has_settings(rest: bytes) -> bool:
    """Whether anything is left for the cluster."""
    settings = msgspec.json.decode(rest)
    return bool(settings.get("settings", settings) if isinstance(settings.get("settings", {}), dict) else settings)


def _mentions(call: Call, text: bytes) -> bool:
    """Whether the body may hold settings of ours. Raises MediaTypeError if it might, in a form we cannot read."""
    if MARK not in text:
        return False
    media = call.request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if media and not media.endswith("json"):
        raise MediaTypeError(
            f"Content-Type header [{media}] is not supported for bodies with pipeline settings; send JSON"
        )
    return True


def _check(call: Call, found: Found) -> None:
    """Raises InvalidError unless every named pipeline is there and of the right type."""
    for kind, name in found.items():
        if name is None or call.snapshot.active(kind, name) is not None:
            continue
        field = f"index.{kind.value}.default_pipeline"
        others = [k.value for k in PipelineType if call.snapshot.active(k, name) is not None]
        if others:
            raise InvalidError(f"pipeline [{name}] is of type {' and '.join(others)}, not {kind.value}", field)
        raise InvalidError(f"pipeline [{name}] does not exist; create it with PUT /_pipeline/{name}", field)


async def _concrete(call: Call, expression: str) -> list[str]:
    """The indexes to attach to. Raises InvalidError for an alias: associations belong to indexes."""
    view = await call.parts.resolver.view([p for p in expression.split(",") if "*" not in p])
    for name in expression.split(","):
        if name in view.aliases:
            behind = ", ".join(view.concrete(name))
            raise InvalidError(f"[{name}] is an alias and carries no pipelines; attach them to its indexes: {behind}")
    indexes = [i for i in await call.parts.resolver.concrete(expression) if i in view.indexes or i in view.streams]
    if not indexes:
        raise InvalidError(
            f"no such index [{expression}]; create it first, with or without the pipeline settings", "index"
        )
    return indexes


async def attach(call: Call, index: str, found: Found) -> Association:
    """Changes what is attached to an index, by compare-and-set; gives what was attached before."""
    registry = call.parts.registry
    await registry.store.ensure_index()
    for attempt in range(ATTEMPTS):
        before = await registry.store.association(index)
        old = msgspec.convert(before.value, Association) if before.value else Association(index=index)
        new = msgspec.structs.replace(old, **{kind.value: name for kind, name in found.items()})
        try:
            if new != old:
                await registry.store.set_association(new, before)
            break
        except ConflictError:
            if attempt == ATTEMPTS - 1:
                raise
    await registry.refresh()
    return old


async def show(call: Call) -> web.StreamResponse:
    """`GET /{index}` and `GET /{index}/_settings[/{name}]`: the cluster's answer with our settings in it."""
    if not call.snapshot.associations:
        return await passthrough(call)
    answer = await call.exchange(await call.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    merged = codec.put_back(
        answer.body,
        call.snapshot.associations.get,
        flat=call.target.flag("flat_settings"),
        pattern=call.params.get("name", "*"),
    )
    return await call.reply_answer(answer, merged)


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /{index}`: drops what is attached once the cluster has deleted it."""
    snapshot = call.snapshot
    bound: list[str] = []
    if snapshot.associations:
        bound = [i for i in await call.parts.resolver.concrete(call.params["index"]) if i in snapshot.associations]
    if not bound:
        return await passthrough(call)
    answer = await call.exchange(await call.body(), changed=False)
    if answer.ok:
        for index in bound:
            await attach(call, index, dict.fromkeys(PipelineType))
    call.parts.resolver.forget()
    return await call.reply_answer(answer)
