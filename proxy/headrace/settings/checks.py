"""Settings whose values cannot work are refused, with an error that names the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.settings.fields import of_kind, redacted
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.settings.fields import Settings

MOST_WORKERS = 256
"""Maximum of workers: each keeps threads, sandboxes and a socket to every other one."""

LEAST = {"threads": 0, "queue": 1, "breaker_failures": 0, "dead_letter_rate": 1}
"""Minima of counts: 0 threads means as many as there are processors, and a queue of nothing refuses every pipeline,
as a rate of nothing refuses every dead letter."""


def validate(settings: Settings) -> None:
    """Raises InvalidError for values that cannot work."""
    _check_nodes(settings.nodes)
    if settings.tls_client_ca and not settings.tls_cert:
        raise InvalidError("needs tls_cert: clients show certificates only to a server that has one", "tls_client_ca")
    _check_listeners(settings)
    for name, least in LEAST.items():
        if getattr(settings, name) < least:
            raise InvalidError(f"must be at least {least}", name)
    for name in of_kind("fraction"):
        if not 0 <= getattr(settings, name) <= 1:
            raise InvalidError("must be from 0 to 1", name)
    _check_traces(settings.otlp_endpoint)
    for name in of_kind("duration"):
        settings.seconds(name)
    for name in of_kind("size"):
        settings.size(name)
    if settings.registry_secret and not settings.registry_secret.replace(",", "").strip():
        raise InvalidError(
            "must be a secret, or several with commas between them, of which the first one signs", "registry_secret"
        )
    if not settings.registry_index.startswith("."):
        raise InvalidError("must begin with a dot, so that wildcards do not reach it", "registry_index")


def _check_traces(url: str) -> None:
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidError(f"[{redacted(url)}] is not an http:// or https:// URL", "otlp_endpoint")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidError(
            "must have no user and no query: credentials go into OTEL_EXPORTER_OTLP_HEADERS", "otlp_endpoint"
        )


def _check_listeners(settings: Settings) -> None:
    port = _check_address(settings.listen, "listen")
    for url in settings.nodes:
        if _is_own(settings, url):
            raise InvalidError(f"[{redacted(url)}] is the address of the proxy itself (listen)", "upstream")
    if settings.metrics_listen:
        _check_address(settings.metrics_listen, "metrics_listen")
    if settings.ui_listen:
        _check_page(settings)
    if not 1 <= settings.workers <= MOST_WORKERS:
        raise InvalidError(f"must be between 1 and {MOST_WORKERS}", "workers")
    if settings.workers > 1 and port == "0":
        raise InvalidError("several workers need a port to share, not 0", "listen")


def _check_page(settings: Settings) -> None:
    """The address of the page. Nobody who cannot reach a proxy on loopback gets its rights by the page."""
    text = settings.ui_listen
    port = _check_address(f"127.0.0.1:{text}" if text.isdigit() else text, "ui_listen")
    if settings.workers > 1 and port == "0":
        raise InvalidError("several workers need a port to share, not 0", "ui_listen")
    if settings.loopback and not settings.ui_loopback and not settings.admin_token:
        raise InvalidError(
            "must be a loopback address where [listen] is: whoever reaches a proxy on loopback may be an "
            "administrator; set [admin_token] to open the page to others",
            "ui_listen",
        )


def _is_own(settings: Settings, url: str) -> bool:
    """Whether a node's address is that of the listener: a proxy in front of itself answers nothing."""
    host, port = settings.host_port
    parts = urlsplit(url)
    if parts.port != port or not port:
        return False
    local = ("localhost", "127.0.0.1", "::1")
    return parts.hostname == host or (parts.hostname in local and host in (*local, "0.0.0.0", "::"))  # noqa: S104


def _check_address(address: str, name: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InvalidError(f"[{address}] is not host:port", name)
    return port


def _check_nodes(urls: list[str]) -> None:
    for url in urls or [""]:
        _check_node(url)
    if len({url.partition(":")[0] for url in urls}) > 1:
        raise InvalidError("all nodes speak http, or all speak https", "upstream")


def _check_node(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidError(f"[{redacted(url)}] is not a URL: {error}", "upstream") from None
    if port == 0:
        raise InvalidError(f"[{redacted(url)}] has no port to connect to", "upstream")
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
