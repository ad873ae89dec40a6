"""The parts of a running proxy that requests work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace_pipelines.errors import StageError

if TYPE_CHECKING:
    from headrace.mappings.keeper import MappingKeeper
    from headrace.ops.body_budget import BodyBudget
    from headrace.ops.lifecycle import Lifecycle
    from headrace.ops.logs.requests import RequestLog
    from headrace.ops.metrics import Metrics
    from headrace.ops.metrics.rate import Rate
    from headrace.ops.runner import Runner
    from headrace.ops.tracing.sampling import Tracer
    from headrace.protocol.cursors import Cursors
    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.registry.live import LiveRegistry
    from headrace.settings import Settings
    from headrace.upstream.client import Upstream
    from headrace.upstream.permissions import Permissions
    from headrace_pipelines.cache import BoundedCache


@dataclass(frozen=True)
class Components:
    """Made by the composition root (`app`), and made anew by a reload: a request keeps those that it began with."""

    settings: Settings
    upstream: Upstream
    registry: LiveRegistry
    resolver: IndexResolver
    search_plans: BoundedCache[Any, Any]
    """Plans of searches by expression and options, for one snapshot and view (`execution.search_plan`)."""
    bulk_plans: BoundedCache[Any, Any]
    """Plans of bulks by what they say of their targets, for one snapshot and view (`handlers.write.bulk`)."""
    attachments: Any
    """The default document pipelines of names, for one snapshot and view (`execution.choice.LatestAttachments`)."""
    mappings: MappingKeeper
    """The mappings that documents are fitted to."""
    runner: Runner
    metrics: Metrics
    cursors: Cursors
    permissions: Permissions
    budget: BodyBudget
    client_seconds: float
    max_body: int
    """Bytes of the longest body, from the setting of that name: every request asks for it."""
    dead_letter_rate: Rate
    """Bounds the dead letters of this process."""
    lifecycle: Lifecycle
    taps: Any
    """The taps that this worker feeds (`execution.taps.hub.Taps`)."""
    rollouts: Any
    """What this process has seen of rollouts (`execution.rollouts.windows.Windows`)."""
    shadows: Any
    """The shadows of rollouts in this worker (`execution.rollouts.shadow.hub.Shadows`)."""
    quotas: Any
    """The quotas of requests (`security.quotas.Quotas`)."""
    request_log: RequestLog
    tracer: Tracer | None
    """`None`: no request is traced."""

    def stage_error(self, status: int, kind: str, reason: str, pipeline: str, stage: str) -> StageError:
        """The error of a run, without secrets; the arguments are those of a failure of a batch."""
        secrets = self.registry.catalog.secrets
        return StageError(status, secrets.hidden(kind), secrets.hidden(reason), pipeline, stage)

    def without_secrets(self, items: bytes) -> bytes:
        """The answer to a bulk, whose errors quote no secret of a stage."""
        return self.registry.catalog.secrets.hidden_in(items) if b'"error"' in items else items
