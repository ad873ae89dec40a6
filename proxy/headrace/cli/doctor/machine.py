"""Checks of this host: the settings, the state folder, limits of the process."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.doctor.finding import Finding, Level, ok
from headrace.settings import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.settings import Settings

FILES = 4096
"""Open files that a busy proxy needs: two for each client, and those of the pool."""
SANDBOX = 8 << 30
"""Bytes of addresses that a sandbox reserves for its memory."""
SECRET_BYTES = 16
"""Bytes of the shortest secret that cannot be guessed."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about this host that a proxy with these settings needs."""
    yield _python()
    yield _files()
    yield _addresses()
    yield _state(settings)
    yield from _secrets(settings)
    yield _listener(settings)


def _python() -> Finding:
    return ok("python", f"Python {sys.version.split()[0]} in {sys.prefix}")


def _files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        remedy = "raise it: ulimit -Hn 65536, LimitNOFILE=65536 in a unit, or ulimits of the container"
        return Finding(Level.WARNING, "open files", f"this user may open {hard} files", remedy)
    return ok("open files", "unlimited" if hard == resource.RLIM_INFINITY else f"{hard}")


def _addresses() -> Finding:
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft == resource.RLIM_INFINITY:
        return ok("address space", "unlimited")
    if soft < 16 * SANDBOX:
        remedy = "remove it (ulimit -v unlimited, LimitAS=infinity): each sandbox reserves 8 GiB of addresses"
        return Finding(Level.ERROR, "address space", f"limited to {soft >> 30} GiB", remedy)
    return ok("address space", f"{soft >> 30} GiB")


def _state(settings: Settings) -> Finding:
    folder = settings.state_folder
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = "name a folder that this user may write to in state_dir: without it a start needs the cluster"
        return Finding(Level.ERROR, "state_dir", f"{existing} cannot be written: {error.strerror}", remedy)
    return ok("state_dir", f"{folder} can be written")


def _secrets(settings: Settings) -> Iterator[Finding]:
    for name in ("admin_token", "cursor_secret", "registry_secret"):
        value = getattr(settings, name)
        if value and len(value) < SECRET_BYTES:
            remedy = "make one: openssl rand -hex 32"
            yield Finding(Level.WARNING, name, f"has {len(value)} characters and can be guessed", remedy)
    if not settings.loopback and not settings.admin_token and not settings.registry_user:
        remedy = "set admin_token, or let the security plugin decide (registry_user)"
        yield Finding(Level.WARNING, "admin_token", "not set, and the proxy listens on more than loopback", remedy)


def _listener(settings: Settings) -> Finding:
    if not settings.loopback and not settings.tls_cert:
        remedy = "set tls_cert and tls_key, or end TLS at a load balancer before the proxy"
        return Finding(Level.WARNING, "listener", f"{settings.listen} without TLS", remedy)
    return ok("listener", f"{settings.listen}{' with TLS' if settings.tls_cert else ''}")


def environment() -> dict[str, str]:
    """The variables that concern Headrace, without the values of secrets and passwords in addresses."""
    hidden = ("TOKEN", "SECRET", "PASSWORD")
    return {
        name: "(set)" if any(word in name for word in hidden) and not name.endswith("_FILE") else redacted(value)
        for name, value in sorted(os.environ.items())
        if name.startswith("HEADRACE_")
    }
