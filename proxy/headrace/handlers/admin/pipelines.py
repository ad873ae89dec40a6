"""`/_pipeline`: define, list, activate, delete and try pipelines (docs/reference/rest-api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from headrace.handlers.admin import managed
from headrace.handlers.admin.trials.simulate import (
    TrialDocument,
    compile_definition,
    decode_body,
    kind_of,
    simulate,
    simulate_document,
)
from headrace.handlers.admin.versions.running import refuse_activation
from headrace.protocol.importing import from_ingest, from_search
from headrace.registry.records_codec import now
from headrace.security import admin
from headrace.security.admin import shown_to
from headrace.server.reply import reply_json, reply_run
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import (
    PipelineDefinition,
    check_name,
    encode,
    members_of,
    parse,
)
from headrace_pipelines.errors import ConflictError, InvalidError, MissingError, RefusedError
from headrace_pipelines.registry import PipelineRecord, Snapshot, key
from headrace_pipelines.registry.pins import Now, pinned, pinned_as
from headrace_pipelines.registry.references import with_parameters
from headrace_pipelines.stats import PipelineCounts
from headrace_pipelines.stats import shown as shown_stats
from headrace_pipelines.udf.catalog import digest as digest_of

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.ops.metrics import ProcessCounts
    from headrace.registry.store import VersionedValue
    from headrace.server.request import RequestContext
    from headrace_pipelines.registry import Pipeline

UNSAVED = "unsaved"


async def put(context: RequestContext) -> web.StreamResponse:
    """Creates a pipeline, or adds a version and makes it active: 201; the same content again: 200."""
    await admin.require_admin(context)
    check_name(context.params["name"])
    definition = parse(await context.plain_text(), context.params["name"])
    stored_already, answer = await _stored(context, definition)
    return await reply_json(context, 200 if stored_already else 201, {"acknowledged": True, **answer})


async def _stored(context: RequestContext, definition: PipelineDefinition) -> tuple[bool, dict[str, Any]]:
    """Stores a definition and makes it active; says whether it was known, and what it is now."""
    registry, store = context.components.registry, context.components.registry.store
    await store.ensure_index()
    await registry.refresh()
    snapshot = context.snapshot
    name = key(definition.type, definition.name)
    managed_by = managed.manager(context, "pipeline", name)
    definition, stored_already = _versioned(definition, snapshot, registry.numbers(f"pipeline:{name}"))
    await compile_definition(context, definition, snapshot)
    if not activates(context):
        return await _stored_inactive(context, definition, stored_already=stored_already, managed_by=managed_by)
    refuse_activation(context, name, definition.version)
    if not stored_already:
        await _refuse_cluster_name(context, definition)
    before = await store.active(definition.type, definition.name)
    context.add_audit_facts(
        type=definition.type.value,
        version=definition.version,
        before=str(before.value or ""),
        sha256=digest_of(encode(definition)),
    )
    _note_switch(context, snapshot, definition)
    if not stored_already and not await store.add_pipeline(PipelineRecord(definition=definition, created=now())):
        raise ConflictError(
            f"pipeline [{definition.label}] was created by another request at the same time, or is in the history of "
            "a set; choose another version"
        )
    try:
        await _bring_in_force(context, definition, managed_by, before, _id_of(definition, snapshot))
    except ConflictError:
        if not stored_already:
            await store.remove_pipeline(definition.type, definition.name, definition.version)
        raise
    if not managed_by:
        await registry.changed()
        managed.refuse_adopted(context, "pipeline", name)
    return stored_already, {"name": definition.name, "version": definition.version, "type": definition.type.value}


async def _bring_in_force(
    context: RequestContext, definition: PipelineDefinition, managed_by: str, before: VersionedValue, id_: str
) -> None:
    """Makes a stored version active, by its set if one has it. Raises ConflictError."""
    kind, name, version = definition.type, definition.name, definition.version
    if managed_by:
        await managed.bring_in_force(context, managed_by, "pipeline", key(kind, name), id_)
    elif before.value != version:
        await context.components.registry.store.set_active(kind, name, version, before)


def activates(context: RequestContext) -> bool:
    """Whether a stored version becomes active: unless `?activate=false` says otherwise. Raises InvalidError."""
    given = context.target.get("activate")
    if given not in (None, "", "true", "false"):
        raise InvalidError(f"[{given}] is not one of true, false", "activate")
    return given != "false"


async def _stored_inactive(
    context: RequestContext, definition: PipelineDefinition, *, stored_already: bool, managed_by: str
) -> tuple[bool, dict[str, Any]]:
    """Stores a version beside the active one, for a rollout. Raises InvalidError where there is no active one."""
    registry = context.components.registry
    if context.snapshot.active(definition.type, definition.name) is None:
        raise InvalidError("there is no active version yet; store the first one without [activate]", "activate")
    if managed_by:
        raise InvalidError(f"the versions of this pipeline are those of the set [{managed_by}]", "activate")
    context.add_audit_facts(type=definition.type.value, version=definition.version, active="false")
    if not stored_already:
        record = PipelineRecord(definition=definition, created=now())
        if not await registry.store.add_pipeline(record):
            raise ConflictError(f"pipeline [{definition.label}] was created by another request at the same time")
        await registry.changed()
    return stored_already, {"name": definition.name, "version": definition.version, "type": definition.type.value}


def _note_switch(context: RequestContext, snapshot: Snapshot, definition: PipelineDefinition) -> None:
    """Says in the audit log whether the pipeline runs from now on, where the change switches it on or off."""
    active = snapshot.active(definition.type, definition.name)
    if definition.enabled != (active is None or active.definition.enabled):
        context.add_audit_facts(enabled=str(definition.enabled).lower())


class ImportRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which pipeline of the cluster becomes one of ours, and its new name."""

    ingest: str | None = None
    search: str | None = None
    name: str | None = None
    version: str | None = None


