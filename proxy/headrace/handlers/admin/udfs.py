"""`/_udf`: upload, list, show, test and delete UDFs (docs/reference/rest-api.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import hdrs
from multidict import CIMultiDict

from headrace.handlers.admin.simulate import asked, compiled, kind_of, now, tried
from headrace.security.admin import shown_to
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

    from headrace.server.request import Call
    from headrace_pipelines.registry import Snapshot
    from headrace_pipelines.udf.manifest import Manifest

_RAW = {
    "application/wasm": "wasm",
    "text/x-wat": "wat",
    "text/x-python": "python",
    "text/javascript": "javascript",
    "application/javascript": "javascript",
}


async def put(call: Call) -> web.StreamResponse:
    """Stores a version of a UDF: 201; the same again: 200. The module is compiled and tried before it is stored."""
    await call.require_admin()
    name = call.params["name"]
    check_name(name)
    manifest, code, claimed = await _upload(call, name)
    registry, store = call.parts.registry, call.parts.registry.store
    await store.ensure_index()
    await registry.refresh()
    manifest, known = _versioned(manifest, code, call.snapshot)
    call.note(version=manifest.version, sha256=digest_of(code))
    record = await asyncio.to_thread(_checked, call, manifest, code, claimed)
    if not known and not await store.add_udf(record, code):
        raise ConflictError(f"UDF [{manifest.label}] was created by another request at the same time")
    await registry.changed()
    return await call.reply_json(200 if known else 201, {"acknowledged": True, **shown(record)})


async def _upload(call: Call, name: str) -> tuple[Manifest, bytes, str | None]:
    if language := _RAW.get(call.media):
        body = await call.text()
        return manifests.raw(body, name, call.target.get("version") or "", language), body, None
    return manifests.parse(await call.plain_text(), name)


def _checked(call: Call, manifest: Manifest, code: bytes, claimed: str | None) -> UdfRecord:
    """Compiles and tries the module. Raises InvalidError that says what does not fit."""
    return udf_record(call.parts.registry.catalog, manifest, code, now(), claimed)


def _versioned(manifest: Manifest, code: bytes, snapshot: Snapshot) -> tuple[Manifest, bool]:
    """The manifest with its version, and whether exactly this is stored. Raises ConflictError as pipelines do."""
    versions = snapshot.udf_versions(manifest.name)
    if not manifest.version:
        if versions:
            latest = versions[-1]
            same = msgspec.structs.replace(manifest, version=latest.manifest.version)
            if same == latest.manifest and latest.digest == digest_of(code):
                return latest.manifest, True
        numbers = [int(r.manifest.version) for r in versions if r.manifest.version.isdigit()]
        return msgspec.structs.replace(manifest, version=str(max(numbers, default=0) + 1)), False
    for record in versions:
        if record.manifest.version == manifest.version:
            if record.manifest == manifest and record.digest == digest_of(code):
                return manifest, True
            raise ConflictError(
                f"UDF [{manifest.label}] exists with other content; versions never change, give it another version"
            )
    return manifest, False


def shown(record: UdfRecord) -> dict[str, Any]:
    """A UDF as the API shows it: manifest, digest (SHA-256), size in bytes, ABI, exports."""
    manifest: dict[str, Any] = msgspec.to_builtins(record.manifest)
    found = {"digest": record.digest, "size": record.size, "abi": record.abi, "entry": record.entry}
    head = {
        "name": record.manifest.name,
        "version": record.manifest.version,
        "language": record.manifest.language,
    }
    return head | manifest | found | {"exports": record.exports, "created": record.created}


async def get(call: Call) -> web.StreamResponse:
    """The latest version of a UDF, or that in `?version=`."""
    return await call.reply_json(200, shown(call.snapshot.udf(call.params["name"], call.target.get("version"))))


async def listed(call: Call) -> web.StreamResponse:
    """All UDFs in their latest version; `?category=`, `?author=`, `?tag=`, `?language=`."""
    asked = {name: call.target.get(name) for name in ("category", "author", "language")}
    tag = call.target.get("tag")
    found = [
        shown(record)
        for record in call.snapshot.udfs()
        if all(value in (None, getattr(record.manifest, name)) for name, value in asked.items())
        and (tag is None or tag in record.manifest.tags)
    ]
    return await call.reply_json(200, {"total": len(found), "udfs": found})


async def versions(call: Call) -> web.StreamResponse:
    """All versions of a UDF, lowest first."""
    name = call.params["name"]
    latest = call.snapshot.udf(name)
    found = [
        {"version": r.manifest.version, "digest": r.digest, "created": r.created, "latest": r is latest}
        for r in call.snapshot.udf_versions(name)
    ]
    return await call.reply_json(200, {"name": name, "versions": found})


async def delete(call: Call) -> web.StreamResponse:
    """Deletes a UDF, or one version of it; refused while a pipeline uses it."""
    await call.require_admin()
    registry = call.parts.registry
    await registry.refresh()
    snapshot, version = call.snapshot, call.target.get("version")
    snapshot.udf(call.params["name"], version)
    name = call.params["name"]
    if users := snapshot.users_of_udf(name, version):
        raise InUseError(f"UDF [{name}] is used by {', '.join(dict.fromkeys(users))}; change or delete them first")
    for record in snapshot.udf_versions(name):
        if version in (None, record.manifest.version):
            others = [r for r in snapshot.records.udfs if r.digest == record.digest and r is not record]
            kept = [r for r in others if not (r.manifest.name == name and version is None)]
            await registry.store.remove_udf(record, code_too=not kept)
    await registry.changed()
    return await call.reply_json(200, {"acknowledged": True})


_SOURCE_TYPES = {
    "wat": "text/x-wat; charset=UTF-8",
    manifests.PYTHON: "text/x-python; charset=UTF-8",
    manifests.JAVASCRIPT: "text/javascript; charset=UTF-8",
}


async def source(call: Call) -> web.StreamResponse:
    """The code of a UDF as it was sent: text, or the bytes of a module."""
    record = call.snapshot.udf(call.params["name"], call.target.get("version"))
    code = call.snapshot.codes.get(record.digest)
    if code is None:
        raise RegistryError(f"the code of UDF [{record.manifest.label}] is not at hand")
    kind = "application/wasm" if code[:4] == b"\0asm" else _SOURCE_TYPES.get(record.manifest.language, "text/plain")
    if record.manifest.language == manifests.PYTHON:
        code = archives.unpacked(code)[0].encode()
    headers = CIMultiDict({hdrs.CONTENT_TYPE: kind, "ETag": f'"{record.digest}"'})
    return await send_whole(call.request, 200, "", headers, code)


async def stats(call: Call) -> web.StreamResponse:
    """Statistics of a UDF by version, over all the stages that run it and all workers."""
    name, version = call.params["name"], call.target.get("version")
    call.snapshot.udf(name, version)
    counts = await call.parts.metrics.gathered()
    records = [r for r in call.snapshot.udf_versions(name) if version in (None, r.manifest.version)]
    found = [counts.udfs.get(r.manifest.label, StageCounts(r.manifest.label)) for r in records]
    versions = [
        {"version": r.manifest.version, "digest": r.digest, **_counted(each)}
        for r, each in zip(records, found, strict=True)
    ]
    told = {"name": name, **_counted(merged_stages(name, found)), "versions": versions}
    return await call.reply_json(200, await shown_to(call, told))


def _counted(counts: StageCounts) -> dict[str, Any]:
    shown = shown_stage(counts)
    del shown["name"], shown["skips"], shown["retries"]
    return shown


class _Test(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw
    parameters: msgspec.Raw = EMPTY
    verbose: bool = False


async def test(call: Call) -> web.StreamResponse:
    """Runs a UDF on an input, alone; `?type=` says as what (default document; `hit` for one hit of a response)."""
    await call.require_admin()
    record = call.snapshot.udf(call.params["name"], call.target.get("version"))
    request = asked(await call.plain_text(), _Test)
    as_hit = call.target.get("type") == "hit"
    config = UdfConfig(
        udf_name=record.manifest.name,
        udf_version=record.manifest.version,
        parameters=request.parameters,
        scope="hit" if as_hit else None,
    )
    kind = PipelineType.RESULT if as_hit else kind_of(call) or PipelineType.DOCUMENT
    stage = UdfStage(name=record.manifest.name, config=config)
    alone = PipelineDefinition(
        name="_test", type=kind, version="0", stages=[stage], on_failure=FailurePolicy.ABORT if as_hit else None
    )
    pipeline = await compiled(call, alone, call.snapshot)
    text = bytes(request.input)
    if as_hit:
        text = b'{"hits":{"hits":[' + text + b"]}}"
    answer = await tried(call, pipeline, text, verbose=request.verbose)
    return await call.reply_json(200, _of_one_hit(answer) if as_hit else answer)


def _of_one_hit(answer: dict[str, Any]) -> dict[str, Any]:
    """The trial of a response with one hit, as one of that hit."""
    if answer["output"] is None:
        return answer
    hits = msgspec.json.decode(answer["output"], type=_Response).hits.hits
    return answer | ({"output": hits[0]} if hits else {"output": None, "filtered": True})


class _Hits(msgspec.Struct):
    hits: list[msgspec.Raw]


class _Response(msgspec.Struct):
    hits: _Hits
