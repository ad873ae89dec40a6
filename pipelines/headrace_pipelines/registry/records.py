"""Records of the registry: what the store holds of pipelines, UDFs and attachments."""

from __future__ import annotations

import re

import msgspec

from headrace_pipelines.definition import PipelineDefinition, PipelineType
from headrace_pipelines.registry.association import Association, Pattern, Template
from headrace_pipelines.udf.manifest import Manifest


class PipelineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored version of a pipeline; times in ISO 8601."""

    definition: PipelineDefinition
    created: str


class UdfRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored version of a UDF; `digest` is the SHA-256 of its code."""

    manifest: Manifest
    digest: str
    size: int
    abi: str
    entry: str
    exports: list[str]
    created: str


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the store: all versions of pipelines and UDFs, the active versions, and the associations."""

    pipelines: list[PipelineRecord] = []
    active: dict[str, str] = {}
    udfs: list[UdfRecord] = []
    associations: list[Association] = []
    patterns: list[Pattern] = []
    templates: list[Template] = []


def key(kind: PipelineType, name: str) -> str:
    """The key of a pipeline in the store: names are unique per type."""
    return f"{kind.value}:{name}"


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key of versions: numbers by value, a pre-release (`-rc1`) before its release, as semver orders them."""
    release, _, pre = version.partition("-")
    parts = [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"[.+_]", release)]
    tail = [(0, 0, pre)] if pre else [(1, 0, "")]
    return tuple(parts) + tuple(tail)