async def import_(context: RequestContext) -> web.StreamResponse:
    """Makes pipelines of ours out of one of the cluster's, which is read with the caller's credentials."""
    await admin.require_admin(context)
    request = decode_body(await context.plain_text(), ImportRequest)
    if (request.ingest is None) == (request.search is None):
        raise InvalidError("exactly one of [ingest] and [search] is required: the name of a pipeline of the cluster")
    family, source = ("_ingest", request.ingest) if request.ingest is not None else ("_search", request.search)
    if not request.name:
        raise InvalidError("required: the cluster's pipeline keeps its name, so ours needs another one", "name")
    body = await _cluster_pipeline(context, family, source or "")
    if family == "_ingest":
        wanted = [from_ingest(body, request.name, request.version)]
    else:
        wanted = from_search(body, request.name, request.version)
    definitions = [parse(msgspec.json.encode(each), request.name) for each in wanted]
    for definition in definitions:
        await compile_definition(context, definition, context.snapshot)
    stored = [await _stored(context, definition) for definition in definitions]
    answer = {"acknowledged": True, "pipelines": [shown for _, shown in stored]}
    return await reply_json(context, 200 if all(stored_already for stored_already, _ in stored) else 201, answer)


async def _cluster_pipeline(context: RequestContext, family: str, name: str) -> dict[str, Any]:
    """A pipeline of the cluster. Raises MissingError, and RefusedError where the caller may not see it."""
    answer = await context.call_cluster("GET", f"/{family}/pipeline/{quote(name, safe='')}")
    if answer.status == 404:
        raise MissingError(f"the cluster has no pipeline [{name}] in {family}/pipeline")
    if not answer.ok:
        raise RefusedError(f"the cluster does not show {family}/pipeline/{name} to you: status {answer.status}")
    found: dict[str, dict[str, Any]] = msgspec.json.decode(answer.body)
    if name not in found:
        raise MissingError(f"the cluster has no pipeline [{name}] in {family}/pipeline")
    return found[name]


def _id_of(definition: PipelineDefinition, snapshot: Snapshot) -> str:
    """The id of a version, which may have been stored since."""
    stored = snapshot.versions(definition.type, definition.name)
    found = [record.id for record in stored if record.version == definition.version]
    return found[0] if found else PipelineRecord(definition=definition, created="").id


