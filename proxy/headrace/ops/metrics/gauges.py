"""What a process holds at the moment of a question: nothing of it is counted on the way of a request."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget
    from headrace.ops.runner import Runner
    from headrace.registry.live import LiveRegistry
    from headrace.upstream.client import Upstream


class Gauges(msgspec.Struct, kw_only=True):
    """The state of one process: batches, bytes of bodies, nodes by `host:port`, seconds."""

    process: int
    worker: int
    running: int = 0
    waiting: int = 0
    body_used: int = 0
    body_limit: int = 0
    body_waiting: int = 0
    nodes: dict[str, bool] = {}
    registry_age: float | None = None


def read_gauges(worker: int, runner: Runner, budget: BodyBudget, upstream: Upstream, registry: LiveRegistry) -> Gauges:
    """The gauges of this process now."""
    running, waiting = runner.load
    read_at = registry.read_at
    return Gauges(
        process=os.getpid(),
        worker=worker,
        running=running,
        waiting=waiting,
        body_used=budget.total - budget.free,
        body_limit=budget.total,
        body_waiting=budget.waiting,
        nodes=upstream.nodes_up(),
        registry_age=None if read_at is None else monotonic() - read_at,
    )
