"""The metrics as Prometheus reads them: both formats, exemplars, parts of large families, and the page of the docs."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from headrace.handlers.system.exposition.histograms import PART_ROWS
from headrace.handlers.system.exposition.render import exposition
from headrace.ops.metrics import Metrics
from headrace.ops.metrics import exemplars as bounds
from headrace.ops.metrics.buckets import BOUNDS, compacted, in_prometheus_buckets, prometheus_bucket
from headrace.ops.metrics.exemplars import PIPELINES, REQUESTS, Exemplars, newest
from headrace.ops.metrics.gauges import Gauges
from headrace.settings import Settings
from headrace_pipelines import Batch, Deadline, execute
from headrace_pipelines.errors import (
    EngineError,
    MissingError,
    OverloadedError,
    RefusedError,
    RegistryError,
    UnsupportedError,
)
from headrace_pipelines.registry import Records, Snapshot
from tests.conftest import ROOT, native
from tests.unit.headrace_pipelines.executor.test_executor import compiled

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def components(pipelines: int = 1, **settings: Any) -> Any:
    """The parts that metrics are read from, with pipelines that have run."""
    found = {}
    for i in range(pipelines):
        pipeline = found[f"document:p{i}", "1"] = compiled(native("s", "set", field="x", value=1))
        execute(pipeline, Batch.of("document", b"{}"), Deadline(30.0))
    registry = SimpleNamespace(
        state="current",
        snapshot=Snapshot(Records(), found),
        ledger=SimpleNamespace(repaired=0, ignored=[]),
        catalog=SimpleNamespace(dump=dict),
        revisions={},
    )
    metrics = Metrics(registry)  # type: ignore[arg-type]
    metrics.read_gauges = lambda: Gauges(process=1, worker=0, registry_age=1.0)
    for seconds in (0.0, 1.0):
        metrics.count("bulk", 200, metrics.start_request() - seconds)
    return SimpleNamespace(registry=registry, metrics=metrics, settings=Settings(upstream="http://node:1", **settings))


async def test_openmetrics_has_exemplars_and_the_text_has_none():
    parts = components()
    parts.metrics.exemplars.record(REQUESTS, ("bulk",), TRACE, 1.0001, 1_700_000_000.5)
    parts.metrics.exemplars.record(PIPELINES, ("document", "p0", "1"), TRACE, 0.00001, 1_700_000_001.5)
    found = await exposition(parts, OPENMETRICS)
    assert found.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert found.body.endswith(b"# EOF\n")
    assert found.body.count(b"# EOF") == 1
    samples = [s for family in openmetrics.text_string_to_metric_families(found.body.decode()) for s in family.samples]
    shown = {(s.name, s.labels["le"]): s.exemplar for s in samples if s.exemplar}
    assert {name: (e.labels["trace_id"], e.value) for name, e in shown.items()} == {
        (f"{REQUESTS}_bucket", "2.5"): (TRACE, 1.0001),
        (f"{PIPELINES}_bucket", "0.0001"): (TRACE, 1e-05),
    }
    text = await exposition(parts, "text/plain")
    assert text.content_type.startswith("text/plain; version=0.0.4")
    assert TRACE.encode() not in text.body
    plain = [s for family in parser.text_string_to_metric_families(text.body.decode()) for s in family.samples]
    assert {(s.name, *sorted(s.labels.items())) for s in plain} == {
        (s.name, *sorted(s.labels.items())) for s in samples
    }


async def test_a_family_in_parts_is_one_family():
    parts = components(2 * PART_ROWS + 1)
    for accept in ("", OPENMETRICS):
        body = (await exposition(parts, accept)).body.decode()
        heads = re.findall(r"^# TYPE (\S+)", body, re.MULTILINE)
        assert len(heads) == len(set(heads))
        assert body.count("headrace_stage_duration_seconds_count{") == 2 * PART_ROWS + 1
    list(openmetrics.text_string_to_metric_families(body))


async def test_the_page_has_every_metric_and_no_other():
    body = (await exposition(components(), "")).body.decode()
    families = re.findall(r"^# TYPE (headrace_\S+)", body, re.MULTILINE)
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `headrace_")]
    assert sorted(name for row in rows for name in re.findall(r"`(headrace_\w+)`", row)) == sorted(families)


@pytest.mark.parametrize(
    ("error", "administers", "shown"),
    [
        (OverloadedError("x"), False, 'headrace_rejects_total{reason="queue"} 1.0'),
        (RegistryError("x"), False, 'headrace_fail_closed_refusals_total{reason="registry"} 1.0'),
        (UnsupportedError("x"), False, 'headrace_fail_closed_refusals_total{reason="unsupported"} 1.0'),
        (EngineError(), False, 'headrace_fail_closed_refusals_total{reason="engine"} 1.0'),
        (RefusedError("x"), False, 'headrace_fail_closed_refusals_total{reason="protected"} 1.0'),
        (RefusedError("x"), True, ""),
        (MissingError("x"), False, ""),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_refusals_are_counted_by_reason(error: Any, administers: bool, shown: str):
    parts = components()
    parts.metrics.refused(error, administers=administers)
    body = (await exposition(parts, "")).body.decode()
    lines = [line for line in body.splitlines() if re.match(r"headrace_(rejects|fail_closed)", line)]
    assert [line for line in lines if not line.endswith(" 0.0")] == [line for line in (shown,) if line]
    assert len(lines) == 7


def test_compacted_records_have_the_same_counts_and_sums():
    records = [(v, v % 7 + 1) for v in (1, 2, 99, 100, 101, 250, 251, 9_999_999, 30_000_000, 30_000_001, 3_600_000_000)]
    short = compacted(records * 3)
    assert in_prometheus_buckets(short) == in_prometheus_buckets(records * 3)
    assert compacted(short) == short
    many = compacted([(v, 1) for v in range(1, 100_000, 7)])
    assert len(many) <= 2 * (len(BOUNDS) + 1)


def test_exemplars_are_bounded(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_SERIES", 3)
    kept = Exemplars()
    for i in range(10):
        kept.record(REQUESTS, (f"s{i}",), TRACE, 0.001)
        kept.record(REQUESTS, ("s0",), TRACE, 0.002)
    kept.record(REQUESTS, ("long",), "x" * 65, 0.001)
    assert {series.labels[0] for series in kept.dump()} == {"s0", "s8", "s9"}
    assert {series.labels: len(series.kept) for series in kept.dump()}["s0",] == 2


def test_the_newest_exemplar_of_all_workers_counts():
    workers = (Exemplars(), Exemplars())
    for at, (worker, trace) in enumerate(zip((*workers, workers[0]), ("a", "c", "b"), strict=True)):
        worker.record(REQUESTS, ("bulk",), trace, 0.001, {0: 1.0, 1: 3.0, 2: 2.0}[at])
    found = newest(series for worker in workers for series in worker.dump())
    assert found[REQUESTS, ("bulk",)][prometheus_bucket(1000)].trace_id == "c"
