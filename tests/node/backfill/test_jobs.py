"""The record of a job at a node, and the plan of a pass."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from headrace.backfill import Connection, ItemResult, JobSpec, WorkItem, items, jobs
from headrace.backfill.cluster import records
from headrace.backfill.cluster.journal import Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.records import Pass
from headrace.backfill.spec import ConflictError, Counts
from headrace_pipelines import Bundle
from tests.conftest import Http
from tests.node.backfill.corpus import filled


def record(job: str) -> records.JobRecord:
    return records.JobRecord(job=job, source="s", target="t", pipeline="p@1", digest="d", created=records.now())


async def test_one_process_at_a_time_has_a_job(node: str, direct: Http, name: str):
    def run() -> None:
        with closing(Link(Connection(url=node), 5.0)) as link:
            first = Journal.start(link, record(name), f"{name}-jobs")
            first.record.passes.append(Pass(number=1, high={"s": {"0": 7}}, size=3))
            first.save()
            second = Journal.load(link, name, f"{name}-jobs", seize=True)
            assert second.record.passes == first.record.passes
            second.acquire()
            with pytest.raises(ConflictError, match="another process"):
                first.save()
            second.save()
            # An acknowledgement that was lost: the record is stored already.
            second._version = (0, 1)
            second.save()
            second.save()

    await asyncio.to_thread(run)
    assert "index.hidden" in (await direct.get(f"/{name}-jobs/_settings?flat_settings=true")).body.decode()


async def test_an_item_is_checked_off_once(node: str, direct: Http, name: str):
    spec = JobSpec(job="j", source="s", target="t", pipeline="p@1", bundle=Bundle(()), job_index=f"{name}-jobs")
    item = WorkItem(index="logs/é", shard=0, low=0, high=5)

    def run() -> None:
        with closing(Link(Connection(url=node), 5.0)) as link:
            records.ensure_index(link, spec.job_index)
            records.ensure_index(link, spec.job_index)
            assert jobs.result_of(link, spec, item) is None
            jobs.check_off(link, spec, item, ItemResult(counts=Counts(read=5, written=4), reasons={"x": 1}))
            found = jobs.result_of(link, spec, item)
            assert found is not None
            assert (found.done_before, found.counts.written, found.reasons) == (True, 4, {})

    await asyncio.to_thread(run)


async def test_items_cover_each_number_once(node: str, direct: Http, name: str):
    await filled(direct, name, 500)
    await direct.delete(f"/{name}/_doc/d1")

    def run() -> None:
        with closing(Link(Connection(url=node), 5.0)) as link:
            assert items.readable(link, name)
            found = items.survey(link, name)
            assert (found.operations, found.settled) == (501, True)
            planned = Pass(number=2, low={name: {"0": 20}}, high=found.marks, size=30)
            work = items.items_of(planned, name, frozenset())
            numbers = [(item.shard, n) for item in work for n in range(item.low, item.high)]
            assert len(numbers) == len(set(numbers)) == 481
            assert len({item.key for item in work}) == len(work)
            # Shards alternate.
            assert [item.shard for item in work[:3]] == [0, 1, 2]

    await asyncio.to_thread(run)
