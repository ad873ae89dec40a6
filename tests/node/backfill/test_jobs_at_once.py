"""Several jobs at once on one source or target, and jobs whose calls take longer than a lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import Any

import msgspec
import pytest

from headrace.backfill import Connection, ItemResult, JobSpec, items, run_item
from headrace.backfill import passes as steps
from headrace.backfill.cluster import journal as journals
from headrace.backfill.cluster import records, retention
from headrace.backfill.cluster.journal import Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.retention import remembered_deletes
from headrace.backfill.passes import BLOCK, Passes
from headrace.backfill.spec import ConflictError
from headrace_pipelines import Bundle
from tests.conftest import Http, native
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, filled

LEASE = 2.0
PIPELINE = Bundle((("p", b'{"type":"document","version":"1","stages":[%b]}'),))


class Here:
    """An engine of this thread."""

    def run(self, job: JobSpec, work: Any, watch: Callable[[Any], None] | None = None) -> ItemResult:
        total = ItemResult()
        try:
            for item in work:
                total.add(run_item(job, item))
        finally:
            Link.shared(job.cluster, job.patience).close()
        return total


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "LEASE_SECONDS", LEASE)
    monkeypatch.setattr(journals, "BEAT_SECONDS", LEASE / 20)


@contextmanager
def job_of(
    node: str, name: str, source: str, target: str, alias: str = "", *, renewed: bool = False
) -> Iterator[Passes]:
    """A job that this process has; `renewed`: until the block ends, also while it does not run."""
    stage = msgspec.json.encode(native("s", "set", field="state", value="done"))
    bundle = Bundle((("p", PIPELINE.pipelines[0][1] % stage),))
    with closing(Link(Connection(url=node), 10.0)) as link, closing(Link(Connection(url=node), 0.0)) as own:
        record = records.JobRecord(
            job=name, source=source, target=target, pipeline="p@1", digest="", created=records.now(), alias=alias
        )
        job = JobSpec(job=name, source=source, target=target, pipeline="p@1", bundle=bundle, stream=f"{name}-dead",
                      cluster=Connection(url=node), job_index=records.JOB_INDEX)  # fmt: skip
        journal = Journal.start(link, record)
        with journal.renewed(own) if renewed else nullcontext():
            yield Passes(job, journal, link, Here(), workers=1, mirror=False)


def setting(node: str, index: str, name: str) -> str:
    with closing(Link(Connection(url=node), 5.0)) as link:
        found = link.json("GET", f"/{index}/_settings", {"flat_settings": "true"})
        return str(found[index]["settings"].get(name, ""))


async def test_a_job_lifts_the_block_of_no_other(node: str, direct: Http, name: str, brief: None):
    source = f"{name}-1"
    await filled(direct, source, 20, shards=1)
    for target in ("2", "3"):
        await corpus.created(direct, f"{name}-{target}", shards=1)

    def fails(job: Passes) -> str:
        with pytest.raises(OSError, match="away"), job._blocked():
            raise OSError("away")
        return setting(node, source, BLOCK)

    def run() -> None:
        with ExitStack() as stack:
            first, second = (
                stack.enter_context(
                    job_of(node, f"{name}-{each}", source, f"{name}-{each}", f"{name}x{each}", renewed=True)
                )
                for each in ("2", "3")
            )
            with first._blocked():
                assert fails(second) == "true"
            # The first one has ended well: what it has left behind stays.
            assert fails(second) == "true"
        with closing(Link(Connection(url=node), 5.0)) as link:
            link.json("PUT", f"/{source}/_settings", None, {BLOCK: None})
        with job_of(node, f"{name}-4", source, f"{name}-3", f"{name}x") as killed:
            killed._hold(source, BLOCK, "true").acquire()
            killed._link.json("PUT", f"/{source}/_block/write")
        # The process of that one is gone, and nothing but its record says that it runs.
        with job_of(node, f"{name}-5", source, f"{name}-3", f"{name}x") as job:
            assert fails(job) == ""
        with closing(Link(Connection(url=node), 5.0)) as link:
            link.json("PUT", f"/{source}/_settings", None, {BLOCK: "true"})
        with job_of(node, f"{name}-6", source, f"{name}-3", f"{name}x") as job:
            # Writes were refused before the job.
            assert fails(job) == "true"

    await asyncio.to_thread(run)


async def test_an_alias_is_not_switched_where_somebody_lifted_the_block(
    node: str, direct: Http, name: str, brief: None, monkeypatch: pytest.MonkeyPatch
):
    await filled(direct, f"{name}-1", 20, shards=1)
    await corpus.created(direct, f"{name}-2", shards=1)
    survey = items.settled_survey

    def lifted(link: Link, source: str) -> Any:
        found = survey(link, source)
        link.json("PUT", f"/{source}/_settings", None, {BLOCK: None})
        return found

    def run(words: str) -> None:
        with job_of(node, f"{name}-2", f"{name}-1", f"{name}-2", f"{name}x") as job:
            with pytest.raises(Exception, match=words):
                job.run()
            assert job._record.switching == []

    monkeypatch.setattr(steps.items, "settled_survey", lifted)
    await asyncio.to_thread(run, "somebody lifted its block")
    assert (await direct.get(f"/_alias/{name}x")).status == 404


async def test_jobs_with_one_target_keep_its_memory_of_deletions(node: str, direct: Http, name: str, brief: None):
    target = f"{name}-3"
    for each in ("1", "2"):
        await filled(direct, f"{name}-{each}", 20, shards=1)
    await corpus.created(direct, target, shards=1)
    await direct.put(f"/{target}/_settings", {retention.SETTING: "45s"})

    def remembered(job: Passes) -> Any:
        return remembered_deletes(job._hold(target, retention.SETTING, retention.VALUE))

    def run() -> None:
        with ExitStack() as stack:
            first, second = (
                stack.enter_context(job_of(node, f"{name}-{each}", f"{name}-{each}", target, renewed=each == "1"))
                for each in ("1", "2")
            )
            with remembered(first):
                second.run()
                assert second._record.state == "done"
                assert setting(node, target, retention.SETTING) == retention.VALUE
            assert setting(node, target, retention.SETTING) == "45s"

    await asyncio.to_thread(run)
    assert len(await contents(direct, target)) == 20


async def test_a_job_whose_calls_take_long_keeps_its_lease(
    node: str, direct: Http, name: str, brief: None, monkeypatch: pytest.MonkeyPatch
):
    """A survey, a comparison or a block between two passes, in which the engine does nothing."""
    await filled(direct, f"{name}-1", 20, shards=1)
    await corpus.created(direct, f"{name}-2", shards=1)
    survey, began = items.survey, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(link: Link, source: str) -> Any:
        loop.call_soon_threadsafe(began.set)
        time.sleep(1.5 * LEASE)
        return survey(link, source)

    monkeypatch.setattr(steps.items, "survey", slow)

    def run() -> str:
        with job_of(node, name, f"{name}-1", f"{name}-2") as job:
            return job.run().state

    def resume() -> None:
        with closing(Link(Connection(url=node), 5.0)) as link, pytest.raises(ConflictError, match="at work"):
            Journal.load(link, name)

    running = asyncio.create_task(asyncio.to_thread(run))
    await began.wait()
    await asyncio.to_thread(resume)
    assert await running == "done"
