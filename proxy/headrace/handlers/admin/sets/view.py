"""Sets as the API shows them: changes with patches, errors, revisions, and an export that can be applied again."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jsonpatch
import msgspec

from headrace_pipelines.definition import encode
from headrace_pipelines.errors import ConflictError, InUseError, InvalidError, RegistryError, SetError
from headrace_pipelines.registry import PipelineRecord, UdfRecord
from headrace_pipelines.registry.association import Pattern
from headrace_pipelines.registry.pins import Now, unpinned
from headrace_pipelines.udf import archives
from headrace_pipelines.udf.manifest import FROM_SOURCE, PYTHON, headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace_pipelines.registry import Snapshot
    from headrace_pipelines.registry.records import Revision
    from headrace_pipelines.registry.sets import Change, Fault
    from headrace_pipelines.registry.sets.plan import Object

LONGEST_SOURCE = 1 << 16
"""Bytes of a UDF's source above which a patch shows its SHA-256 alone."""


def name_of(kind: str, name: str) -> dict[str, str]:
    """Kind and name of an object, and the type of a pipeline."""
    type_, _, plain = name.rpartition(":")
    if kind == "pipeline" and type_:
        return {"kind": kind, "name": plain, "type": type_}
    return {"kind": kind, "name": name}


def set_error(faults: Iterable[Fault]) -> SetError:
    """All faults as an error: 400, or 409 where nothing is wrong but what is in the registry stands against it."""
    faults = list(faults)
    errors: list[dict[str, Any]] = []
    for fault in faults:
        found: dict[str, Any] = name_of(fault.kind, fault.name)
        errors.append(found | ({"field": fault.field} if fault.field else {}) | {"reason": fault.reason})
    wrong = [error for error, fault in zip(errors, faults, strict=True) if not fault.conflict]
    first = (wrong or errors)[0]
    where = f"{first['kind']} [{first['name']}]" + (f" [{first['field']}]" if "field" in first else "")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    status, type_ = (InvalidError.status, InvalidError.type) if wrong else (ConflictError.status, InUseError.type)
    return SetError(status, type_, f"{where} {first['reason']}{more}; nothing was changed", errors)


def changes_shown(
    changes: Iterable[Change], base: Revision | None, kept: Iterable[Revision], codes: Mapping[str, bytes]
) -> list[dict[str, Any]]:
    """Changes with versions and patches. `base`: the revision in force; `codes`: code of UDFs by digest."""
    revisions = {revision.revision: revision for revision in kept}
    drift = base.drift if base is not None else {}
    found = []
    for change in changes:
        before, after = _definition(change.before, codes), _definition(change.after, codes)
        entry: dict[str, Any] = name_of(change.kind, change.name)
        entry |= {"action": change.action, "from": _version(change.before), "to": _version(change.after)}
        entry["patch"] = _patch(before, after) if change.action != "unchanged" else []
        if change.adopted:
            entry["adopted"] = True
        number = drift.get(change.label)
        if number is not None and change.action != "unchanged":
            entry["drift"] = {"revision": number} | _maker(revisions.get(number))
        found.append(entry)
    return found


def _maker(revision: Revision | None) -> dict[str, str]:
    if revision is None:
        return {}
    return {"created": revision.created} | ({"user": revision.user} if revision.user else {})


def _version(record: Object | None) -> str | None:
    return record.version if isinstance(record, PipelineRecord | UdfRecord) else None


def _definition(record: Object | None, codes: Mapping[str, bytes]) -> dict[str, Any] | None:
    """The value that a patch describes: a definition without its name and version."""
    if isinstance(record, PipelineRecord):
        found: dict[str, Any] = msgspec.json.decode(encode(record.definition))
    elif isinstance(record, UdfRecord):
        found = msgspec.to_builtins(record.manifest) | {"sha256": record.digest}
        code = codes.get(record.digest)
        if record.manifest.language in FROM_SOURCE and code is not None and len(code) <= LONGEST_SOURCE:
            found |= _code(record, code)
    elif isinstance(record, Pattern):
        return record.body
    else:
        return None
    return {name: value for name, value in found.items() if name not in ("name", "version")}


