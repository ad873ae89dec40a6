"""Wires the parts of a proxy, and gives running parts the settings of a reload."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headrace.app import probing
from headrace.execution.choice import LatestAttachments
from headrace.execution.rollouts.shadow.hub import Shadows
from headrace.execution.rollouts.windows import Windows
from headrace.execution.taps.hub import Taps
from headrace.handlers.bypass import BypassDecisions
from headrace.handlers.write.bulk import MAX_PLANS
from headrace.mappings.keeper import MappingKeeper
from headrace.ops import supervisor
from headrace.ops.body_budget import BodyBudget
from headrace.ops.logs.requests import RequestLog
from headrace.ops.metrics import Metrics
from headrace.ops.metrics.gauges import read_gauges
from headrace.ops.metrics.rate import Rate
from headrace.ops.runner import Runner
from headrace.ops.tracing.sampling import tracer_of
from headrace.protocol.cursors import Cursors
from headrace.protocol.indices.resolver import IndexResolver
from headrace.protocol.indices.view import MAX_RESOLUTIONS
from headrace.registry.ledger import Ledger
from headrace.registry.live import LiveRegistry
from headrace.registry.signatures import Signer, secrets_of
from headrace.registry.state_files import secret_of
from headrace.registry.store import Store
from headrace.security.quotas import Quotas, read_quotas
from headrace.server.components import Components
from headrace.server.fast_path import FastForwarder
from headrace.upstream.client import Upstream
from headrace.upstream.permissions import Permissions
from headrace_pipelines import release_buffers
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.registry.association import Slots
from headrace_pipelines.udf.catalog import Catalog, Ceilings
from headrace_pipelines.udf.secrets import Secrets

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.ops.lifecycle import Lifecycle
    from headrace.security.quotas import Quota
    from headrace.settings import Loaded, Settings


def compose(loaded: Loaded, folder: Path, lifecycle: Lifecycle) -> Components:
    """The parts of a proxy, wired; nothing runs yet. `folder`: where its state is.

    Raises InvalidError for bad certificates, and for traces without what they need.
    """
    settings = loaded.settings
    registry = _registry(loaded, folder)
    store, metrics = registry.store, Metrics(registry)
    upstream, runner = Upstream(settings, metrics.upstream_error), Runner(settings)
    windows = _windows(metrics)
    budget = BodyBudget(settings.size("body_memory"), release_buffers)
    worker = supervisor.identity()
    metrics.read_gauges = partial(read_gauges, worker[0] if worker else 0, runner, budget, upstream, registry)
    resolver = IndexResolver(store, lambda: bool(registry.snapshot.records.templates), settings.registry_index)
    return Components(
        settings,
        upstream,
        registry,
        resolver,
        BoundedCache(MAX_RESOLUTIONS),
        BoundedCache(MAX_PLANS),
        LatestAttachments(settings.registry_index),
        _mappings(store, resolver, metrics),
        runner,
        metrics,
        _cursors(settings, folder),
        _permissions(settings),
        budget,
        settings.seconds("client_timeout"),
        settings.size("max_body"),
        Rate(dead_letter_rate(settings)),
        lifecycle,
        Taps(registry.catalog, enabled=settings.tap == "on"),
        windows,
        _shadows(registry, metrics, windows),
        _quotas(settings, worker, metrics),
        RequestLog(settings),
        tracer_of(settings),
    )


def _windows(metrics: Metrics) -> Windows:
    """What the versions of rollouts did, which the metrics show."""
    windows = Windows()
    metrics.read_rollouts = windows.counts
    return windows


def _mappings(store: Store, resolver: IndexResolver, metrics: Metrics) -> MappingKeeper:
    """The mappings that documents are fitted to; the metrics show those that are not at hand."""
    mappings = MappingKeeper(store, resolver)
    metrics.fitting.read_unknown = lambda: dict(mappings.unknown)
    return mappings


def _quotas(settings: Settings, worker: tuple[int, Path] | None, metrics: Metrics) -> Quotas:
    """The quotas of all workers, whose refusals the metrics show. Raises InvalidError for a file with an error."""
    quotas = Quotas.shared(read_quotas(settings.quotas), settings.workers, worker)
    metrics.read_quotas = quotas.counts
    return quotas


def _shadows(registry: LiveRegistry, metrics: Metrics, windows: Windows) -> Shadows:
    """The shadows of rollouts, which the metrics show and windows judge."""
    shadows = Shadows(registry.catalog, probing.probe)
    metrics.read_shadows, windows.drain_shadow = shadows.counts, shadows.drain
    return shadows


def with_settings(components: Components, settings: Settings, folder: Path) -> Components:
    """The same long-lived parts with other settings, for the requests to come."""
    components.taps.enable(enabled=settings.tap == "on")
    return replace(
        components,
        settings=settings,
        search_plans=BoundedCache(MAX_RESOLUTIONS),
        bulk_plans=BoundedCache(MAX_PLANS),
        attachments=LatestAttachments(settings.registry_index),
        cursors=_cursors(settings, folder),
        permissions=_permissions(settings),
        client_seconds=settings.seconds("client_timeout"),
        max_body=settings.size("max_body"),
    )


def adopt_bounds(components: Components, settings: Settings, rules: tuple[Quota, ...]) -> None:
    """Gives running bounds the values of other settings and quotas."""
    components.quotas.adopt(rules)
    components.budget.resize(settings.size("body_memory"))
    components.dead_letter_rate.adopt(dead_letter_rate(settings))


def dead_letter_rate(settings: Settings) -> float:
    """The dead letters a second of this process: its part of those of the proxy."""
    return settings.dead_letter_rate / max(1, settings.workers)


def forwarder_of(components: Components) -> FastForwarder | None:
    """The forwarder of requests that need no handler; `None` with `elasticsearch_compat`."""
    bypass = BypassDecisions.of(components)
    if bypass is None:
        return None
    return FastForwarder(bypass, components)


def signing_secrets(settings: Settings, folder: Path) -> list[bytes]:
    """The secrets of the registry's signatures. Raises InvalidError."""
    return secrets_of(secret_of(settings.registry_secret, folder, "registry"), settings.registry_secret)


