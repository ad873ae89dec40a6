"""`/_udf`: upload, list, show, test and delete UDFs (docs/reference/rest-api.md)."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs
from multidict import CIMultiDict

from headrace.handlers.admin import managed
from headrace.handlers.admin.trials.simulate import compile_definition, decode_body, kind_of, simulate
from headrace.registry.records_codec import now
from headrace.security import admin
from headrace.security.admin import shown_to
from headrace.server.reply import reply_json, reply_run
from headrace.server.response import send_whole
from headrace_pipelines import PipelineType
from headrace_pipelines.definition import EMPTY, FailurePolicy, PipelineDefinition, UdfConfig, UdfStage, check_name
from headrace_pipelines.errors import ConflictError, InUseError, RegistryError
from headrace_pipelines.registry import UdfRecord, udf_record
from headrace_pipelines.stats import StageCounts, merged_stages, shown_stage
from headrace_pipelines.udf import archives
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf.catalog import digest as digest_of

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.request import RequestContext
    from headrace_pipelines.registry import Snapshot
    from headrace_pipelines.udf.manifest import Manifest

_RAW = {
    "application/wasm": "wasm",
    "text/x-wat": "wat",
    "text/x-python": "python",
    "text/javascript": "javascript",
    "application/javascript": "javascript",
}


async def put(context: RequestContext) -> web.StreamResponse:
    """Stores a version of a UDF: 201; the same again: 200. The module is compiled and tried before it is stored."""
    await admin.require_admin(context)
    name = context.params["name"]
    check_name(name)
    manifest, code, claimed = await _upload(context, name)
    registry = context.components.registry
    await registry.store.ensure_index()
    await registry.refresh()
    managed_by = managed.manager(context, "udf", name)
    manifest, stored_already = _versioned(manifest, code, context.snapshot, registry.numbers(f"udf:{name}"))
    context.add_audit_facts(version=manifest.version, sha256=digest_of(code))
    record = await asyncio.to_thread(_checked, context, manifest, code, claimed)
    await _store(context, record, code, managed_by, stored_already=stored_already)
    return await reply_json(
        context, 200 if stored_already else 201, {"acknowledged": True, **shown(record, context.snapshot)}
    )


async def _store(
    context: RequestContext, record: UdfRecord, code: bytes, managed_by: str, *, stored_already: bool
) -> None:
    """Stores a version and brings it in force. Raises ConflictError where another request was there first."""
    registry, name = context.components.registry, record.name
    if not stored_already:
        await registry.write_code(record.digest, code)
        if not await registry.store.add_udf(record):
            raise ConflictError(
                f"UDF [{record.manifest.label}] was created by another request at the same time, or is in the history "
                "of a set; choose another version"
            )
    if managed_by:
        stored = [r.id for r in context.snapshot.udf_versions(name) if r.version == record.version]
        try:
            await managed.bring_in_force(context, managed_by, "udf", name, stored[0] if stored else record.id)
        except ConflictError:
            if not stored_already:
                await registry.store.remove_udf(record)
                await registry.drop_code([record])
            raise
    else:
        await registry.changed()
        managed.refuse_adopted(context, "udf", name)
    await registry.supply_code({record.digest: code})


async def _upload(context: RequestContext, name: str) -> tuple[Manifest, bytes, str | None]:
    if language := _RAW.get(context.media):
        body = await context.text()
        return manifests.raw(body, name, context.target.get("version") or "", language), body, None
    return manifests.parse(await context.plain_text(), name)


def _checked(context: RequestContext, manifest: Manifest, code: bytes, claimed: str | None) -> UdfRecord:
    """Compiles and tries the module. Raises InvalidError that says what does not fit."""
    return udf_record(context.components.registry.catalog, manifest, code, now(), claimed)


def _versioned(manifest: Manifest, code: bytes, snapshot: Snapshot, numbers: list[int]) -> tuple[Manifest, bool]:
    """The manifest with its version, and whether exactly this is stored. Raises ConflictError as pipelines do."""
    versions = snapshot.udf_versions(manifest.name)
    if not manifest.version:
        if versions:
            latest = snapshot.udf(manifest.name)
            same = msgspec.structs.replace(manifest, version=latest.manifest.version)
            if same == latest.manifest and latest.digest == digest_of(code):
                return latest.manifest, True
        return msgspec.structs.replace(manifest, version=str(max(numbers, default=0) + 1)), False
    for record in versions:
        if record.manifest.version == manifest.version:
            if record.manifest == manifest and record.digest == digest_of(code):
                return manifest, True
            raise ConflictError(
                f"UDF [{manifest.label}] exists with other content; versions never change, give it another version"
            )
    return manifest, False


def shown(record: UdfRecord, snapshot: Snapshot) -> dict[str, Any]:
    """A UDF as the API shows it: manifest, digest (SHA-256), size in bytes, ABI, exports, and its set if it has one."""
    manifest: dict[str, Any] = msgspec.to_builtins(record.manifest)
    found = {"digest": record.digest, "size": record.size, "abi": record.abi, "entry": record.entry}
    head = {
        "name": record.manifest.name,
        "version": record.manifest.version,
        "language": record.manifest.language,
    }
    managed_by = snapshot.managed_by("udf", record.name)
    of_set = {"managed_by": managed_by} if managed_by else {}
    return head | manifest | found | {"exports": record.exports, "created": record.created} | of_set


async def get(context: RequestContext) -> web.StreamResponse:
    """The latest version of a UDF, or that in `?version=`."""
    return await reply_json(
        context,
        200,
        shown(context.snapshot.udf(context.params["name"], context.target.get("version")), context.snapshot),
    )


async def listed(context: RequestContext) -> web.StreamResponse:
    """All UDFs in their latest version; `?category=`, `?author=`, `?tag=`, `?language=`."""
    asked = {name: context.target.get(name) for name in ("category", "author", "language")}
    tag = context.target.get("tag")
    found = [
        shown(record, context.snapshot)
        for record in context.snapshot.udfs()
        if all(value in (None, getattr(record.manifest, name)) for name, value in asked.items())
        and (tag is None or tag in record.manifest.tags)
    ]
    return await reply_json(context, 200, {"total": len(found), "udfs": found})


async def versions(context: RequestContext) -> web.StreamResponse:
    """All versions of a UDF, lowest first."""
    name = context.params["name"]
    latest = context.snapshot.udf(name)
    found = [
        {"version": r.manifest.version, "digest": r.digest, "created": r.created, "latest": r is latest}
        for r in context.snapshot.udf_versions(name)
    ]
    return await reply_json(context, 200, {"name": name, "versions": found})


async def delete(context: RequestContext) -> web.StreamResponse:
    """Deletes a UDF, or one version of it; refused while a pipeline uses it."""
    await admin.require_admin(context)
    registry = context.components.registry
    await registry.refresh()
    snapshot, version = context.snapshot, context.target.get("version")
    snapshot.udf(context.params["name"], version)
    name = context.params["name"]
    managed_by = managed.manager(context, "udf", name)
    if users := snapshot.users_of_udf(name, version):
        raise InUseError(f"UDF [{name}] is used by {', '.join(dict.fromkeys(users))}; change or delete them first")
    if managed_by:
        if version is not None:
            managed.refuse_version(managed_by, f"{name}@{version}")
        await managed.release(context, managed_by, "udf", name)
        return await reply_json(context, 200, {"acknowledged": True})
    records = [record for record in snapshot.udf_versions(name) if version in (None, record.version)]
    for record in records:
        await registry.store.remove_udf(record)
    await registry.drop_code(records)
    await registry.changed()
    managed.refuse_adopted(context, "udf", name)
    return await reply_json(context, 200, {"acknowledged": True})


_SOURCE_TYPES = {
    "wat": "text/x-wat; charset=UTF-8",
    manifests.PYTHON: "text/x-python; charset=UTF-8",
    manifests.JAVASCRIPT: "text/javascript; charset=UTF-8",
}


async def source(context: RequestContext) -> web.StreamResponse:
    """The code of a UDF as it was sent: text, or the bytes of a module; `?format=json` for the code as a JSON value."""
    record = context.snapshot.udf(context.params["name"], context.target.get("version"))
    code = context.snapshot.codes.get(record.digest)
    if code is None:
        raise RegistryError(f"the code of UDF [{record.manifest.label}] is not at hand")
    kind = "application/wasm" if code[:4] == b"\0asm" else _SOURCE_TYPES.get(record.manifest.language, "text/plain")
    packages = ""
    if record.manifest.language == manifests.PYTHON:
        text, packages = archives.unpacked(code)
        code = text.encode()
    if context.target.get("format") == "json":
        binary = kind == "application/wasm"
        coded = {"wasm": base64.b64encode(code).decode()} if binary else {"source": code.decode()}
        more = {"packages": [packages]} if packages else {}
        head = {"name": record.manifest.name, "version": record.manifest.version, "language": record.manifest.language}
        return await reply_json(context, 200, {**head, "digest": record.digest, **coded, **more})
    headers = CIMultiDict({hdrs.CONTENT_TYPE: kind, "ETag": f'"{record.digest}"'})
    return await send_whole(context.request, 200, "", headers, code)


async def stats(context: RequestContext) -> web.StreamResponse:
    """Statistics of a UDF by version, over all the stages that run it and all workers."""
    name, version = context.params["name"], context.target.get("version")
    context.snapshot.udf(name, version)
    counts = await context.components.metrics.gathered()
    records = [r for r in context.snapshot.udf_versions(name) if version in (None, r.manifest.version)]
    found = [counts.udfs.get(r.manifest.label, StageCounts(r.manifest.label)) for r in records]
    versions = [
        {"version": r.manifest.version, "digest": r.digest, **_counted(each)}
        for r, each in zip(records, found, strict=True)
    ]
    told = {"name": name, **_counted(merged_stages(name, found)), "versions": versions}
    return await reply_json(context, 200, await shown_to(context, told))


def _counted(counts: StageCounts) -> dict[str, Any]:
    shown = shown_stage(counts)
    del shown["name"], shown["skips"], shown["retries"]
    return shown


class UdfTrialRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An input to try a UDF on."""

    input: msgspec.Raw
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    verbose: bool = False


