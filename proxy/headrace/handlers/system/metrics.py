"""`/_proxy/metrics`: the counts of all workers in Prometheus' format, by `prometheus-client`.

Labels are surfaces, status classes, and the names of pipelines, stages and UDFs: as many as the registry has, never a
name that a client sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from headrace.server.response import send_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web
    from prometheus_client import Metric

    from headrace.ops.metrics import Metrics, ProcessCounts
    from headrace.registry.live import LiveRegistry
    from headrace.server.request import RequestContext
    from headrace_pipelines.stats import Counts

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the histograms' buckets, in seconds."""
PIPELINE = {
    "executions": ("total", "Runs over a batch"),
    "failures": ("failed", "Runs in which a document ended as an error"),
    "documents_in": ("documents", "Documents that went in"),
    "documents_out": ("out", "Documents that came out"),
    "documents_dropped": ("dropped", "Documents that were dropped"),
    "documents_failed": ("document_failures", "Documents that ended as errors"),
    "retries": ("retries", "Documents that a stage tried again"),
}
STAGE = {
    "executions": ("executions", "Runs over a batch"),
    "failures": ("failures", "Documents that it failed on"),
    "skips": ("skips", "Documents that it did not see: condition, disabled, deadline"),
    "documents": ("documents", "Documents that it saw"),
    "fuel_points": ("fuel", "Points of fuel that it burned"),
}


async def metrics(context: RequestContext) -> web.StreamResponse:
    """All metrics; no index names, no document data."""
    headers = CIMultiDict({hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})
    return await send_whole(
        context.request, 200, "", headers, await exposition(context.components.registry, context.components.metrics)
    )


async def exposition(registry: LiveRegistry, counts: Metrics) -> bytes:
    """All metrics in Prometheus' text format."""
    collector = _Collector(await counts.gathered(), registry.state, len(registry.ledger.ignored))
    prometheus = CollectorRegistry()
    prometheus.register(collector)
    return generate_latest(prometheus)


class _Collector:
    def __init__(self, counts: ProcessCounts, state: str, ignored: int) -> None:
        self._counts = counts
        self._state = state
        self._ignored = ignored

    def describe(self) -> list[Metric]:
        """Nothing: names are not checked against each other."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus-client asks for them."""
        counts = self._counts
        yield GaugeMetricFamily("headrace_workers", "Processes that serve", value=counts.workers)
        yield GaugeMetricFamily("headrace_requests_in_flight", "Requests in progress", value=counts.in_flight)
        state = GaugeMetricFamily("headrace_registry_state", "1 for the state that holds", labels=["state"])
        for name in ("current", "cached", "none"):
            state.add_metric([name], float(name == self._state))
        yield state
        text = "Documents in the registry index whose signature does not hold, or that are older than what is in force"
        yield GaugeMetricFamily("headrace_registry_ignored", text, value=self._ignored)
        repairs = CounterMetricFamily("headrace_registry_repairs", "Documents of the registry index written anew")
        repairs.add_metric([], counts.registry_repairs)
        yield repairs
        requests = CounterMetricFamily("headrace_requests", "Requests by surface", labels=["surface", "status"])
        for key, count in sorted(counts.requests.items()):
            requests.add_metric(key.split("|"), count)
        yield requests
        errors = CounterMetricFamily(
            "headrace_upstream_errors", "Exchanges with the cluster that failed", labels=["kind"]
        )
        for kind, count in sorted(counts.upstream_errors.items()):
            errors.add_metric([kind], count)
        yield errors
        durations = HistogramMetricFamily("headrace_request_duration_seconds", "By surface", labels=["surface"])
        for surface, recorded in sorted(counts.durations.items()):
            durations.add_metric([surface], *_buckets(recorded))
        yield durations
        yield from self._pipelines()
        yield from self._stages()

    def _pipelines(self) -> Iterator[Metric]:
        labels = ["type", "pipeline", "version"]
        rows = [((*_parts(key),), counts) for key, counts in sorted(self._counts.pipelines.items())]
        for name, (field, text) in PIPELINE.items():
            family = CounterMetricFamily(f"headrace_pipeline_{name}", text, labels=labels)
            for values, counts in rows:
                family.add_metric(values, getattr(counts, field))
            yield family
        current = GaugeMetricFamily("headrace_pipeline_current", "Runs in progress", labels=labels)
        durations = HistogramMetricFamily("headrace_pipeline_duration_seconds", "Of a run over a batch", labels=labels)
        for values, counts in rows:
            current.add_metric(values, counts.current)
            durations.add_metric(values, *_buckets(counts.durations))
        yield current
        yield durations

    def _stages(self) -> Iterator[Metric]:
        rows = [
            ((*_parts(key), stage.name), stage)
            for key, counts in sorted(self._counts.pipelines.items())
            for stage in counts.stages
        ]
        udfs = [(tuple(label.rsplit("@", 1)), counts) for label, counts in sorted(self._counts.udfs.items())]
        for prefix, labels, found in (
            ("stage", ["type", "pipeline", "version", "stage"], rows),
            ("udf", ["udf", "version"], udfs),
        ):
            for name, (field, text) in STAGE.items():
                if prefix == "udf" and name == "skips":
                    continue
                family = CounterMetricFamily(f"headrace_{prefix}_{name}", text, labels=labels)
                for values, counts in found:
                    family.add_metric(values, getattr(counts, field))
                yield family


def _parts(key: str) -> tuple[str, str, str]:
    """Type, name and version of `type:name@version`."""
    kind, _, label = key.partition(":")
    name, _, version = label.rpartition("@")
    return kind, name, version


def _buckets(recorded: Counts) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets and sum in seconds of a histogram in µs."""
    buckets = [
        (str(bound), float(sum(count for value, count in recorded if value <= bound * 1e6))) for bound in BUCKETS
    ]
    total = sum(count for _, count in recorded)
    return [*buckets, ("+Inf", float(total))], sum(value * count for value, count in recorded) / 1e6
