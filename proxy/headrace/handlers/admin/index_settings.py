"""Index creation, settings, deletion: `index.{document,query,result}.{default,final}_pipeline` beside the cluster's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.expressions import options_of, read_by
from headrace.handlers.admin.attachment import attach, check, mentions
from headrace.handlers.passthrough import passthrough
from headrace.protocol import index_settings as codec
from headrace.protocol.indices.options import MANAGED
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import Association

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.protocol.index_settings import Found
    from headrace.server.request import Call


async def create(call: Call) -> web.StreamResponse:
    """`PUT /{index}`: attaches, then creates, so that no document comes between; undone if the cluster refuses."""
    body = await call.body()
    text = call.inflated(body)
    rest, found = codec.take_from_create(text) if mentions(call, text) else (text, {})
    if not found:
        return await call.send_on(body, changed=False)
    await call.require_admin()
    index = call.params["index"]
    call.parts.resolver.forget()
    view = await call.parts.resolver.view([index])
    if view.knows(index):
        return await call.send_on(rest, changed=True)
    check(call, found)
    note(call, found)
    before = await attach(call, index, found)
    answer = await call.exchange(rest)
    if not answer.ok:
        await attach(call, index, {slot: before.name(slot) for slot in found})
    return await call.reply_answer(answer)


async def update(call: Call) -> web.StreamResponse:
    """`PUT /{index}/_settings`: ours are kept, the rest goes to the cluster."""
    body = await call.body()
    text = call.inflated(body)
    if not mentions(call, text):
        return await call.send_on(body, changed=False)
    rest, found = codec.take_from_update(text)
    if not found:
        return await call.send_on(body, changed=False)
    await call.require_admin()
    check(call, found)
    indexes = await _gone(call, found) or await _concrete(call, call.params.get("index", "_all"))
    await call.require_attaching(call.params.get("index", "_all"))
    note(call, found)
    if _has_settings(rest):
        answer = await call.exchange(rest)
        if not answer.ok:
            return await call.reply_answer(answer)
    kept = call.target.flag("preserve_existing")
    for index in indexes:
        await attach(call, index, await _missing(call, index, found) if kept else found)
    return await call.reply_json(200, {"acknowledged": True})


async def _missing(call: Call, index: str, found: Found) -> Found:
    """Those settings that an index does not have yet."""
    target = (await call.parts.resolver.view([index])).owner(index)
    has = call.snapshot.associations.settings(target)
    return {slot: name for slot, name in found.items() if has.name(slot) is None}


def note(call: Call, found: Found) -> None:
    """Has the line of the audit log name what is attached."""
    call.note(**{slot.setting: name or "" for slot, name in found.items()})


def _has_settings(rest: bytes) -> bool:
    """Whether anything is left for the cluster."""
    settings = msgspec.json.decode(rest)
    return bool(settings.get("settings", settings) if isinstance(settings.get("settings", {}), dict) else settings)


async def _gone(call: Call, found: Found) -> list[str]:
    """The index that is named, if something is detached from it and it was deleted past the proxy."""
    name = call.params.get("index", "")
    if name not in call.snapshot.associations.indexes or any(found.values()):
        return []
    return [] if (await call.parts.resolver.view([name])).knows(name) else [name]


async def _concrete(call: Call, expression: str) -> list[str]:
    """The indexes to attach to. Raises InvalidError for an alias: associations belong to indexes."""
    view = await call.parts.resolver.view([p for p in expression.split(",") if "*" not in p])
    for name in expression.split(","):
        if name in view.aliases:
            behind = ", ".join(sorted(view.behind(name)))
            raise InvalidError(f"[{name}] is an alias and carries no pipelines; attach them to its indexes: {behind}")
    reading = await read_by(call, expression, options_of(call, MANAGED))
    indexes = [t.name for t in reading.targets if t.name in view.indexes or t.name in view.streams]
    if not indexes:
        raise InvalidError(
            f"no such index [{expression}]; create it first, with or without the pipeline settings", "index"
        )
    return indexes


async def mark(call: Call, index: str, *, deleted: bool) -> None:
    """Says of what is attached to an index whether that was deleted."""

    def change(old: Association | None) -> Association | None:
        return msgspec.structs.replace(old, deleted=deleted) if old is not None else None

    await call.parts.registry.change(Association, index, change)


async def show(call: Call) -> web.StreamResponse:
    """`GET /{index}` and `GET /{index}/_settings[/{name}]`: the cluster's answer with our settings in it."""
    associations, target = call.snapshot.associations, call.target
    if not associations.indexes and not associations.templates:
        return await passthrough(call)
    answer = await call.exchange(await call.body(), changed=False, unfiltered=True)
    if not answer.ok or not answer.json:
        return await call.reply_answer(answer)
    shown: dict[str, Any] = msgspec.json.decode(answer.body)
    form = codec.Form(target.flag("flat_settings"), call.params.get("name", "*"), target.flag("include_defaults"))
    view = await call.parts.resolver.view(shown)
    if "name" in call.params:
        # The cluster leaves out an index that has none of the settings that are asked for.
        reading = await read_by(call, call.params.get("index", "_all"), options_of(call, MANAGED))
        shown |= {index: {} for index in reading.resolution.indexes if index not in shown}
    codec.put_back(shown, lambda index: associations.settings(view.owner(index)), form)
    kept = {index: settings for index, settings in shown.items() if settings}
    return await call.reply_answer(answer, msgspec.json.encode(kept))


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /{index}`: what is attached holds no more once the cluster has deleted it."""
    snapshot = call.snapshot
    bound: list[str] = []
    held = snapshot.associations.indexes
    if held:
        reading = await read_by(call, call.params["index"], options_of(call, MANAGED))
        bound = [target.name for target in reading.targets if target.name in held]
    if not bound:
        return await passthrough(call)
    answer = await call.exchange(await call.body(), changed=False)
    if answer.ok:
        for index in bound:
            await mark(call, index, deleted=True)
    return await call.reply_answer(answer)
