"""What a proxy counts: requests and pipelines since its start, and what they did minute by minute."""

from headrace.ops.metrics.counts import InForce, Metrics, Peers, ProcessCounts, added

__all__ = ["InForce", "Metrics", "Peers", "ProcessCounts", "added"]
