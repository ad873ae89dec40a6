"""Records of the registry: what the store holds of pipelines, UDFs and attachments."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from headrace_pipelines.definition import PipelineDefinition, PipelineType
from headrace_pipelines.registry.association import Association, Pattern, Template
from headrace_pipelines.registry.rollouts.record import Rollout
from headrace_pipelines.udf.manifest import Manifest


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every stored version has; `created` in ISO 8601.

    `set`: the set that stored the version, which is visible while a revision in force lists it (`registry.sets`); empty
    for one that was stored by hand. `staged`: the revision that it was last written for. `tag`: the end of its id, made
    of its content.
    """

    created: str
    set: str = ""
    staged: int = 0
    tag: str = ""

    @property
    def name(self) -> str:
        """The name of what it is a version of; of a pipeline its key, type and name."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """The version."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The id of its document."""
        raise NotImplementedError


class PipelineRecord(VersionRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A stored version of a pipeline."""

    definition: PipelineDefinition

    @property
    def name(self) -> str:
        """Its key: type and name."""
        return key(self.definition.type, self.definition.name)

    @property
    def version(self) -> str:
        """The version."""
        return self.definition.version

    @property
    def id(self) -> str:
        """The id of its document."""
        return f"pipeline:{self.name}@{self.version}{self.tag}"


class UdfRecord(VersionRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A stored version of a UDF; `digest` is the SHA-256 of its code."""

    manifest: Manifest
    digest: str
    size: int
    abi: str
    entry: str
    exports: list[str]

    @property
    def name(self) -> str:
        """The name of the UDF."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The version."""
        return self.manifest.version

    @property
    def id(self) -> str:
        """The id of its document."""
        return f"udf:{self.manifest.label}{self.tag}"


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the content of a revision comes from: a commit, the address of its repository, who applied it."""

    commit: str = ""
    url: str = ""
    by: str = ""


class Revision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A state of a set, which never changes; `created` in ISO 8601.

    `pipelines` (by key) and `udfs` (by name) have the ids of the versions that are active. `versions`: the ids of all
    visible versions of these names. `token` tells two attempts at one revision apart. `drift`: the revision in which an
    object was changed by hand, by its label. `changes`: labels of what the revision changed, with the action.
    """

    set: str
    revision: int
    token: str
    created: str
    action: Literal["apply", "rollback", "by_hand"] = "apply"
    source: Source = Source()
    user: str = ""
    pipelines: dict[str, str] = {}
    udfs: dict[str, str] = {}
    patterns: list[Pattern] = []
    versions: list[str] = []
    drift: dict[str, int] = {}
    changes: list[str] = []

    @property
    def id(self) -> str:
        """The id of its document."""
        return f"revision:{self.set}@{self.revision}#{self.token}"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The revision of a set that is in force, and the ids of all revisions that are kept, oldest first."""

    revision: int
    id: str
    kept: list[str]


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the store: all versions of pipelines and UDFs, the active versions, and the associations.

    `current`: the versions of UDFs that sets have in force; of others the latest one is. `sets`: the revisions in force
    by the names of their sets. `missing`: ids that a revision in force lists and that could not be read.
    """

    pipelines: list[PipelineRecord] = []
    active: dict[str, str] = {}
    udfs: list[UdfRecord] = []
    associations: list[Association] = []
    patterns: list[Pattern] = []
    templates: list[Template] = []
    current: dict[str, str] = {}
    rollouts: list[Rollout] = []
    sets: dict[str, Revision] = {}
    heads: dict[str, Head] = {}
    missing: list[str] = []


def version_in(id_: str) -> str:
    """The version in the id of a document."""
    return id_.partition("@")[2].partition("#")[0]


def key(kind: PipelineType, name: str) -> str:
    """The key of a pipeline in the store: names are unique per type."""
    return f"{kind.value}:{name}"


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key of versions: numbers by value, a pre-release (`-rc1`) before its release, as semver orders them."""
    release, _, pre = version.partition("-")
    parts = [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"[.+_]", release)]
    tail = [(0, 0, pre)] if pre else [(1, 0, "")]
    return tuple(parts) + tuple(tail)
