"""The lease of a job: who has it, whatever happens to connections; and what a process does that has lost it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from headrace.backfill import Connection, JobSpec
from headrace.backfill.cluster import journal as journals
from headrace.backfill.cluster import link as links
from headrace.backfill.cluster import retention
from headrace.backfill.cluster.journal import Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.records import JOB_INDEX, JobRecord
from headrace.backfill.passes import BLOCK, Passes
from headrace.backfill.spec import BackfillError, ConflictError
from headrace.client.errors import ClientError, UnreachableError
from headrace_pipelines import Bundle
from headrace_pipelines.errors import InvalidError
from tests.unit.headrace.backfill.fake import Cluster, empty

RECORD = f"/{JOB_INDEX}/_doc/j"
HOLD = f"/{JOB_INDEX}/_doc/hold%3A{BLOCK}%3Aa"
STATS = {"shards": {"0": [{"routing": {"primary": True}, "seq_no": {"max_seq_no": 7, "global_checkpoint": 7}}]}}


cluster = pytest.fixture(empty, name="cluster")


@pytest.fixture
def link(cluster: Cluster) -> Iterator[Link]:
    with closing(Link(Connection(url=cluster.url), 0.5)) as link:
        yield link


@pytest.fixture
def own(cluster: Cluster) -> Iterator[Link]:
    with closing(Link(Connection(url=cluster.url), 0.0)) as link:
        yield link


def started(link: Link, **changes: Any) -> Journal:
    record = JobRecord(job="j", source="a", target="b", pipeline="p@1", digest="", created="", **changes)
    journal = Journal(link, record, JOB_INDEX, None)
    record.driver = "first"
    journal.save()
    return journal


def passes_of(cluster: Cluster, link: Link, journal: Journal) -> Passes:
    job = JobSpec(
        job="j", source="a", target="b", pipeline="p@1", bundle=Bundle(()), cluster=Connection(url=cluster.url)
    )
    return Passes(job, journal, link, None, workers=1)  # type: ignore[arg-type]


def holders(*names: str) -> tuple[int, Any]:
    return 200, {name: {"aliases": {"logs": {}}} for name in names}


def test_a_job_is_taken_from_a_process_that_renews_its_lease(
    cluster: Cluster, link: Link, own: Link, monkeypatch: pytest.MonkeyPatch
):
    first = started(link)
    second = Journal.load(link, "j", seize=True)
    # It changes its record between the two calls of the other process, every time.
    first.save()
    second.acquire()
    with pytest.raises(ConflictError):
        first.save()
    monkeypatch.setattr(journals, "BEAT_SECONDS", 0.004)
    for _ in range(5):
        before = Journal.load(link, "j", seize=True)
        before.acquire()
        with before.renewed(own):
            after = Journal.load(link, "j", seize=True)
            time.sleep(0.02)
            after.acquire()
            time.sleep(0.02)
            with pytest.raises(ConflictError):
                before.beat()
    assert cluster.stored[RECORD][1]["driver"] == after.record.driver


def test_of_two_processes_that_go_on_with_a_job_one_has_it(cluster: Cluster, link: Link):
    started(link, state="failed", reason="away")
    one, other = Journal.load(link, "j"), Journal.load(link, "j")
    one.acquire()
    with pytest.raises(ConflictError):
        other.acquire()
    assert (cluster.stored[RECORD][1]["state"], cluster.stored[RECORD][1]["reason"]) == ("running", "")
    one.record.state = "done"
    one.save()
    number = cluster.stored[RECORD][0]
    Journal.load(link, "j").acquire()
    assert cluster.stored[RECORD][0] == number


def test_a_record_is_stored_by_the_connection_that_is_never_idle(cluster: Cluster, own: Link):
    """The other one is idle for a whole pass, and its next call may wait until its time is over."""

    class Idle(Link):
        def call(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    with closing(Idle(Connection(url=cluster.url), 0.5)) as idle:
        record = JobRecord(job="j", source="a", target="b", pipeline="p@1", digest="", created="")
        journal = Journal(idle, record, JOB_INDEX, None)
        with journal.renewed(own):
            # Busy for a while: it has the patience of the other one.
            cluster.script = {"j": [(503, {}), (429, {})]}
            journal.save()
            cluster.script = {"j": [(503, {})] * 100_000}
            with pytest.raises(ClientError):
                journal.save()
            cluster.script = {}
    assert cluster.stored[RECORD][1]["job"] == "j"


def test_the_lease_is_renewed_while_a_record_waits_to_be_stored(cluster: Cluster, own: Link):
    with closing(Link(Connection(url=cluster.url), 30.0)) as link:
        journal = started(link)
        waits: list[bool] = []

        class Busy(Link):
            def json(self, *_: Any, **__: Any) -> Any:
                # What waits holds nothing that the thread needs.
                if waits:
                    return super().json(*_, **__)
                waits.append(True)
                raise UnreachableError("away")

        def wait(_: object) -> bool:
            free = journal._lock.acquire(blocking=False)
            assert free
            journal._lock.release()
            return True

        with pytest.MonkeyPatch.context() as patch, closing(Busy(Connection(url=cluster.url), 0.0)) as busy:
            patch.setattr(links.Backoff, "wait", wait)
            with journal.renewed(busy):
                journal.save()
        assert waits


@pytest.mark.parametrize(
    "error", [InvalidError("no such CA", "target"), KeyError("_seq_no"), msgspec.DecodeError("cut"), OSError("odd")]
)
def test_no_error_ends_the_renewing_of_a_lease(
    cluster: Cluster,
    link: Link,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    closed: list[bool] = []

    class Faulty(Link):
        faults = 3

        def json(self, *_: Any, **__: Any) -> Any:
            if self.faults:
                self.faults -= 1
                raise error
            return super().json(*_, **__)

        def close(self) -> None:
            closed.append(True)
            super().close()

    journal = started(link)
    monkeypatch.setattr(journals, "BEAT_SECONDS", 0.0)
    with closing(Faulty(Connection(url=cluster.url), 0.0)) as own, caplog.at_level(logging.WARNING):
        for _ in range(3):
            journal._renew(own)
        assert (len(closed), len(caplog.records)) == (3, 1)
        number = cluster.stored[RECORD][0]
        journal._renew(own)
        assert cluster.stored[RECORD][0] == number + 1


def test_a_renewal_that_failed_is_tried_again_soon(cluster: Cluster, link: Link, own: Link):
    journal = started(link)
    journal._saved -= journals.BEAT_SECONDS
    cluster.script = {"j": [(429, {}), (503, {})]}
    count = len(cluster.requests)
    for _ in range(4):
        journal._renew(own)
    # Two that failed, one that did not, and none after that one.
    assert len(cluster.requests) - count == 3


def test_nothing_is_deleted_from_a_target_that_clients_write_to(cluster: Cluster, link: Link):
    """The process before may have asked for the switch of the alias, and be answered after the job was taken."""
    passes = passes_of(cluster, link, started(link, alias="logs"))
    cluster.script = {
        "docs": [(200, {"indices": {name: STATS}}) for name in "ab"],
        "_refresh": [(200, {})] * 3,
        "_search": [(200, {"_shards": {"total": 1}})] * 2,
        "logs": [holders("b")],
    }
    with pytest.raises(BackfillError, match="what clients have written there would be deleted"):
        passes._compare()
    # Asked after the numbers of what may be deleted are known.
    paths = [path for _, path, _ in cluster.requests]
    assert max(n for n, path in enumerate(paths) if "_stats" in path) < paths.index("/_alias/logs")


def test_a_source_that_names_the_target_is_not_read(cluster: Cluster, link: Link):
    passes = passes_of(cluster, link, started(link, alias="a"))
    cluster.script = {"docs": [(200, {"indices": {"b": STATS}})], "_refresh": [(200, {})]}
    cluster.script["_search"] = [(200, {"_shards": {"total": 1}})]
    with pytest.raises(BackfillError, match=r"\[a\] names the target \[b\] by now"):
        passes._next()
    # In place, the two are one.
    cluster.script = {"docs": [(200, {"indices": {"b": STATS}})], "_refresh": [(200, {})]}
    cluster.script["_search"] = [(200, {"_shards": {"total": 1}})]
    passes._job = msgspec.structs.replace(passes._job, source="b", same_index=True)
    assert passes._next().high == {"b": {"0": 8}}


def blocked(cluster: Cluster) -> None:
    """The source as a process leaves it that was killed within its block."""
    cluster.settings["a"] = {BLOCK: "true"}
    about = {"index": "a", "setting": BLOCK, "before": "", "jobs": ["j"], "restoring": "", "kind": "hold"}
    cluster.stored[HOLD] = 70, about
    cluster.script = {"_alias": [holders("a")] * 2}


def test_a_job_that_goes_on_lifts_its_earlier_block(cluster: Cluster, link: Link):
    passes = passes_of(cluster, link, started(link, alias="logs"))
    blocked(cluster)
    with passes._earlier_block():
        assert cluster.settings["a"] == {}


@pytest.mark.parametrize("over", [False, True])
def test_a_job_that_fails_lifts_the_block_of_a_process_that_may_have_switched(cluster: Cluster, link: Link, over: bool):
    passes = passes_of(cluster, link, started(link, alias="logs", switching=["a"]))
    blocked(cluster)
    cluster.script["logs"] = [holders("b" if over else "a")]

    def fails() -> None:
        assert cluster.settings["a"] == {BLOCK: "true"}
        raise OSError("away")

    with pytest.raises(OSError, match="away"), passes._earlier_block():
        fails()
    assert cluster.settings["a"] == ({BLOCK: "true"} if over else {})


def taken(cluster: Cluster) -> None:
    number, record = cluster.stored[RECORD]
    cluster.stored[RECORD] = number + 90, record | {"driver": "second"}


def test_a_process_that_lost_its_job_leaves_its_settings_to_the_one_that_has_it(
    cluster: Cluster, link: Link, monkeypatch: pytest.MonkeyPatch
):
    passes = passes_of(cluster, link, started(link))
    cluster.script = {"_alias": [holders("a")]}
    with pytest.raises(ConflictError), passes._blocked():
        taken(cluster)
    assert cluster.stored[HOLD][1]["jobs"] == ["j"]
    assert cluster.settings["a"] == {BLOCK: "true"}

    cluster.stored.clear()
    passes = passes_of(cluster, link, started(link))
    monkeypatch.setattr(Passes, "_passes", lambda _: taken(cluster))
    cluster.script = {"index.replication.type": [(200, {})]}
    with pytest.raises(ConflictError):
        passes.run()
    assert cluster.settings["b"] == {retention.SETTING: retention.VALUE}
