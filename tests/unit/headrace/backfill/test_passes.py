"""The steps between passes against a cluster that lacks shards, loses answers, or does not block in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from headrace.backfill import Connection, JobSpec, items
from headrace.backfill.cluster import journal as journals
from headrace.backfill.cluster.aliases import switch_alias
from headrace.backfill.cluster.holds import Hold
from headrace.backfill.cluster.journal import Journal
from headrace.backfill.cluster.link import Link
from headrace.backfill.cluster.records import JobRecord
from headrace.backfill.cluster.retention import SECONDS, remembered_deletes
from headrace.backfill.passes import BLOCK, Passes
from headrace.backfill.spec import BackfillError, ConflictError, Counts, ItemResult
from headrace.client.errors import ClientError
from headrace_pipelines import Bundle
from tests.unit.headrace.backfill.fake import Cluster, empty

GONE = (404, {"error": {"type": "aliases_not_found_exception", "reason": "aliases [logs] missing"}})


cluster = pytest.fixture(empty, name="cluster")


@pytest.fixture
def link(cluster: Cluster) -> Iterator[Link]:
    link = Link(Connection(url=cluster.url), 0.05)
    yield link
    link.close()


def holders(*names: str) -> tuple[int, Any]:
    return 200, {name: {"aliases": {"logs": {}}} for name in names}


def test_an_alias_that_an_earlier_attempt_switched_is_switched(cluster: Cluster, link: Link):
    cluster.script = {"logs": [holders("a"), holders("b")], "_aliases": [(503, {}), GONE]}
    switch_alias(link, "logs", frozenset({"a"}), "b")
    cluster.script = {"logs": [holders("a"), holders("a")], "_aliases": [GONE]}
    with pytest.raises(ClientError):
        switch_alias(link, "logs", frozenset({"a"}), "b")


def test_a_shard_without_a_copy_is_not_left_out(cluster: Cluster, link: Link):
    copy = {"routing": {"primary": True}, "seq_no": {"max_seq_no": 8, "global_checkpoint": 7}, "docs": {"count": 8}}
    stats = (200, {"indices": {"s": {"shards": {"0": [copy]}}}})
    cluster.script = {"docs": [stats] * 2, "_refresh": [(200, {})] * 2}
    cluster.script["_search"] = [(200, {"_shards": {"total": total}}) for total in (1, 2)]
    assert items.survey(link, "s").marks == {"s": {"0": 8}}
    with pytest.raises(BackfillError, match="not every shard"):
        items.survey(link, "s")


def test_each_alias_of_a_source_is_searched_for_a_filter(cluster: Cluster, link: Link):
    found = (200, {"a": {"aliases": {"other": {"filter": {}}}}, "b": {"aliases": {"part": {"filter": {"term": {}}}}}})
    cluster.script = {"_alias": [found, found, (403, {"error": "no"}), (404, {"error": "no"})]}
    assert items.indexes_of(link, "a,b") == {"a", "b"}
    with pytest.raises(BackfillError, match=r"the alias \[part\] has a filter"):
        items.indexes_of(link, "a,part")
    with pytest.raises(ClientError):
        items.indexes_of(link, "a")
    assert items.indexes_of(link, "a") == frozenset()


@pytest.mark.parametrize(
    ("block", "settings", "words"),
    [
        ((200, {"acknowledged": False, "shards_acknowledged": False}), None, r"not every shard of \[a\]"),
        ((500, {"error": "lost"}), None, "lost"),
        ((500, {"error": "lost"}), (500, {"error": "away"}), r"lost; \[a\] may still refuse writes"),
    ],
)
def test_a_block_that_fails_is_lifted(cluster: Cluster, link: Link, block: Any, settings: Any, words: str):
    """The source is an alias: what is lifted is the block of the index behind it."""
    cluster.script = {"_alias": [holders("a")]}
    on = (200, {"a": {"settings": {BLOCK: "true"}}})
    cluster.script |= {"write": [block], BLOCK: [(200, {}), on], "_settings": [settings] if settings else []}
    job = JobSpec(job="j", source="logs", target="b", pipeline="p@1", bundle=Bundle(()))
    record = JobRecord(job="j", source="logs", target="b", pipeline="p@1", digest="", created="")
    passes = Passes(job, Journal(link, record, "jobs", None), link, None, workers=1)  # type: ignore[arg-type]
    with pytest.raises((BackfillError, ClientError), match=words), passes._blocked():
        raise AssertionError
    assert [path for method, path, _ in cluster.requests if method == "PUT" and "_doc" not in path] == [
        "/a/_block/write",
        "/a/_settings",
    ]


def test_the_record_of_a_job_quotes_no_document(cluster: Cluster, link: Link):
    cluster.script = {"j": [(201, {"_seq_no": 0, "_primary_term": 1})]}
    record = JobRecord(job="j", source="a", target="b", pipeline="p@1", digest="", created="")
    record.result = ItemResult(counts=Counts(read=3), reasons={"mapper_parsing_exception: value 'hushed'": 3})
    Journal(link, record, "jobs", None).save()
    ((_, _, body),) = cluster.requests
    assert b"hushed" not in body
    assert json.loads(body)["result"]["counts"]["read"] == 3
    assert record.result.reasons


def record(**changes: Any) -> JobRecord:
    return JobRecord(job="j", source="a", target="b", pipeline="p@1", digest="", created="", **changes)


def stored(number: int, about: JobRecord) -> tuple[int, Any]:
    fields = {"found": True, "_seq_no": number, "_primary_term": 1, "_source": json.loads(msgspec.json.encode(about))}
    return 200, fields


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "LEASE_SECONDS", 0.05)


def test_a_job_that_runs_is_not_resumed(cluster: Cluster, link: Link, lease: None):
    told: list[float] = []
    cluster.script = {"j": [stored(7, record()), stored(7, record()), stored(8, record())]}
    with pytest.raises(ConflictError, match="another process is at work"):
        Journal.load(link, "j", "jobs", waits=told.append)
    assert told == [0.05]
    # Nobody has changed the record: the process is gone.
    cluster.script = {"j": [stored(7, record())] * 20}
    journal = Journal.load(link, "j", "jobs")
    cluster.script = {"j": [(201, {"_seq_no": 8, "_primary_term": 1})]}
    journal.acquire()
    assert journal.record.driver
    # One that failed waits for nobody, and one that is taken over neither.
    cluster.script = {"j": [stored(7, record(state="failed"))]}
    assert Journal.load(link, "j", "jobs", waits=told.append).record.state == "failed"
    cluster.script = {"j": [stored(7, record())]}
    assert Journal.load(link, "j", "jobs", seize=True, waits=told.append).record.driver == ""
    assert told == [0.05]


def test_a_job_at_work_changes_its_record(cluster: Cluster, link: Link, monkeypatch: pytest.MonkeyPatch):
    """Also while one call of it takes longer than a lease: a thread of its own does."""
    monkeypatch.setattr(journals, "BEAT_SECONDS", 0.01)
    journal = Journal(link, record(driver="ours"), "jobs", None)
    journal.save()

    def numbers() -> list[int]:
        count = len(cluster.requests)
        time.sleep(0.2)
        return [json.loads(body)["result"]["counts"]["read"] for _, _, body in cluster.requests[count:] if body]

    with closing(Link(Connection(url=cluster.url), 0.0)) as own, journal.renewed(own):
        # What is half done is not stored.
        journal.record.result.counts.read = 7
        assert set(numbers()) == {0}
        journal.save()
        assert set(numbers()) == {7}
        # A cluster that is away for a while ends no job.
        cluster.script = {"j": [(503, {"error": "away"})] * 3}
        assert numbers()
        # A process that hangs is not renewed.
        monkeypatch.setattr(journals, "STALL_SECONDS", 0.0)
        time.sleep(0.1)
        assert not numbers()
        monkeypatch.setattr(journals, "STALL_SECONDS", 60.0)
        # Another process that has the job ends it.
        cluster.stored["/jobs/_doc/j"] = 99, json.loads(msgspec.json.encode(record(driver="theirs")))
        time.sleep(0.1)
        with pytest.raises(ConflictError):
            journal.beat()
        assert not journal.held()
    assert cluster.stored["/jobs/_doc/j"][0] == 99


def test_a_record_whose_earlier_acknowledgement_was_lost_is_stored(cluster: Cluster, link: Link):
    """What the cluster has is of this process, and older."""
    journal = Journal(link, record(driver="ours"), "jobs", None)
    journal.save()
    late = msgspec.structs.replace(journal.record, updated="late")
    cluster.stored["/jobs/_doc/j"] = 5, json.loads(msgspec.json.encode(late))
    journal.record.state = "done"
    journal.save()
    assert cluster.stored["/jobs/_doc/j"][1]["state"] == "done"


def test_a_job_that_is_watched_is_at_work_or_not(cluster: Cluster, link: Link, lease: None):
    told: list[float] = []

    def at_work(*names: str) -> set[str]:
        return {*Journal.at_work(link, names, "jobs", told.append)}

    cluster.script = {"j": [stored(7, record()), stored(8, record())]}
    assert at_work("j") == {"j"}
    cluster.script = {"j": [stored(7, record())] * 20}
    assert at_work("j") == set()
    # All are watched at once.
    assert told == [0.05] * 2
    cluster.script = {each: [stored(7, record())] * 20 for each in "ijk"} | {"l": [stored(7, record()), GONE]}
    cluster.script["k"][3:3] = [stored(8, record())]
    assert at_work(*"ijkl") == {"k"}
    assert told == [0.05] * 3
    for state in ("failed", "done"):
        cluster.script = {"j": [stored(7, record(state=state))]}
        assert at_work("j") == set()
    cluster.script = {}
    assert at_work("none") == at_work() == set()
    assert told == [0.05] * 3


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_job_that_cannot_be_asked_about_is_at_work(cluster: Cluster, link: Link, lease: None, status: int):
    cluster.script = {"j": [(status, {"error": "no"})] * 200}
    assert Journal.at_work(link, ["j"], "jobs") == {"j"}
    cluster.script = {"j": [stored(7, record()), *[(status, {"error": "no"})] * 200]}
    assert Journal.at_work(link, ["j"], "jobs") == {"j"}


def test_a_block_that_another_process_has_by_now_stays(cluster: Cluster, link: Link):
    """Its own job goes on within the block; an error of the first process must not lift it."""
    cluster.script = {"_alias": [holders("a")]}
    cluster.script |= {"j": [(409, {"error": "conflict"}), stored(3, record(driver="theirs"))]}
    job = JobSpec(job="j", source="a", target="b", pipeline="p@1", bundle=Bundle(()))
    passes = Passes(job, Journal(link, record(driver="ours"), "jobs", (1, 1)), link, None, workers=1)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="away"), passes._blocked():
        raise OSError("away")
    assert not any(path.endswith("_settings") for _, path, _ in cluster.requests)


@pytest.mark.parametrize(
    ("before", "puts"),
    [("", [f"{SECONDS}s", None]), ("30s", [f"{SECONDS}s", "30s"]), ("2h", []), ("1200000ms", [])],
)
def test_deletions_are_remembered_while_a_job_runs(cluster: Cluster, link: Link, before: str, puts: list[Any]):
    cluster.settings = {"b": {"index.gc_deletes": before} if before else {}}

    def hold(name: str) -> Hold:
        return Hold(link, name, "b", "index.gc_deletes", f"{SECONDS}s", store="jobs", at_work=lambda _: set())

    # A job that goes on does not take its own setting for that of the index.
    with pytest.raises(OSError, match="away"), remembered_deletes(hold("j")):
        raise OSError("away")
    for name in ("j", "k"):
        with remembered_deletes(hold(name)):
            pass
    sent = [json.loads(body) for method, path, body in cluster.requests if (method, path) == ("PUT", "/b/_settings")]
    assert [each["index.gc_deletes"] for each in sent] == puts[:1] + puts * 2
    assert cluster.settings["b"].get("index.gc_deletes", "") == before
    # Another job took this one for one that had ended, and somebody changed the setting.
    with remembered_deletes(hold("j")) as ensure:
        for lost in (True, False):
            if lost:
                hold("j").release()
            cluster.settings["b"]["index.gc_deletes"] = "7s"
            ensure()
            assert hold("j").in_force()
    assert cluster.settings["b"]["index.gc_deletes"] == "7s"
