"""Problems of UDFs: manifests, names, code that cannot be compiled or started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace.project.check.compiled import VERSION
from headrace.project.check.details import bare, in_code
from headrace.project.check.shape import manifest_faults
from headrace.project.problems import Problem
from headrace_pipelines.errors import HeadraceError, InvalidError
from headrace_pipelines.registry import UdfRecord, udf_record
from headrace_pipelines.udf import manifest as manifests

if TYPE_CHECKING:
    from headrace.project.files import Files, UdfFile
    from headrace_pipelines.udf.catalog import Catalog


@dataclass
class CheckedUdfs:
    """The UDFs that compile, their code by digest, the first problem of each of the others, and all problems."""

    records: list[UdfRecord] = field(default_factory=list)
    codes: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, Problem] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def check_udfs(files: Files, catalog: Catalog) -> CheckedUdfs:
    """Compiles and starts every UDF once."""
    checked = CheckedUdfs()
    seen: dict[str, str] = {}
    for udf in files.udfs:
        if udf.name in seen:
            reason = f"UDF [{udf.name}] is in {seen[udf.name]}, too"
            checked.problems.append(Problem(file=udf.file, reason=reason, hint="rename one of the files"))
            continue
        seen[udf.name] = udf.file
        found = list(_problems(udf))
        if not found:
            try:
                record, code = compiled(udf, catalog)
                checked.records.append(record)
                checked.codes[record.digest] = code
            except HeadraceError as error:
                found.append(_problem(udf, error))
        if found:
            checked.broken[udf.name] = found[0]
            checked.problems += found
    return checked


def compiled(udf: UdfFile, catalog: Catalog) -> tuple[UdfRecord, bytes]:
    """A UDF as the registry has it. Raises InvalidError."""
    manifest, code, abi = manifests.parse(msgspec.json.encode(udf.body), udf.name)
    manifest = msgspec.structs.replace(manifest, version=manifest.version or VERSION)
    return udf_record(catalog, manifest, code, "", abi), code


def _problems(udf: UdfFile) -> list[Problem]:
    if udf.manifest is None:
        return []
    source = udf.manifest
    return [source.problem(f.reason, f.field, f.hint, key=f.key) for f in manifest_faults(udf.fields)]


def _problem(udf: UdfFile, error: HeadraceError) -> Problem:
    field = error.field if isinstance(error, InvalidError) else ""
    source = udf.manifest
    if isinstance(error, InvalidError):
        if source is not None and field and source.find(field) is not None:
            return source.problem(bare(error), field)
        return in_code(udf.file, error)
    return Problem(file=udf.file, field=field, reason=error.reason)
