"""`DELETE /_pipeline/{name}`: refused while something uses the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.handlers.admin import managed
from headrace.handlers.admin.trials.simulate import kind_of
from headrace.handlers.admin.versions.running import refuse_deletion
from headrace.security import admin
from headrace.server.reply import reply_json
from headrace_pipelines.errors import InUseError
from headrace_pipelines.registry import Snapshot, key, version_order
from headrace_pipelines.registry.association import SLOTS

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines import PipelineType


async def delete(context: RequestContext) -> web.StreamResponse:
    """Deletes a pipeline, or one version of it; refused while something uses it."""
    await admin.require_admin(context)
    registry = context.components.registry
    await registry.refresh()
    snapshot, version = context.snapshot, context.target.get("version")
    definition = snapshot.find(context.params["name"], version, kind_of(context)).definition
    kind, name = definition.type, definition.name
    managed_by = managed.manager(context, "pipeline", key(kind, name))
    stored = [r.definition.version for r in snapshot.versions(kind, name)]
    refuse_deletion(context, key(kind, name), version)
    if version is None or stored == [version]:
        users = snapshot.users_of_pipeline(kind, name) + await created_with(context, snapshot, kind, name)
        if users:
            raise InUseError(f"pipeline [{name}] is used by {', '.join(users)}; detach it first")
        if managed_by:
            await managed.release(context, managed_by, "pipeline", key(kind, name))
            return await reply_json(context, 200, {"acknowledged": True})
        before = await registry.store.active(kind, name)
        await registry.store.set_active(kind, name, None, before)
        for each in stored:
            await registry.store.remove_pipeline(kind, name, each)
    else:
        managed.refuse_version(managed_by, f"{name}@{version}")
        await _delete_version(context, kind, name, version)
    await registry.changed()
    managed.refuse_adopted(context, "pipeline", key(kind, name))
    return await reply_json(context, 200, {"acknowledged": True})


async def _delete_version(context: RequestContext, kind: PipelineType, name: str, version: str) -> None:
    """Deletes a version. Raises InUseError for one that is active, or that a composite names."""
    snapshot, store = context.snapshot, context.components.registry.store
    before = await store.active(kind, name)
    if before.value == version:
        stored = [r.definition.version for r in snapshot.versions(kind, name)]
        others = sorted((v for v in stored if v != version), key=version_order)
        raise InUseError(f"version [{version}] is active; make another one active first: {', '.join(others)}")
    if users := snapshot.users_of_version(kind, name, version):
        raise InUseError(f"version [{version}] is used by {', '.join(users)}; change or delete them first")
    await store.remove_pipeline(kind, name, version)


async def created_with(context: RequestContext, snapshot: Snapshot, kind: PipelineType, name: str) -> list[str]:
    """Indexes that have the pipeline from the template under which they were created, in words."""
    if not snapshot.records.templates:
        return []
    slots = [slot for slot in SLOTS if slot.kind is kind]
    return [
        f"index [{target.name}]"
        for target in await context.components.resolver.targets("_all")
        for slot in slots
        if (found := snapshot.associations.find(slot, target)) and (found.name, found.source) == (name, "template")
    ]
