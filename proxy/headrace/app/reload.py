"""Reload: a running proxy adopts other settings, secrets and certificates, or none of them.

A reload first reads and checks everything: settings, certificates, secrets. What can fail comes before the first
change. Then the long-lived parts adopt their limits, and requests to come get components with the new settings;
requests in progress keep those that they began with.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.app import compose
from headrace.http1 import tls
from headrace.ops import systemd
from headrace.ops.lifecycle import ReloadReport
from headrace.ops.logs import lines
from headrace.registry.state_files import write_nodes
from headrace.security.quotas import read_quotas
from headrace.settings import Settings, restart_needed, validate
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable

    from headrace.security.quotas import Quota
    from headrace.server.components import Components
    from headrace.server.listener import Listener
    from headrace.settings import Loaded, Sources
    from headrace.ui.listener import UiListener

log = logging.getLogger("headrace.reload")

WATCH_SECONDS = 5.0
"""Seconds between two looks at the files of certificates and secrets."""
LISTENER_FILES = ("tls_cert", "tls_key", "tls_client_ca")
UPSTREAM_FILES = ("upstream_ca", "upstream_cert", "upstream_key")
QUOTAS = "quotas"
"""The setting of the file of quotas."""
_CREDENTIALS = ("registry_user", "registry_password")
_TIMES = ("client_timeout", "upstream_health_interval", "upstream_connect_timeout", "upstream_timeout")
_UPSTREAM = frozenset(("upstream", "upstream_verify", *UPSTREAM_FILES, *_CREDENTIALS, *_TIMES))
"""Settings of connections to the cluster."""
_BREAKER = ("breaker_failures", "breaker_window", "breaker_pause")
_CEILINGS = ("udf_timeout", "udf_max_timeout", "udf_memory", "udf_max_memory", *_BREAKER)
_DEFAULTS = ("document_pipeline", "query_pipeline", "result_pipeline")
_COMPILED = frozenset((*_CEILINGS, *_DEFAULTS))
"""Settings that compiled pipelines, or the snapshot, contain."""
UDF_SECRETS = "secrets_dir"
"""The setting under which changed secrets of stages are reported."""

Stamp = tuple[int, int, int]
"""Time of change, inode and size of a file."""


class Running(NamedTuple):
    """The running parts that a reload changes; `adopt` gives requests to come their components."""

    listener: Listener
    components: Components
    adopt: Callable[[Components], None]
    page: UiListener | None = None


_OF_THE_CLUSTER = frozenset(
    ("upstream_ca", "upstream_cert", "upstream_key", "upstream_verify", "registry_user", "registry_password")
)
"""Settings that go with the nodes: those of another cluster would cut the proxy off from its own."""


class Reloader:
    """Reloads one process. `loaded`: what is in force; `folder`: where its state is, also under other settings."""

    def __init__(self, loaded: Loaded, sources: Sources | None, folder: Path) -> None:
        self.loaded = loaded
        self._sources = sources
        self._folder = folder
        # As soon as may be after the settings were read: a file that is exchanged later is a change.
        self._stamps = stamps_of(self._files())
        self._text = sources.read_file() if sources is not None else ""
        self._turn = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None

    def start(self, running: Callable[[], Running]) -> None:
        """Begins to watch the files. What has changed since they were read is adopted at the first look."""
        self._running = running
        if self._is_outdated():
            self._stamps = {}
        self._watcher = asyncio.create_task(self._watch(), name="watch of files")

    def _is_outdated(self) -> bool:
        """Whether the sources say something else now than when this process read them: a start takes seconds."""
        if self._sources is None:
            return False
        try:
            found = self._sources.loaded_with(self._text)
        except InvalidError:
            return True
        report = merged(self.loaded.settings, found.settings)[1]
        return bool(report.changed) or found.udf_secrets != self.loaded.udf_secrets

    async def stop(self) -> None:
        """Ends the watch."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    async def reload(self, *, reread: bool = True) -> ReloadReport:
        """Adopts what the sources say now. `reread`: the TOML file, too. Raises InvalidError, and nothing changes."""
        async with self._turn:
            systemd.reloading()
            try:
                report = await self._reload(reread=reread)
            except InvalidError as error:
                log.error("the reload has changed nothing: %s", error.reason)
                raise
            finally:
                systemd.ready("serving")
            log.info("reloaded; %s", report.text)
            return report

    async def _reload(self, *, reread: bool) -> ReloadReport:
        text, loaded = self._text, self.loaded
        earlier = await asyncio.to_thread(stamps_of, self._files())
        if self._sources is not None:
            text = await asyncio.to_thread(self._sources.read_file) if reread else text
            loaded = await asyncio.to_thread(self._sources.loaded_with, text)
        settings, report = merged(self.loaded.settings, loaded.settings)
        try:
            validate(settings)
            stamps = await asyncio.to_thread(stamps_of, (*_watched(settings), *loaded.files))
            # A file that was exchanged while it was read is a change that the watch still has to see.
            stamps |= {path: stamp for path, stamp in earlier.items() if path in stamps}
            for_clients = await asyncio.to_thread(tls.for_clients, settings)
            to_upstream = await asyncio.to_thread(tls.to_upstream, settings)
            signing = await asyncio.to_thread(compose.signing_secrets, settings, self._folder)
            rules = await asyncio.to_thread(read_quotas, settings.quotas)
        except InvalidError as error:
            raise loaded.blamed(error) from None
        report.changed += self._changed_files(settings, stamps, report.changed)
        if loaded.udf_secrets != self.loaded.udf_secrets and UDF_SECRETS not in report.changed:
            report.changed.append(UDF_SECRETS)
        for warning in loaded.warnings:
            log.warning("%s", warning)
        await self._adopt(
            set(report.changed), replace(loaded, settings=settings), for_clients, to_upstream, signing, rules
        )
        # Behind the adoption: what an exception has left undone is a difference that the next reload finds.
        self._text, self._stamps, self.loaded = text, stamps, replace(loaded, settings=settings)
        return report

    def _changed_files(self, settings: Settings, stamps: dict[Path, Stamp], reported: Collection[str]) -> list[str]:
        """The settings that name a file, of a certificate or of quotas, whose content is new."""
        names = [name for name in (*LISTENER_FILES, *UPSTREAM_FILES, QUOTAS) if getattr(settings, name)]
        paths = {name: Path(getattr(settings, name)) for name in names}
        return [
            name for name, path in paths.items() if name not in reported and stamps.get(path) != self._stamps.get(path)
        ]

    async def _adopt(
        self,
        changed: set[str],
        loaded: Loaded,
        for_clients: ssl.SSLContext | None,
        to_upstream: ssl.SSLContext | None,
        signing: list[bytes],
        rules: tuple[Quota, ...],
    ) -> None:
        settings = loaded.settings
        listener, components, adopt, page = self._running()
        registry = components.registry
        # It reads and writes files: what can fail comes before the first change.
        fresh = compose.with_settings(components, settings, self._folder)
        secret = compose.page_secret(settings, self._folder)
        lines.set_level(settings.log_level)
        components.request_log.reload(settings)
        if components.tracer is not None:
            components.tracer.ratio = settings.trace_sample
        components.runner.reload(settings)
        compose.adopt_bounds(components, settings, rules)
        registry.poll = settings.seconds("registry_poll")
        if "registry_secret" in changed:
            registry.ledger.exchange(signing)
            registry.reread()
        if changed & _UPSTREAM:
            await self._reconnect(components, settings, to_upstream)
        if changed & _COMPILED or loaded.udf_secrets != self.loaded.udf_secrets:
            registry.catalog.ceilings = compose.ceilings(settings)
            registry.catalog.secrets = compose.udf_secrets(loaded)
            await registry.recompile(compose.defaults(settings))
        adopt(fresh)
        listener.client_seconds = fresh.client_seconds
        if not listener.draining:
            listener.forwarder = compose.forwarder_of(fresh)
        if changed & set(LISTENER_FILES) and for_clients is not None:
            await listener.renew_tls(for_clients)
        if page is not None:
            await page.adopt(secret, renew_tls=bool(changed & set(LISTENER_FILES)))

    async def _reconnect(self, components: Components, settings: Settings, tls_context: ssl.SSLContext | None) -> None:
        """Has all connections to the cluster made anew, with other addresses, credentials or certificates."""
        await components.upstream.reload(settings, tls_context)
        components.registry.store.reconnect(settings, tls_context)
        await asyncio.to_thread(write_nodes, self._folder, settings.registry_index, settings.nodes)

    def _files(self) -> list[Path]:
        return [*_watched(self.loaded.settings), *self.loaded.files]

    async def _watch(self) -> None:
        seen = self._stamps
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not (files := self._files()):
                continue
            stamps = await asyncio.to_thread(stamps_of, files)
            # A set of files that is wrong now may be right once its last file is written: each change is tried once.
            if stamps in (seen, self._stamps):
                continue
            seen = stamps
            try:
                await self.reload(reread=False)
            except InvalidError:
                continue
            except Exception:
                log.exception("changed files could not be adopted")