def page_secret(settings: Settings, folder: Path) -> bytes:
    """The secret that seals the sessions of the page: that of cursors, which all proxies of a cluster share."""
    return secret_of(settings.cursor_secret, folder, "cursor")


def ceilings(settings: Settings) -> Ceilings:
    """The operator's limits of UDFs."""
    return Ceilings(
        timeout=settings.seconds("udf_timeout"),
        max_timeout=settings.seconds("udf_max_timeout"),
        memory=settings.size("udf_memory"),
        max_memory=settings.size("udf_max_memory"),
        breaker=(settings.breaker_failures, settings.seconds("breaker_window"), settings.seconds("breaker_pause")),
    )


def udf_secrets(loaded: Loaded) -> Secrets:
    """The values of `${secret:NAME}`: of the folder of secrets, and of the environment, which wins."""
    return Secrets.of(os.environ, loaded.udf_secrets)


def defaults(settings: Settings) -> Slots:
    """The pipelines of indexes without other ones."""
    return Slots(
        document=settings.document_pipeline or None,
        query=settings.query_pipeline or None,
        result=settings.result_pipeline or None,
    )


def _registry(loaded: Loaded, folder: Path) -> LiveRegistry:
    settings = loaded.settings
    signer = Signer(signing_secrets(settings, folder), settings.registry_index)
    return LiveRegistry(
        Store(settings, Ledger(signer, adopt=settings.registry_adopt_unsigned)),
        Catalog(folder / "compiled", ceilings(settings), udf_secrets(loaded)),
        folder,
        settings.seconds("registry_poll"),
        defaults(settings),
    )


def _cursors(settings: Settings, folder: Path) -> Cursors:
    return Cursors(secret_of(settings.cursor_secret, folder, "cursor"))


def _permissions(settings: Settings) -> Permissions:
    return Permissions([role.strip() for role in settings.admin_roles.split(",") if role.strip()])
