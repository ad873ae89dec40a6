"""A worker slows down with the cluster: the 99th percentile of its searches, and the rate in each pass."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import msgspec
import pytest

from headrace.backfill import Connection, JobSpec, WorkItem, run_item
from headrace.backfill.cluster import link as links
from headrace.backfill.cluster import pace
from headrace.backfill.cluster.pace import Latency
from headrace_pipelines import Bundle
from tests.conftest import native
from tests.unit.headrace.backfill.fake import Cluster, documents

STAGE = native("s", "set", field="seen", value=True)
PIPELINE = msgspec.json.encode({"type": "document", "version": "1", "stages": [STAGE]})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(pace, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(pace, "_HELD", pace.threading.local())
    monkeypatch.setattr(links, "_OPEN", links.threading.local())
    cluster = Cluster(documents(1000))
    yield cluster
    for link in links._OPEN.__dict__.get("links", {}).values():
        link.close()
    cluster.close()


def job(cluster: Cluster, latency: float = 50.0) -> JobSpec:
    return JobSpec(
        job="j",
        source="s",
        target="t",
        pipeline="p@1",
        bundle=Bundle((("p", PIPELINE),)),
        cluster=Connection(url=cluster.url),
        latency=latency,
    )


def answered(cluster: Cluster, took: list[int]) -> None:
    """Probes take as long as is said; other searches are answered as ever."""
    answer = cluster.answer

    def probed(path: str, body: bytes) -> tuple[int, object]:
        if path.endswith("/_search") and b'"query"' not in body:
            return 200, {"took": took.pop(0) if took else 1}
        return answer(path, body)

    cluster.answer = probed  # type: ignore[method-assign]


def test_a_worker_waits_while_searches_are_slow(cluster: Cluster):
    item = WorkItem(index="s", shard=0, low=0, high=1000)
    answered(cluster, [60, 900, 70])
    slow = run_item(job(cluster), item)
    assert slow.counts.written == 1000
    assert slow.counts.throttled >= 0.01
    assert any(path.startswith("/s/_search") and "request_cache=false" in path for _, path, _ in cluster.requests)
    cluster.requests.clear()
    assert run_item(job(cluster, latency=0.0), item).counts.throttled == 0
    assert not any("request_cache" in path for _, path, _ in cluster.requests)


def test_a_wait_ends_once_the_cluster_has_recovered_and_never_grows_over_its_bound():
    latency = Latency(50.0)
    for _ in range(40):
        latency.learn(51.0)
    assert latency.delay == pace.LONGEST
    for _ in range(pace.SHARE + 50):
        latency.learn(50.0)
    assert latency.delay == 0.0


@pytest.mark.parametrize(("share", "settles"), [(0.003, False), (0.05, True)])
def test_what_counts_is_one_search_of_a_hundred(share: float, settles: bool):
    """Fewer slow searches leave a job alone in the long run; more of them hold it back for good."""
    latency, rng = Latency(50.0), random.Random(1)
    waits = []
    for _ in range(5000):
        latency.learn(100.0 if rng.random() < share else 1.0)
        waits.append(latency.delay)
    assert (sum(waits[1000:]) / 4000 > 1.0) is settles


def test_the_rate_holds_for_deletions_too(cluster: Cluster):
    """A pass over the target for what the source lacks is read at the rate of the job."""
    answered(cluster, [])
    present = cluster.answer

    def answer(path: str, body: bytes) -> tuple[int, object]:
        if path == "/s/_search" and b'"ids"' in body:
            return 200, {"_shards": {"failed": 0}, "hits": {"hits": cluster.documents}}
        return present(path, body)

    cluster.answer = answer  # type: ignore[method-assign]
    started = time.monotonic()
    spec = msgspec.structs.replace(job(cluster), rate=2000.0)
    result = run_item(spec, WorkItem(index="t", shard=0, low=0, high=1000, compare=True))
    assert time.monotonic() - started >= 0.5
    assert result.counts.deleted == 0
    assert result.counts.throttled > 0