def merged(current: Settings, wanted: Settings) -> tuple[Settings, ReloadReport]:
    """The settings after a reload: the wanted ones, but for those that need a restart; and the names of both."""
    names = [name for name in Settings.__struct_fields__ if getattr(current, name) != getattr(wanted, name)]
    fixed = restart_needed() | _fixed_here(current, wanted)
    changed = [name for name in names if name not in fixed]
    settings = msgspec.structs.replace(current, **{name: getattr(wanted, name) for name in changed})
    return settings, ReloadReport(changed=changed, restart_needed=[name for name in names if name in fixed])


def _fixed_here(current: Settings, wanted: Settings) -> frozenset[str]:
    """Settings that need a restart for this change: TLS on or off, nodes of maybe another cluster, foreign secrets.

    A registry under a secret that the other proxies do not have would be written over theirs. A file of the admin
    token that is missing, maybe for a moment only, must not open the proxy.
    """
    fixed: frozenset[str] = frozenset()
    if bool(current.tls_cert) != bool(wanted.tls_cert):
        fixed |= set(LISTENER_FILES)
    if not set(current.nodes) & set(wanted.nodes):
        fixed |= {"upstream", *_OF_THE_CLUSTER}
    if not _listed(current.registry_secret) & _listed(wanted.registry_secret):
        fixed |= {"registry_secret"}
    if not wanted.admin_token:
        fixed |= {"admin_token"}
    return fixed


def _listed(secrets: str) -> set[str]:
    return {part.strip() for part in secrets.split(",") if part.strip()}


def _watched(settings: Settings) -> list[Path]:
    names = (*LISTENER_FILES, *UPSTREAM_FILES, QUOTAS)
    return [Path(value) for name in names if (value := getattr(settings, name))]


def stamps_of(files: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamps of the files that are there; links are followed."""
    found: dict[Path, Stamp] = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            continue
        found[path] = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
    return found