def _versioned(given: PipelineDefinition, snapshot: Snapshot, numbers: list[int]) -> tuple[PipelineDefinition, bool]:
    """The definition as it is to be stored, its version and its pins in it, and whether exactly this is stored.

    `numbers`: of all versions that are stored.

    Without a version: that of the active one if the content is the same, else one more than the highest number. Raises
    ConflictError for a version that exists with other content: versions never change. What exists in the version that
    is given is the same also where only its pins are newer.
    """
    definition = pinned(given, Now(snapshot))
    versions = snapshot.versions(definition.type, definition.name)
    if not definition.version:
        active = snapshot.active(definition.type, definition.name)
        if active is not None and _same(
            msgspec.structs.replace(definition, version=active.definition.version), active.definition
        ):
            return active.definition, True
        return msgspec.structs.replace(definition, version=str(max(numbers, default=0) + 1)), False
    for record in versions:
        stored = record.definition
        if stored.version == definition.version:
            if _same(stored, given) or _same(stored, pinned_as(given, stored)):
                return stored, True
            raise ConflictError(
                f"pipeline [{definition.label}] exists with other content; versions never change, "
                "give it another version"
            )
    return definition, False


def _same(left: PipelineDefinition, right: PipelineDefinition) -> bool:
    return bool(msgspec.json.decode(encode(left)) == msgspec.json.decode(encode(right)))


async def _refuse_cluster_name(context: RequestContext, definition: PipelineDefinition) -> None:
    """Raises ConflictError if the cluster has a pipeline of this name: a request could not tell them apart."""
    family = "_ingest" if definition.type is PipelineType.DOCUMENT else "_search"
    if await context.components.registry.store.cluster_has_pipeline(family, definition.name):
        raise ConflictError(
            f"the cluster has a pipeline [{definition.name}] of its own ({family}/pipeline); choose another name"
        )


def shown(pipeline: Pipeline, snapshot: Snapshot) -> dict[str, Any]:
    """A pipeline as the API shows it: its definition, `created`, `updated`, `active`, and its set if it has one."""
    definition = pipeline.definition
    view: dict[str, Any] = {
        "name": definition.name,
        "version": definition.version,
        "type": definition.type.value,
    }
    view |= {"description": definition.description, "enabled": definition.enabled}
    view |= msgspec.json.decode(encode(definition), type=dict[str, msgspec.Raw])
    versions = snapshot.versions(definition.type, definition.name)
    view["created"] = versions[0].created
    view["updated"] = pipeline.created
    view["active"] = snapshot.active(definition.type, definition.name) is pipeline
    if managed_by := snapshot.managed_by("pipeline", key(definition.type, definition.name)):
        view["managed_by"] = managed_by
    if pipeline.fault is not None:
        view["fault"] = pipeline.fault.reason
    return view


async def get(context: RequestContext) -> web.StreamResponse:
    """One pipeline, active or in `?version=`."""
    snapshot = context.snapshot
    pipeline = snapshot.find(context.params["name"], context.target.get("version"), kind_of(context))
    return await reply_json(context, 200, shown(pipeline, snapshot))


async def listed(context: RequestContext) -> web.StreamResponse:
    """All pipelines, `?type=` and `?enabled=`."""
    snapshot = context.snapshot
    kind, enabled = kind_of(context), context.target.get("enabled")
    found = [
        shown(pipeline, snapshot)
        for pipeline in snapshot.pipelines()
        if kind in (None, pipeline.definition.type) and enabled in (None, str(pipeline.definition.enabled).lower())
    ]
    return await reply_json(context, 200, {"total": len(found), "pipelines": found})


async def versions(context: RequestContext) -> web.StreamResponse:
    """All versions of a pipeline, oldest first."""
    snapshot = context.snapshot
    definition = snapshot.find(context.params["name"], None, kind_of(context)).definition
    records = snapshot.versions(definition.type, definition.name)
    found = [
        {
            "version": r.definition.version,
            "created": r.created,
            "active": r.definition.version == definition.version,
            "enabled": r.definition.enabled,
        }
        for r in records
    ]
    return await reply_json(context, 200, {"name": definition.name, "type": definition.type.value, "versions": found})