def _patch(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[dict[str, Any]]:
    if after is None:
        return [{"op": "remove", "path": ""}]
    if before is None:
        return [{"op": "add", "path": "", "value": after}]
    patch: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
    return patch


def _code(record: UdfRecord, code: bytes) -> dict[str, Any]:
    """The code of a UDF as members of an upload."""
    if record.manifest.language == PYTHON:
        source, packages = archives.unpacked(code)
        return {"source": source, **({"packages": [packages]} if packages else {})}
    if record.manifest.language in FROM_SOURCE and not code.startswith(b"\0asm"):
        return {"source": code.decode()}
    return {"wasm": base64.b64encode(code).decode()}


def _says_version(record: UdfRecord, code: bytes) -> bool:
    """Whether the code itself names a version, in place of which an upload without one would have it."""
    return record.manifest.interpreted and "version" in headers(_code(record, code)["source"])


def revision_shown(revision: Revision, in_force: int) -> dict[str, Any]:
    """A revision in a list of them."""
    shown: dict[str, Any] = {
        "revision": revision.revision,
        "created": revision.created,
        "action": revision.action,
        "in_force": revision.revision == in_force,
        "source": msgspec.to_builtins(revision.source),
        "changes": [_change_in(text) for text in revision.changes],
    }
    return shown | ({"user": revision.user} if revision.user else {})


def _change_in(text: str) -> dict[str, str]:
    action, kind, name = text.split(" ", 2)
    return {**name_of(kind, name), "action": action}


def told(revision: Revision) -> str:
    """A revision in words: who changed what, and when."""
    source = revision.source
    who = source.by or revision.user or "somebody"
    commit = f", commit {source.commit}" if source.commit else ""
    names = [f"{each['action']} {each['kind']} [{each['name']}]" for each in map(_change_in, revision.changes)]
    what = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    hand = " by hand" if revision.action == "by_hand" else ""
    return f"revision {revision.revision} of {revision.created} by {who}{hand}{commit}: {what}"


def exported(snapshot: Snapshot, revision: Revision | None, codes: Mapping[str, bytes]) -> dict[str, Any]:
    """The objects of a revision in force in the form in which they are applied; `None`: those that no set has.

    Versions that count on and pins to what is in force are left out: they come back by themselves.
    """
    records, now = snapshot.records, Now(snapshot)
    if revision is not None:
        ids = {*revision.pipelines.values(), *revision.udfs.values()}
        pipelines = [r for r in records.pipelines if r.id in ids]
        udfs = [r for r in records.udfs if r.id in ids]
        patterns = revision.patterns
    else:
        pipelines = [
            r
            for r in records.pipelines
            if records.active.get(r.name) == r.version and not snapshot.managed_by("pipeline", r.name)
        ]
        udfs = [r for r in snapshot.udfs() if not snapshot.managed_by("udf", r.name)]
        patterns = [p for p in records.patterns if not snapshot.managed_by("association", p.pattern)]
    shown_pipelines = []
    for record in sorted(pipelines, key=lambda r: r.name):
        definition = unpinned(record.definition, now)
        if definition.version.isdigit():
            definition = msgspec.structs.replace(definition, version="")
        shown_pipelines.append(msgspec.json.decode(encode(definition), type=dict[str, msgspec.Raw]))
    shown_udfs = []
    for udf in sorted(udfs, key=lambda r: r.name):
        manifest, code = udf.manifest, codes.get(udf.digest)
        if code is None:
            raise RegistryError(f"the code of UDF [{manifest.label}] is not at hand")
        if manifest.version.isdigit() and not _says_version(udf, code):
            manifest = msgspec.structs.replace(manifest, version="")
        entry = {"name": manifest.name, "language": manifest.language, **msgspec.to_builtins(manifest)}
        shown_udfs.append(entry | _code(udf, code))
    associations = {p.pattern: p.body for p in patterns}
    return {"udfs": shown_udfs, "pipelines": shown_pipelines, "associations": associations}
