"""The families of metrics, out of the counts of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from headrace.handlers.system.exposition.histograms import FEW, histogram, parts
from headrace.handlers.system.exposition.processes import build, processes
from headrace.handlers.system.exposition.rollouts import ShownRollout, rollouts
from headrace.handlers.system.exposition.shadows import shadows
from headrace.ops.metrics.exemplars import PIPELINES, REQUESTS, newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from headrace.ops.metrics import ProcessCounts
    from headrace.registry.live import LiveRegistry
    from headrace.settings import Settings
    from headrace_pipelines.stats import StageCounts

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
    "breaker_openings": ("breaker_opened", "How often the breaker of its UDF has opened"),
}
OF_STAGES_ONLY = ("skips", "breaker_openings")
_PIPELINE_LABELS = ("type", "pipeline", "version")
_STAGE_LABELS = (*_PIPELINE_LABELS, "stage")
_UDF_LABELS = ("udf", "version")

StageRow = tuple[tuple[str, ...], "StageCounts"]


class Limits(NamedTuple):
    """What counts are compared with: seconds of a run by stage, points of fuel for a document by UDF."""

    timeouts: dict[tuple[str, str], float]
    fuel: dict[str, int]

    @classmethod
    def of(cls, registry: LiveRegistry, default: float, counts: ProcessCounts) -> Limits:
        """The limits of what has run. `default`: the seconds of a run without limits of its own."""
        if registry.state == "none":
            return cls({}, {})
        snapshot = registry.snapshot
        timeouts = {}
        for (key, version), pipeline in snapshot.compiled.items():
            if (label := f"{key}@{version}") in counts.pipelines:
                longest = min(pipeline.timeout or default, default)
                for node in pipeline.nodes:
                    timeouts[label, node.label] = min(node.timeout or longest, longest)
        limits = {record.manifest.label: record.manifest.limits.fuel for record in snapshot.records.udfs}
        return cls(timeouts, {label: fuel for label, fuel in limits.items() if fuel and label in counts.udfs})


class Families:
    """All families, large ones in several parts of the same name."""

    def __init__(
        self,
        counts: ProcessCounts,
        limits: Limits,
        settings: Settings,
        state: str,
        ignored: int,
        shown: Sequence[ShownRollout] = (),
    ) -> None:
        self._counts = counts
        self._limits = limits
        self._settings = settings
        self._state = state
        self._ignored = ignored
        self._rollouts = shown
        self._exemplars = newest(counts.exemplars)

    def collect(self) -> Iterator[Metric]:
        """The families in their order, each made when it is asked for."""
        yield from build(self._settings)
        yield from self._proxy()
        yield from self._registry()
        yield from self._requests()
        yield from self._pipelines()
        yield from self._failures()
        yield from self._stages()
        yield from self._udfs()
        yield from rollouts(self._counts.rollouts, self._rollouts)
        yield from shadows(self._counts.shadows)
        yield from processes(self._counts.gauges)

    def _proxy(self) -> Iterator[Metric]:
        counts, gauges = self._counts, self._counts.gauges
        yield GaugeMetricFamily("headrace_workers", "Processes that serve", value=counts.workers)
        yield GaugeMetricFamily("headrace_requests_in_flight", "Requests in progress", value=counts.in_flight)
        states = {"running": sum(g.running for g in gauges), "waiting": sum(g.waiting for g in gauges)}
        yield _gauge("headrace_queue_batches", "Batches on threads, and those that wait for one", "state", states)
        memory = {
            "used": sum(g.body_used for g in gauges),
            "limit": sum(g.body_limit for g in gauges),
            "waiting": sum(g.body_waiting for g in gauges),
        }
        yield _gauge("headrace_body_memory_bytes", "Bodies of requests: held, allowed, waited for", "state", memory)
        nodes: dict[str, bool] = {}
        for each in gauges:
            for address, good in each.nodes.items():
                nodes[address] = nodes.get(address, True) and good
        yield _gauge("headrace_upstream_node_up", "1 for a node that answers all workers", "node", nodes)

    def _registry(self) -> Iterator[Metric]:
        found = {self._state, *(each.registry for each in self._counts.in_force)}
        worst = next(state for state in ("none", "cached", "current") if state in found)
        states = {name: name == worst for name in ("current", "cached", "none")}
        yield _gauge("headrace_registry_state", "1 for the worst state of the workers", "state", states)
        ages = [each.registry_age for each in self._counts.gauges if each.registry_age is not None]
        age = GaugeMetricFamily(
            "headrace_registry_age_seconds", "Since the registry was last read whole, in the worker where it is longest"
        )
        if ages:
            age.add_metric([], max(ages))
        yield age
        text = "Documents in the registry index whose signature does not hold, or that are older than what is in force"
        yield GaugeMetricFamily("headrace_registry_ignored", text, value=self._ignored)
        repairs = CounterMetricFamily("headrace_registry_repairs", "Documents of the registry index written anew")
        repairs.add_metric([], self._counts.registry_repairs)
        yield repairs

    def _requests(self) -> Iterator[Metric]:
        counts = self._counts
        requests = CounterMetricFamily("headrace_requests", "Requests by surface", labels=["surface", "status"])
        for key, count in sorted(counts.requests.items()):
            requests.add_metric(key.split("|"), count)
        yield requests
        for name, text, label, found in (
            ("upstream_errors", "Exchanges with the cluster that failed", "kind", counts.upstream_errors),
            ("rejects", "Requests that were not taken", "reason", counts.rejected),
            ("fail_closed_refusals", "Requests refused as they would pass a pipeline by", "reason", counts.fail_closed),
            ("dead_letters", "Dead letters by what became of their records", "outcome", counts.dead_letters),
            ("unfit_values", "Values that did not fit the mapping of their index", "reason", counts.unfit),
            ("unknown_mappings", "Mappings that could not be fitted to", "reason", counts.mappings_unknown),
        ):
            family = CounterMetricFamily(f"headrace_{name}", text, labels=[label])
            for value, count in sorted(found.items()):
                family.add_metric([value], count)
            yield family
        refused = CounterMetricFamily("headrace_quota_refusals", "Over a quota", labels=["quota", "limit"])
        for key, count in sorted(counts.quotas.items()):
            refused.add_metric(key.split("|"), count)
        yield refused
        rows = [((surface,), recorded) for surface, recorded in sorted(counts.durations.items())]
        yield from histogram(REQUESTS, "By surface", ["surface"], rows, exemplars=self._exemplars)

    def _pipelines(self) -> Iterator[Metric]:
        rows = [(_parts(key), counts) for key, counts in sorted(self._counts.pipelines.items())]
        for name, (field, text) in PIPELINE.items():
            yield from _counters(f"headrace_pipeline_{name}", text, _PIPELINE_LABELS, rows, field)
        current = GaugeMetricFamily("headrace_pipeline_current", "Runs in progress", labels=_PIPELINE_LABELS)
        for values, counts in rows:
            current.add_metric(values, counts.current)
        yield current
        recorded = ((values, counts.durations) for values, counts in rows)
        yield from histogram(PIPELINES, "Of a run over a batch", _PIPELINE_LABELS, recorded, exemplars=self._exemplars)

    def _failures(self) -> Iterator[Metric]:
        """Failures by type: the types of all stages of a version."""
        text, labels = "Documents that a stage failed on, by type of the error", (*_PIPELINE_LABELS, "error")
        family = CounterMetricFamily("headrace_pipeline_failures_by_type", text, labels=labels)
        for key, counts in sorted(self._counts.pipelines.items()):
            found: dict[str, int] = {}
            for types in counts.failures_by_type.values():
                for kind, count in types.items():
                    found[kind] = found.get(kind, 0) + count
            for kind, count in sorted(found.items()):
                family.add_metric((*_parts(key), kind), count)
        yield family

    def _stages(self) -> Iterator[Metric]:
        keys = [(key, stage) for key, counts in sorted(self._counts.pipelines.items()) for stage in counts.stages]
        yield from _counted("stage", _STAGE_LABELS, [((*_parts(key), stage.name), stage) for key, stage in keys])
        text = "Longest run that is allowed: the least of the limits of stage, pipeline and proxy"
        for part in parts(keys):
            timeouts = GaugeMetricFamily("headrace_stage_timeout_seconds", text, labels=_STAGE_LABELS)
            for key, stage in part:
                if (seconds := self._limits.timeouts.get((key, stage.name))) is not None:
                    timeouts.add_metric((*_parts(key), stage.name), seconds)
            yield timeouts
        text = "Workers in which the UDF of the stage is not called, since it failed too often"
        breakers = GaugeMetricFamily("headrace_stage_breaker_open", text, labels=_STAGE_LABELS)
        for key, stage in keys:
            if stage.breaker_opened:
                breakers.add_metric((*_parts(key), stage.name), stage.breaker_open)
        yield breakers

    def _udfs(self) -> Iterator[Metric]:
        found = sorted(self._counts.udfs.items())
        yield from _counted("udf", _UDF_LABELS, [(tuple(label.rsplit("@", 1)), counts) for label, counts in found])
        text = "Limit of the fuel for a document, where the UDF declares one"
        limits = GaugeMetricFamily("headrace_udf_fuel_limit_points", text, labels=_UDF_LABELS)
        for label, fuel in sorted(self._limits.fuel.items()):
            limits.add_metric(label.rsplit("@", 1), fuel)
        yield limits


def _counted(prefix: str, labels: tuple[str, ...], rows: list[StageRow]) -> Iterator[Metric]:
    """What is counted of stages as of UDFs."""
    for name, (field, text) in STAGE.items():
        if prefix == "udf" and name in OF_STAGES_ONLY:
            continue
        yield from _counters(f"headrace_{prefix}_{name}", text, labels, rows, field)
    peak = GaugeMetricFamily(
        f"headrace_{prefix}_memory_peak_bytes", "Largest memory of a sandbox since the start", labels=labels
    )
    for values, counts in rows:
        if counts.memory_peak:
            peak.add_metric(values, counts.memory_peak)
    yield peak
    recorded = ((values, counts.durations) for values, counts in rows if counts.executions)
    yield from histogram(f"headrace_{prefix}_duration_seconds", "Of a run over a batch", labels, recorded, FEW)


def _counters(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], object]], field: str
) -> Iterator[Metric]:
    for part in parts(rows):
        family = CounterMetricFamily(name, text, labels=labels)
        for values, counts in part:
            family.add_metric(values, getattr(counts, field))
        yield family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], float(number))
    return family


def _parts(key: str) -> tuple[str, str, str]:
    """Type, name and version of `type:name@version`."""
    kind, _, label = key.partition(":")
    name, _, version = label.rpartition("@")
    return kind, name, version
