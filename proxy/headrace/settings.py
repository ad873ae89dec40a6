"""Settings: defaults, then a TOML file, then `HEADRACE_…` environment variables, then the command line.

Every field of [`Settings`] is a key of the file (`upstream = "http://…"`), a variable (`HEADRACE_UPSTREAM`) and an
option of `headrace serve` (`--upstream`). docs/reference/settings.md has a heading for each; a test keeps it so.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec

from headrace_pipelines import units
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = "HEADRACE_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a proxy. Durations and sizes are texts in OpenSearch's units."""

    upstream: str = "http://127.0.0.1:9200"
    listen: str = "127.0.0.1:9280"
    advertise: str = ""
    allowed_hosts: str = ""
    metrics_listen: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    state_dir: str = ""
    registry_index: str = ".headrace-registry"
    registry_user: str = ""
    registry_password: str = ""
    registry_poll: str = "500ms"
    registry_secret: str = ""
    registry_adopt_unsigned: bool = False
    admin_token: str = ""
    admin_roles: str = "all_access"
    cursor_secret: str = ""
    document_pipeline: str = ""
    query_pipeline: str = ""
    result_pipeline: str = ""
    conflict: Literal["warn", "error"] = "warn"
    elasticsearch_compat: bool = False
    by_query: Literal["warn", "refuse"] = "warn"
    max_body: str = "100mb"
    max_request_line: str = "4kb"
    max_request_headers: str = "16kb"
    body_memory: str = "512mb"
    client_timeout: str = "60s"
    upstream_ca: str = ""
    upstream_cert: str = ""
    upstream_key: str = ""
    upstream_verify: bool = True
    upstream_health_interval: str = "5s"
    upstream_connect_timeout: str = "10s"
    upstream_timeout: str = "300s"
    masked_queries: Literal["refuse", "allow"] = "allow"
    masked_aggregations: Literal["refuse", "allow"] = "refuse"
    search_processors: Literal["refuse", "allow"] = "refuse"
    unknown_requests: Literal["refuse", "allow"] = "refuse"
    cluster_ingest_pipelines: Literal["allow", "refuse"] = "allow"
    pipeline_timeout: str = "30s"
    udf_timeout: str = "100ms"
    udf_max_timeout: str = "5s"
    udf_memory: str = "64mb"
    udf_max_memory: str = "256mb"
    workers: int = 1
    threads: int = 0
    queue: int = 256
    shutdown_grace: str = "20s"
    log_level: str = "info"

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
        host = self.host_port[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def state_folder(self) -> Path:
        """Where the last good registry and compiled UDFs are kept: one folder for each cluster."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = self.state_dir or Path(cache, "headrace", "state")
        name = hashlib.sha256(f"{self.upstream}|{self.registry_index}".encode()).hexdigest()[:16]
        return Path(base, name)

    def seconds(self, name: str) -> float:
        """A duration setting in seconds. Raises InvalidError that names it."""
        return units.seconds(getattr(self, name), name)

    def size(self, name: str) -> int:
        """A size setting in bytes. Raises InvalidError that names it."""
        return units.size(getattr(self, name), name)

    def shown(self) -> dict[str, Any]:
        """All settings, secrets redacted, for `check-config` and the log."""
        values = msgspec.structs.asdict(self)
        for name in SECRETS:
            values[name] = "(set)" if values[name] else ""
        values["upstream"] = ",".join(redacted(url) for url in self.nodes)
        return values


MOST_WORKERS = 256
SECRETS = ("registry_password", "registry_secret", "admin_token", "cursor_secret")
DURATIONS = (
    "registry_poll",
    "upstream_health_interval",
    "upstream_connect_timeout",
    "upstream_timeout",
    "client_timeout",
    "pipeline_timeout",
    "udf_timeout",
    "udf_max_timeout",
    "shutdown_grace",
)
SIZES = ("max_body", "max_request_line", "max_request_headers", "body_memory", "udf_memory", "udf_max_memory")
LOG_LEVELS = ("debug", "info", "warning", "error")


def load(file: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """The settings in force. Raises InvalidError that names the setting and where it came from."""
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_from_file(file))
    values.update(_from_environment(environment))
    values.update({name: value for name, value in options.items() if value is not None})
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(f"bad setting: {error}") from None
    validate(settings)
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise InvalidError(f"cannot read {file}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"{file} is not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    fields = Settings.__struct_fields__
    found = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT):
            continue
        name = variable.removeprefix(ENVIRONMENT).lower()
        if name in fields:
            found[name] = value
    return found


def validate(settings: Settings) -> None:
    """Raises InvalidError for values that cannot work."""
    _check_nodes(settings.nodes)
    if settings.tls_client_ca and not settings.tls_cert:
        raise InvalidError("needs tls_cert: clients show certificates only to a server that has one", "tls_client_ca")
    _check_listeners(settings)
    for name in DURATIONS:
        settings.seconds(name)
    for name in SIZES:
        settings.size(name)
    if settings.log_level not in LOG_LEVELS:
        raise InvalidError(f"[{settings.log_level}] is not one of {', '.join(LOG_LEVELS)}", "log_level")
    if settings.registry_secret and not settings.registry_secret.replace(",", "").strip():
        raise InvalidError(
            "must be a secret, or several with commas between them, of which the first one signs", "registry_secret"
        )
    if not settings.registry_index.startswith("."):
        raise InvalidError("must begin with a dot, so that wildcards do not reach it", "registry_index")


def _check_listeners(settings: Settings) -> None:
    port = _check_address(settings.listen, "listen")
    if settings.metrics_listen:
        _check_address(settings.metrics_listen, "metrics_listen")
    if not 1 <= settings.workers <= MOST_WORKERS:
        raise InvalidError(f"must be between 1 and {MOST_WORKERS}", "workers")
    if settings.workers > 1 and port == "0":
        raise InvalidError("several workers need a port to share, not 0", "listen")


def _check_address(address: str, name: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InvalidError(f"[{address}] is not host:port", name)
    return port


def _check_nodes(urls: list[str]) -> None:
    for url in urls or [""]:
        _check_node(url)
    if len({urlsplit(url).scheme for url in urls}) > 1:
        raise InvalidError("all nodes speak http, or all speak https", "upstream")


def _check_node(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidError(f"[{redacted(url)}] is not an http:// or https:// URL", "upstream")
    if parts.username is not None:
        raise InvalidError(
            "must not carry credentials: clients send their own, and the registry's go into registry_user and "
            "registry_password",
            "upstream",
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidError("must be scheme, host and port only", "upstream")


def redacted(url: str) -> str:
    """`url` without a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@")
