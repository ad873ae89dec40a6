"""`/_pipeline/_association/{pattern}` and what an index has attached: `GET /{index}/_pipeline`, `_resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.handlers.admin import managed
from headrace.handlers.admin.attachment import check
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.definition import object_of
from headrace_pipelines.errors import MissingError
from headrace_pipelines.registry.association import SLOTS, Pattern, pattern_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines.registry.association import Target


async def put(context: RequestContext) -> web.StreamResponse:
    """Attaches pipelines to all indexes whose names match: 201, or 200 where the pattern was there."""
    await admin.require_admin(context)
    pattern = context.params["pattern"]
    new = pattern_of(pattern, object_of(await context.plain_text()))
    await admin.require_attaching(context, pattern)
    await context.components.registry.refresh()
    check(context, {slot: name for slot in SLOTS if (name := new.name(slot)) is not None})
    if managed_by := managed.manager(context, "association", pattern):
        await managed.associate(context, managed_by, new)
        return await reply_json(context, 200, {"acknowledged": True, **_shown(new, managed_by)})
    before = await context.components.registry.change(Pattern, pattern, lambda _: new)
    managed.refuse_adopted(context, "association", pattern)
    return await reply_json(context, 201 if before is None else 200, {"acknowledged": True, **_shown(new)})


def _shown(pattern: Pattern, managed_by: str = "") -> dict[str, Any]:
    of_set = {"managed_by": managed_by} if managed_by else {}
    return {"pattern": pattern.pattern, **pattern.body, **of_set}


async def get(context: RequestContext) -> web.StreamResponse:
    """One association by its pattern."""
    wanted = context.params["pattern"]
    for pattern in context.snapshot.associations.patterns:
        if pattern.pattern == wanted:
            managed_by = context.snapshot.managed_by("association", wanted)
            return await reply_json(context, 200, _shown(pattern, managed_by))
    raise MissingError(f"no association has the pattern [{wanted}]")


async def listed(context: RequestContext) -> web.StreamResponse:
    """All associations by pattern, the highest priority first."""
    snapshot = context.snapshot
    found = [_shown(p, snapshot.managed_by("association", p.pattern)) for p in snapshot.associations.patterns]
    return await reply_json(context, 200, {"total": len(found), "associations": found})


async def delete(context: RequestContext) -> web.StreamResponse:
    """Removes an association. Raises RefusedError unless the caller may attach pipelines to its indexes."""
    await admin.require_admin(context)
    wanted = context.params["pattern"]
    await admin.require_attaching(context, wanted)
    await context.components.registry.refresh()
    if managed_by := managed.manager(context, "association", wanted):
        await managed.release(context, managed_by, "association", wanted)
        return await reply_json(context, 200, {"acknowledged": True})
    before = await context.components.registry.change(Pattern, wanted, lambda _: None)
    managed.refuse_adopted(context, "association", wanted)
    if before is None:
        raise MissingError(f"no association has the pattern [{wanted}]")
    return await reply_json(context, 200, {"acknowledged": True})


async def attached(context: RequestContext) -> web.StreamResponse:
    """The attachments of every index of the expression, by name."""
    held = context.snapshot.associations.indexes
    targets = await _targets(context)
    view = await context.components.resolver.view()
    if unknown := [t.name for t in targets if t.name not in held and not view.knows(t.name)]:
        raise MissingError(f"no such index [{', '.join(unknown)}]")
    answer = {t.name: held[t.name].shown if t.name in held else {} for t in targets}
    return await reply_json(context, 200, answer)


async def resolve(context: RequestContext) -> web.StreamResponse:
    """The pipelines that would run on every index of the expression, with version and reason."""
    snapshot = context.snapshot
    answer: dict[str, Any] = {}
    for target in await _targets(context):
        shown: dict[str, Any] = {}
        for slot in SLOTS:
            found = snapshot.associations.find(slot, target)
            if found is None:
                continue
            pipeline = snapshot.attached(slot.kind, found.name)
            entry = {
                "pipeline": found.name,
                "version": pipeline.definition.version,
                "enabled": pipeline.definition.enabled,
                "source": found.source,
                "by": found.by,
            }
            if pipeline.fault is not None:
                entry["fault"] = pipeline.fault.reason
            shown.setdefault(slot.kind.value, {})["final" if slot.final else "default"] = entry
        answer[target.name] = shown
    return await reply_json(context, 200, answer)


async def _targets(context: RequestContext) -> Sequence[Target]:
    """The indexes of the path. Raises MissingError for a name that is none, and no template's either."""
    expression = context.params["index"]
    targets = await context.components.resolver.targets(expression)
    if not targets and "*" not in expression and expression != "_all":
        raise MissingError(f"no such index [{expression}]")
    return targets
