"""The shapes of the answers about the proxy itself, and the rows of the tables under `_cat`."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from headrace.handlers.described.answers import Acknowledged, Answer, Kind


class Alive(Answer, kw_only=True):
    """The process answers."""

    status: Literal["alive"]


class Readiness(Answer, kw_only=True):
    """Whether traffic is served."""

    status: Literal["ready", "not ready", "draining"]
    registry: Literal["current", "cached", "none"]
    cluster: Literal["reachable", "unreachable"]
    registry_ignored: int | UnsetType = UNSET
    registry_repaired: int | UnsetType = UNSET
    registry_rival: str | UnsetType = UNSET


class Information(Answer, kw_only=True):
    """Versions, settings without secrets, and fingerprints of the secrets that proxies share."""

    name: str
    version: str
    engine: str
    python: str
    machine: str
    process: int
    now_ms: int
    uptime_seconds: int
    registry: str
    settings: dict[str, Any]
    fingerprints: dict[str, str]


class Reloaded(Acknowledged, kw_only=True):
    """The names of settings that have changed, and of those that need a restart."""

    changed: list[str]
    restart_needed: list[str]


class PipelineRow(Answer, kw_only=True):
    """A pipeline in a table."""

    name: str | UnsetType = UNSET
    type: Kind | UnsetType = UNSET
    version: str | UnsetType = UNSET
    enabled: str | UnsetType = UNSET
    stages: str | UnsetType = UNSET
    attached: str | UnsetType = UNSET
    managed_by: str | UnsetType | None = UNSET
    updated: str | UnsetType = UNSET


class UdfRow(Answer, kw_only=True):
    """A UDF in a table."""

    name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    abi: str | UnsetType = UNSET
    size: str | UnsetType = UNSET
    versions: str | UnsetType = UNSET
    managed_by: str | UnsetType | None = UNSET
    created: str | UnsetType = UNSET
