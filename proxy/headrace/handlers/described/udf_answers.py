"""The shapes of the answers about UDFs."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Answer, Counted
from headrace_pipelines.udf.manifest import LimitsConfig, Parameter


class UdfShown(Answer, kw_only=True):
    """A version of a UDF: its manifest, and what the engine found in its code. `digest` is a SHA-256."""

    name: str
    version: str
    language: str
    entry: str | None
    description: str | UnsetType = UNSET
    parameters: list[Parameter] | UnsetType = UNSET
    returns: str | UnsetType | None = UNSET
    merge: bool | UnsetType = UNSET
    metadata: bool | UnsetType = UNSET
    view: str | UnsetType | None = UNSET
    isolation: Literal["document", "request", "instance"] | UnsetType = UNSET
    clock: Literal["counted", "real"] | UnsetType | None = UNSET
    random: Literal["seeded", "real"] | UnsetType | None = UNSET
    limits: LimitsConfig | UnsetType = UNSET
    fields: list[str] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    category: str | UnsetType = UNSET
    author: str | UnsetType = UNSET
    digest: str
    size: int
    abi: str
    exports: list[str]
    created: str
    managed_by: str | UnsetType = UNSET


class UdfStored(UdfShown, kw_only=True):
    """A version of a UDF is stored."""

    acknowledged: Literal[True]


class UdfList(Answer, kw_only=True):
    """All UDFs in their latest version."""

    total: int
    udfs: list[UdfShown]


class UdfVersion(Answer, kw_only=True):
    """A stored version of a UDF."""

    version: str
    digest: str
    created: str
    latest: bool


class UdfVersions(Answer, kw_only=True):
    """All versions of a UDF, lowest first."""

    name: str
    versions: list[UdfVersion]


class UdfSource(Answer, kw_only=True):
    """The code of a UDF: `source` is a text, `wasm` a module in base64, `packages` a zip of all packages in base64."""

    name: str
    version: str
    language: str
    digest: str
    source: str | UnsetType = UNSET
    wasm: str | UnsetType = UNSET
    packages: list[str] | UnsetType = UNSET


class UdfVersionStatistics(Counted, kw_only=True):
    """Counts of a version of a UDF."""

    version: str
    digest: str


class UdfStatistics(Counted, kw_only=True):
    """Counts of a UDF over all stages and workers, in all and by version."""

    name: str
    versions: list[UdfVersionStatistics]


class UdfLine(Answer, kw_only=True):
    """A line that a UDF has logged. `document` is the position of the document in its batch."""

    ts: str
    level: Literal["trace", "debug", "info", "warn", "error"]
    version: str
    pipeline: str
    stage: str
    document: int
    text: str


class UdfLogs(Answer, kw_only=True):
    """The last lines of a UDF, oldest first, of all workers."""

    name: str
    lines: list[UdfLine]
