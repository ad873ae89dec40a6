"""TLS on both sides: to the cluster, and for clients."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.settings import Settings


def to_upstream(settings: Settings) -> ssl.SSLContext | None:
    """How the cluster's certificate is checked and ours is shown; `None` for a cluster without TLS.

    Raises InvalidError that names the setting whose file cannot be read.
    """
    if not settings.nodes[0].startswith("https:"):
        return None
    context = ssl.create_default_context()
    if settings.upstream_ca:
        _load("upstream_ca", lambda: context.load_verify_locations(settings.upstream_ca))
    if settings.upstream_cert:
        _load("upstream_cert", lambda: context.load_cert_chain(settings.upstream_cert, settings.upstream_key or None))
    if not settings.upstream_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def for_clients(settings: Settings) -> ssl.SSLContext | None:
    """The proxy's own certificate, and whose clients it takes; `None` for plain HTTP. Raises as [`to_upstream`]."""
    if not settings.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load("tls_cert", lambda: context.load_cert_chain(settings.tls_cert, settings.tls_key or None))
    if settings.tls_client_ca:
        _load("tls_client_ca", lambda: context.load_verify_locations(settings.tls_client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def check(settings: Settings) -> None:
    """Raises InvalidError that names a setting whose file cannot be used."""
    to_upstream(settings)
    for_clients(settings)


def _load(setting: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(f"cannot be used: {error}", setting) from None