async def activate(context: RequestContext) -> web.StreamResponse:
    """Makes the version in `?version=` the active one: back or forward."""
    await admin.require_admin(context)
    version = context.target.get("version")
    if not version:
        raise InvalidError("required: the version to make active", "version")
    registry = context.components.registry
    await registry.refresh()
    definition = context.snapshot.find(context.params["name"], version, kind_of(context)).definition
    context.add_audit_facts(name=definition.name, type=definition.type.value, version=version)
    await compile_definition(context, definition, context.snapshot)
    name = key(definition.type, definition.name)
    managed_by = managed.manager(context, "pipeline", name)
    refuse_activation(context, name, version)
    before = await registry.store.active(definition.type, definition.name)
    context.add_audit_facts(before=str(before.value or ""), after=version)
    _note_switch(context, context.snapshot, definition)
    if managed_by:
        await managed.bring_in_force(context, managed_by, "pipeline", name, _id_of(definition, context.snapshot))
    else:
        await registry.store.set_active(definition.type, definition.name, version, before)
        await registry.changed()
        managed.refuse_adopted(context, "pipeline", name)
    return await reply_json(context, 200, {"acknowledged": True, "name": definition.name, "version": version})


class TrialRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An input, or documents, to try a pipeline on; `pipeline` is a definition that is not stored."""

    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    docs: list[TrialDocument] | msgspec.UnsetType = msgspec.UNSET
    pipeline: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, msgspec.Raw] | None = None
    verbose: bool = False


async def execute(context: RequestContext) -> web.StreamResponse:
    """Tries a stored pipeline on an input; nothing is indexed or searched."""
    await admin.require_admin(context, changes=False)
    request = decode_body(await context.plain_text(), TrialRequest)
    if request.pipeline is not msgspec.UNSET:
        raise InvalidError("the path names the pipeline; send an unsaved one to /_pipeline/_execute", "pipeline")
    definition = context.snapshot.find(
        context.params["name"], context.target.get("version"), kind_of(context)
    ).definition
    return await _execute(context, definition, request)


async def execute_unsaved(context: RequestContext) -> web.StreamResponse:
    """Tries a definition that is not stored."""
    await admin.require_admin(context, changes=False)
    request = decode_body(await context.plain_text(), TrialRequest)
    if request.pipeline is msgspec.UNSET:
        raise InvalidError("required: the definition to try", "pipeline")
    fields = members_of(bytes(request.pipeline))
    name = msgspec.json.decode(fields["name"]) if "name" in fields else UNSAVED
    definition = parse(bytes(request.pipeline), name if isinstance(name, str) else UNSAVED)
    return await _execute(context, msgspec.structs.replace(definition, version=definition.version or "0"), request)


async def _execute(
    context: RequestContext, definition: PipelineDefinition, request: TrialRequest
) -> web.StreamResponse:
    if (request.input is msgspec.UNSET) == (request.docs is msgspec.UNSET):
        raise InvalidError("exactly one of [input] and [docs] is required")
    if request.parameters:
        definition = with_parameters(definition, request.parameters)
    pipeline = await compile_definition(context, definition, context.snapshot)
    if request.docs is not msgspec.UNSET:
        if definition.type is not PipelineType.DOCUMENT:
            raise InvalidError("are for document pipelines; send [input]", "docs")
        docs = [await simulate_document(context, pipeline, doc, verbose=request.verbose) for doc in request.docs]
        return await reply_run(context, 200, {"docs": docs})
    text = bytes(request.input) if request.input is not msgspec.UNSET else b"{}"
    return await reply_run(context, 200, await simulate(context, pipeline, text, verbose=request.verbose))


async def stats(context: RequestContext) -> web.StreamResponse:
    """Statistics of a pipeline's active version, or that in `?version=`, over all workers."""
    pipeline = context.snapshot.find(context.params["name"], context.target.get("version"), kind_of(context))
    counts = await context.components.metrics.gathered()
    return await reply_run(context, 200, await shown_to(context, _stats(pipeline, counts)))


async def all_stats(context: RequestContext) -> web.StreamResponse:
    """Statistics of all active pipelines, over all workers."""
    counts = await context.components.metrics.gathered()
    found = [_stats(pipeline, counts) for pipeline in context.snapshot.pipelines()]
    return await reply_run(context, 200, await shown_to(context, {"total": len(found), "pipelines": found}))


def _stats(pipeline: Pipeline, counts: ProcessCounts) -> dict[str, Any]:
    definition = pipeline.definition
    head = {"name": definition.name, "version": definition.version, "type": definition.type.value}
    found = counts.pipelines.get(f"{definition.type.value}:{definition.label}")
    return head | shown_stats(found or PipelineCounts())
