"""The settings of a proxy: one struct, in which each field has its default, its summary and its group.

The summaries are the help of `headrace serve`, descriptions in the JSON Schema, and the beginnings of the headings in
docs/reference/settings.md.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from headrace.settings.facts import OBSERVABILITY, Kind, about
from headrace.settings.serving import ServingSettings
from headrace_pipelines import units


class Settings(ServingSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of a proxy: those of serving, and those of what it lets people see."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about(OBSERVABILITY, "`debug`, `info`, `warning` or `error`.")
    ] = "info"
    tap: Annotated[
        Literal["on", "off"],
        about(OBSERVABILITY, "`on` or `off`: whether administrators may watch documents change."),
    ] = "on"
    log_format: Annotated[
        Literal["text", "json"],
        about(
            OBSERVABILITY,
            "`json` writes each line of the log as one JSON object with the field names of the Elastic Common Schema.",
            restart=True,
        ),
    ] = "text"
    access_log: Annotated[
        Literal["off", "errors", "sampled", "all"],
        about(
            OBSERVABILITY,
            "The requests that get a line in the log. `errors`: statuses from 400 on. `sampled`: these, and a sample "
            "of the others.",
        ),
    ] = "off"
    access_log_sample: Annotated[
        float, about(OBSERVABILITY, "The fraction of requests in a sampled access log, from 0 to 1.")
    ] = 0.01
    slow_request: Annotated[
        str,
        about(OBSERVABILITY, "The time from which a request is written to the slow log. 0: none.", "duration"),
    ] = "0s"
    slow_stage: Annotated[
        str,
        about(OBSERVABILITY, "The time from which a run of a stage is written to the slow log. 0: none.", "duration"),
    ] = "0s"
    audit_log: Annotated[
        str,
        about(
            OBSERVABILITY,
            "A file that gets the audit log, a JSON object per line, in place of the log of the process.",
            "file",
            restart=True,
        ),
    ] = ""
    otlp_endpoint: Annotated[
        str,
        about(
            OBSERVABILITY,
            "The URL that traces are sent to by OTLP over HTTP (`http://…:4318/v1/traces`). Empty: no traces.",
            restart=True,
        ),
    ] = ""
    trace_sample: Annotated[
        float,
        about(
            OBSERVABILITY,
            "The fraction of requests without a `traceparent` that are traced, from 0 to 1. One with a `traceparent` "
            "is traced if that says so.",
        ),
    ] = 0.01

    @property
    def nodes(self) -> list[str]:
        """The URLs of the cluster's nodes."""
        return [url.strip() for url in self.upstream.split(",") if url.strip()]

    @property
    def host_port(self) -> tuple[str, int]:
        """Where to listen."""
        return self.address("listen")

    def address(self, name: str) -> tuple[str, int]:
        """Host and port of a setting that is an address."""
        host, _, port = getattr(self, name).rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host_port[0])

    @property
    def ui_loopback(self) -> bool:
        """Whether only this machine can open the page."""
        return is_loopback(self.address("ui_listen")[0])

    @property
    def state_folder(self) -> Path:
        """Where the last good registry and compiled UDFs are kept: one folder for each cluster."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = self.state_dir or Path(cache, "headrace", "state")
        name = hashlib.sha256(f"{self.upstream}|{self.registry_index}".encode()).hexdigest()[:16]
        return Path(base, name)

    def seconds(self, name: str) -> float:
        """A duration setting in seconds. Raises InvalidError that names it."""
        return units.seconds(getattr(self, name), name, zero=name in MAY_BE_ZERO)

    def size(self, name: str) -> int:
        """A size setting in bytes. Raises InvalidError that names it."""
        return units.size(getattr(self, name), name)

    def shown(self) -> dict[str, Any]:
        """All settings, secrets redacted, for `check-config` and the log."""
        values = msgspec.structs.asdict(self)
        for name in of_kind("secret"):
            values[name] = "(set)" if values[name] else ""
        values["upstream"] = ",".join(redacted(url) for url in self.nodes)
        return values


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


MAY_BE_ZERO = ("drain_delay", "slow_request", "slow_stage")
"""Durations that may be nothing."""


def of_kind(kind: Kind) -> tuple[str, ...]:
    """The names of the settings of a kind."""
    return tuple(name for name, given in _KINDS.items() if given == kind)


def redacted(url: str) -> str:
    """`url` without anything before an `@`, whether or not it is a URL: a user, a password, a token."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = head.partition("//")
    return f"{scheme}//***@{tail}" if slashes else f"***@{tail}"


def _kinds() -> dict[str, Kind]:
    """The kind of each setting: as its facts say, else by its type."""
    found: dict[str, Kind] = {}
    info = msgspec.inspect.type_info(Settings)
    for field in info.fields if isinstance(info, msgspec.inspect.StructType) else ():
        meta, kind = field.type, None
        if isinstance(meta, msgspec.inspect.Metadata):
            kind, meta = (meta.extra or {}).get("kind"), meta.type
        found[field.name] = kind or _BY_TYPE.get(type(meta), "text")
    return found


_BY_TYPE: dict[type[msgspec.inspect.Type], Kind] = {
    msgspec.inspect.BoolType: "switch",
    msgspec.inspect.IntType: "count",
    msgspec.inspect.FloatType: "fraction",
    msgspec.inspect.LiteralType: "choice",
}
_KINDS = _kinds()
