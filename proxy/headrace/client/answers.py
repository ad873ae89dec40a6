"""The answers that most callers read, as types. docs/reference/rest-api.md describes them."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class PipelineStored(TypedDict):
    """A stored or activated version of a pipeline."""

    acknowledged: bool
    name: str
    version: str
    type: str


class PipelineList(TypedDict):
    """All pipelines."""

    total: int
    pipelines: list[dict[str, Any]]


class VersionList(TypedDict):
    """The versions of a pipeline or a UDF."""

    name: str
    versions: list[dict[str, Any]]


class UdfStored(TypedDict):
    """A stored version of a UDF. `size` is in bytes, `digest` is SHA-256 in hexadecimal digits."""

    acknowledged: bool
    name: str
    version: str
    digest: str
    size: int
    abi: str


class UdfList(TypedDict):
    """All UDFs."""

    total: int
    udfs: list[dict[str, Any]]


class AssociationStored(TypedDict):
    """A stored association."""

    acknowledged: bool
    pattern: str


class DeadLetterGroups(TypedDict):
    """Dead letters by what failed."""

    total: int
    groups: list[dict[str, Any]]


class RunResult(TypedDict):
    """A trial run: `output` of one input, or `docs` of several documents."""

    success: NotRequired[bool]
    output: NotRequired[Any]
    docs: NotRequired[list[dict[str, Any]]]
    duration_ms: NotRequired[float]
    error: NotRequired[dict[str, Any]]
    filtered: NotRequired[bool]
    stage_results: NotRequired[list[dict[str, Any]]]


class SetChanged(TypedDict):
    """A change of a set, or what it would be: the revision in force, and what happened to each object."""

    revision: int
    changes: list[dict[str, Any]]
