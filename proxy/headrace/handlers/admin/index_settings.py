"""Index creation, settings, deletion: `index.{document,query,result}.{default,final}_pipeline` beside the cluster's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.expressions import options_of, read_by
from headrace.handlers.admin.attachment import attach, check, mentions
from headrace.handlers.passthrough import passthrough
from headrace.protocol import index_settings as codec
from headrace.protocol.indices.options import MANAGED
from headrace.security import admin
from headrace.server.reply import reply_answer, reply_json
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import Association

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.index_settings import Found
    from headrace.server.request import RequestContext


async def create(context: RequestContext) -> web.StreamResponse:
    """`PUT /{index}`: attaches, then creates, so that no document comes between; undone if the cluster refuses."""
    body = await context.body()
    text = context.decoded_text(body)
    rest, found = codec.extract_from_create(text) if mentions(context, text) else (text, {})
    if not found:
        return await context.forward(body, changed=False)
    await admin.require_admin(context)
    index = context.params["index"]
    context.components.resolver.forget()
    view = await context.components.resolver.view([index])
    if view.knows(index):
        return await context.forward(rest, changed=True)
    check(context, found)
    note(context, found)
    before = await attach(context, index, found)
    answer = await context.forward_buffered(rest)
    if not answer.ok:
        await attach(context, index, {slot: before.name(slot) for slot in found})
    return await reply_answer(context, answer)


async def update(context: RequestContext) -> web.StreamResponse:
    """`PUT /{index}/_settings`: ours are kept, the rest goes to the cluster."""
    body = await context.body()
    text = context.decoded_text(body)
    if not mentions(context, text):
        return await context.forward(body, changed=False)
    rest, found = codec.extract_from_update(text)
    if not found:
        return await context.forward(body, changed=False)
    await admin.require_admin(context)
    check(context, found)
    indexes = await _gone(context, found) or await _concrete(context, context.params.get("index", "_all"))
    await admin.require_attaching(context, context.params.get("index", "_all"))
    note(context, found)
    if _has_settings(rest):
        answer = await context.forward_buffered(rest)
        if not answer.ok:
            return await reply_answer(context, answer)
    kept = context.target.flag("preserve_existing")
    for index in indexes:
        await attach(context, index, await _missing(context, index, found) if kept else found)
    return await reply_json(context, 200, {"acknowledged": True})


async def _missing(context: RequestContext, index: str, found: Found) -> Found:
    """Those settings that an index does not have yet."""
    target = (await context.components.resolver.view([index])).owner(index)
    has = context.snapshot.associations.settings(target)
    return {slot: name for slot, name in found.items() if has.name(slot) is None}


def note(context: RequestContext, found: Found) -> None:
    """Has the line of the audit log name what is attached."""
    context.add_audit_facts(**{slot.setting: name or "" for slot, name in found.items()})


def _has_settings(rest: bytes) -> bool:
    """Whether anything is left for the cluster."""
    settings = msgspec.json.decode(rest)
    return bool(settings.get("settings", settings) if isinstance(settings.get("settings", {}), dict) else settings)


async def _gone(context: RequestContext, found: Found) -> list[str]:
    """The index that is named, if something is detached from it and it was deleted past the proxy."""
    name = context.params.get("index", "")
    if name not in context.snapshot.associations.indexes or any(found.values()):
        return []
    return [] if (await context.components.resolver.view([name])).knows(name) else [name]


async def _concrete(context: RequestContext, expression: str) -> list[str]:
    """The indexes to attach to. Raises InvalidError for an alias: associations belong to indexes."""
    view = await context.components.resolver.view([p for p in expression.split(",") if "*" not in p])
    for name in expression.split(","):
        if name in view.aliases:
            behind = ", ".join(sorted(view.behind(name)))
            raise InvalidError(f"[{name}] is an alias and carries no pipelines; attach them to its indexes: {behind}")
    reading = await read_by(context, expression, options_of(context, MANAGED))
    indexes = [t.name for t in reading.targets if t.name in view.indexes or t.name in view.streams]
    if not indexes:
        raise InvalidError(
            f"no such index [{expression}]; create it first, with or without the pipeline settings", "index"
        )
    return indexes


async def mark(context: RequestContext, index: str, *, deleted: bool) -> None:
    """Says of what is attached to an index whether that was deleted."""

    def change(old: Association | None) -> Association | None:
        return msgspec.structs.replace(old, deleted=deleted) if old is not None else None

    await context.components.registry.change(Association, index, change)


async def show(context: RequestContext) -> web.StreamResponse:
    """`GET /{index}` and `GET /{index}/_settings[/{name}]`: the cluster's answer with our settings in it."""
    associations, target = context.snapshot.associations, context.target
    if not associations.indexes and not associations.templates:
        return await passthrough(context)
    answer = await context.forward_buffered(await context.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await reply_answer(context, answer)
    shown: dict[str, Any] = msgspec.json.decode(answer.body)
    form = codec.Form(target.flag("flat_settings"), context.params.get("name", "*"), target.flag("include_defaults"))
    view = await context.components.resolver.view(shown)
    if "name" in context.params:
        # The cluster leaves out an index that has none of the settings that are asked for.
        reading = await read_by(context, context.params.get("index", "_all"), options_of(context, MANAGED))
        shown |= {index: {} for index in reading.resolution.indexes if index not in shown}
    codec.add_slots(shown, lambda index: associations.settings(view.owner(index)), form)
    kept = {index: settings for index, settings in shown.items() if settings}
    return await reply_answer(context, answer, msgspec.json.encode(kept))


async def delete(context: RequestContext) -> web.StreamResponse:
    """`DELETE /{index}`: what is attached holds no more once the cluster has deleted it."""
    snapshot = context.snapshot
    bound: list[str] = []
    held = snapshot.associations.indexes
    if held:
        reading = await read_by(context, context.params["index"], options_of(context, MANAGED))
        bound = [target.name for target in reading.targets if target.name in held]
    if not bound:
        return await passthrough(context)
    answer = await context.forward_buffered(await context.body(), changed=False)
    if answer.ok:
        for index in bound:
            await mark(context, index, deleted=True)
    return await reply_answer(context, answer)