async def test(context: RequestContext) -> web.StreamResponse:
    """Runs a UDF on an input, alone; `?type=` says as what (default document; `hit` for one hit of a response)."""
    await admin.require_admin(context, changes=False)
    record = context.snapshot.udf(context.params["name"], context.target.get("version"))
    request = decode_body(await context.plain_text(), UdfTrialRequest)
    as_hit = context.target.get("type") == "hit"
    config = UdfConfig(
        udf_name=record.manifest.name,
        udf_version=record.manifest.version,
        parameters=EMPTY if request.parameters is msgspec.UNSET else request.parameters,
        scope="hit" if as_hit else None,
    )
    kind = PipelineType.RESULT if as_hit else kind_of(context) or PipelineType.DOCUMENT
    stage = UdfStage(name=record.manifest.name, config=config)
    trial_pipeline = PipelineDefinition(
        name="_test", type=kind, version="0", stages=[stage], on_failure=FailurePolicy.ABORT if as_hit else None
    )
    pipeline = await compile_definition(context, trial_pipeline, context.snapshot)
    text = bytes(request.input)
    if as_hit:
        text = b'{"hits":{"hits":[' + text + b"]}}"
    answer = await simulate(context, pipeline, text, verbose=request.verbose)
    return await reply_run(context, 200, _only_hit(answer) if as_hit else answer)


def _only_hit(answer: dict[str, Any]) -> dict[str, Any]:
    """The trial of a response with one hit, as one of that hit."""
    if answer["output"] is None:
        return answer
    hits = msgspec.json.decode(answer["output"], type=_Response).hits.hits
    return answer | ({"output": hits[0]} if hits else {"output": None, "filtered": True})


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class _Response(msgspec.Struct):
    hits: _Hits
