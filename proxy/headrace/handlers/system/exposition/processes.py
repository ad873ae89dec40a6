"""Families of the processes: what the system says of each worker, and the Python that they run on."""

from __future__ import annotations

import platform
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from headrace.http1.certificates import expiries
from headrace.ops import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.ops.metrics.gauges import Gauges
    from headrace.settings import Settings


def processes(gauges: list[Gauges]) -> Iterator[Metric]:
    """The families of prometheus-client's `ProcessCollector`, of every worker, and of its `PlatformCollector`."""
    families: dict[str, Metric] = {}
    for each in gauges:
        collector = ProcessCollector(pid=partial(int, each.process), registry=None)
        for found in collector.collect():
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {"worker": str(each.worker)}, sample.value)
    yield from families.values()
    yield from PlatformCollector(registry=CollectorRegistry()).collect()


def build(settings: Settings) -> Iterator[Metric]:
    """Versions, restarts of workers, and the ends of certificates."""
    info = GaugeMetricFamily(
        "headrace_build_info", "1 for the versions that run", labels=["version", "python", "engine"]
    )
    info.add_metric([*_versions()], 1)
    yield info
    restarts = CounterMetricFamily("headrace_worker_restarts", "Workers that ended before their time")
    restarts.add_metric([], supervisor.restarts())
    yield restarts
    text = "End of a certificate, in seconds since 1970; the earliest of a file"
    certificates = GaugeMetricFamily("headrace_certificate_expires_seconds", text, labels=["setting"])
    for setting, seconds in expiries(settings).items():
        certificates.add_metric([setting], seconds)
    yield certificates


@cache
def _versions() -> tuple[str, str, str]:
    return version("headrace"), platform.python_version(), version("headrace-pipelines")
