"""The kernel against a cluster that is busy, loses acknowledgements, and has documents of any length."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from headrace.backfill import Connection, JobSpec, WorkItem, run_item
from headrace.backfill.cluster import link as links
from headrace.backfill.cluster import reading
from headrace.backfill.spec import BackfillError
from headrace.client.errors import ClientError, UnreachableError
from headrace_pipelines import Bundle
from tests.conftest import native
from tests.unit.headrace.backfill.fake import Cluster, documents

STAGES = [native("s", "set", field="seen", value=True), native("d", "drop") | {"if": "doc.n == 3"}]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(links, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(links, "_OPEN", links.threading.local())
    cluster = Cluster(documents(1000))
    yield cluster
    for link in links._OPEN.__dict__.get("links", {}).values():
        link.close()
    cluster.close()


def job_of(cluster: Cluster, stages: list[dict[str, Any]] | None = None, **changes: Any) -> JobSpec:
    text = json.dumps({"type": "document", "version": "4", "stages": stages or STAGES}).encode()
    spec = JobSpec(
        job="j",
        source="s",
        target="t",
        pipeline="p@4",
        bundle=Bundle((("p", text),)),
        cluster=Connection(url=cluster.url),
        stream="dead",
        patience=5.0,
    )
    return pickle.loads(pickle.dumps(msgspec.structs.replace(spec, **changes)))


ITEM = WorkItem(index="s", shard=0, low=0, high=1000)


def test_an_item_reads_runs_and_writes_each_document_with_its_version(cluster: Cluster):
    result = run_item(job_of(cluster), ITEM)
    assert (result.counts.read, result.counts.written, result.counts.dropped) == (1000, 999, 1)
    assert cluster.indexed["d7"] == {"n": 7, "text": "x" * 10, "seen": True}
    bulk = next(body for _, path, body in cluster.requests if path.startswith("/t/_bulk"))
    assert json.loads(bulk.split(b"\n")[0]) == {"index": {"_id": "d0", "version": 1, "version_type": "external"}}
    assert b'"delete"' not in bulk
    later = run_item(job_of(cluster), msgspec.structs.replace(ITEM, number=2))
    assert later.counts.deleted == 1


def test_only_what_the_cluster_has_no_room_for_is_sent_again(cluster: Cluster):
    cluster.refuse = {"d1": [429, 503, 429], "d2": [429], "d9": [409]}
    cluster.script = {"_search": [(429, {}), (503, {})], "_bulk": [(429, {}), (503, {}), (502, {})]}
    result = run_item(job_of(cluster), ITEM)
    assert (result.counts.written, result.counts.conflicts, result.counts.retried) == (998, 1, 4)
    assert result.counts.throttled > 0
    bulks = [body.count(b'"index"') for _, path, body in cluster.requests if path.startswith("/t/_bulk")]
    assert bulks[:7] == [199, 199, 199, 199, 2, 1, 1]
    assert set(cluster.indexed) == {f"d{n}" for n in range(1000)} - {"d3", "d9"}


def test_a_cluster_that_stays_busy_ends_the_item(cluster: Cluster):
    cluster.refuse = {"d1": [429] * 10000}
    with pytest.raises(ClientError) as raised:
        run_item(job_of(cluster, patience=0.05), ITEM)
    assert raised.value.status == 429
    cluster.script = {"_search": [(503, {"error": "busy"})] * 10000}
    with pytest.raises(ClientError):
        run_item(job_of(cluster, patience=0.05), ITEM)


def test_a_connection_that_ends_is_opened_again(cluster: Cluster):
    cluster.cut = 3
    assert run_item(job_of(cluster), ITEM).counts.written == 999
    cluster.cut = 10000
    with pytest.raises(UnreachableError):
        run_item(job_of(cluster, patience=0.05), ITEM)


def test_pages_have_bounded_bytes_whatever_the_length_of_documents(cluster: Cluster):
    """Short documents first, so that a page by count alone would have had 800 long ones."""
    cluster.documents = documents(200) + [
        each | {"_seq_no": each["_seq_no"] + 200, "_id": f"l{each['_id']}"} for each in documents(300, 10_000)
    ]
    page_bytes = 50_000
    result = run_item(job_of(cluster, page_bytes=page_bytes), ITEM)
    assert result.counts.read == 500
    bulks = [len(body) for _, path, body in cluster.requests if path.startswith("/t/_bulk")]
    assert max(bulks) < (reading.SURPLUS + 1) * page_bytes
    assert len(bulks) > 20


def test_a_bulk_that_is_too_long_is_halved(cluster: Cluster):
    cluster.script = {"_bulk": [(413, {}), (413, {})]}
    result = run_item(job_of(cluster), ITEM)
    assert (result.counts.written, set(cluster.indexed)) == (999, {f"d{n}" for n in range(1000)} - {"d3"})


def test_rejected_documents_are_dead_letters_and_leave_the_target(cluster: Cluster):
    cluster.refuse = {"d5": [400]}
    stages = [*STAGES, native("f", "fail", message="no") | {"if": "doc.n == 4"}]
    stages.append(native("m", "set", field="_id", value="z") | {"if": "doc.n == 6"})
    result = run_item(job_of(cluster, stages), msgspec.structs.replace(ITEM, number=2))
    counts = result.counts
    assert (counts.written, counts.failed, counts.rejected, counts.deleted) == (996, 2, 1, 4)
    found = {record["id"]: (record["cause"], record["pipeline"], record["original"]) for record in cluster.dead}
    assert {id_: about[0] for id_, about in found.items()} == {"d4": "pipeline", "d6": "pipeline", "d5": "mapping"}
    assert json.loads(found["d4"][2]) == {"n": 4, "text": "x" * 10}
    assert set(result.reasons) >= {"fail_processor_exception: no", "error_400: no"}
    cluster.refuse = {"d5": [403]}
    with pytest.raises(BackfillError, match="refuses a document: 403"):
        run_item(job_of(cluster), ITEM)


def test_dead_letters_that_are_not_written_keep_the_item_open(cluster: Cluster):
    stages = [native("f", "fail", message="no") | {"if": "doc.n == 4"}]
    job = job_of(cluster, stages)
    run_item(job, ITEM)
    (record,) = [body for _, path, body in cluster.requests if path.startswith("/dead/_bulk")]
    cluster.refuse = {json.loads(record.split(b"\n")[0])["create"]["_id"]: [400, 409]}
    with pytest.raises(BackfillError, match="dead letters cannot be written"):
        run_item(job, ITEM)
    assert run_item(job, ITEM).counts.failed == 1


def test_in_place_a_live_write_wins_and_a_lost_acknowledgement_is_found(cluster: Cluster):
    """d1 was changed by a live write; d2 was written by us, and the answer did not come."""
    cluster.documents[2]["_source"] = {"n": 2, "text": "x" * 10}
    cluster.refuse = {"d1": [409], "d2": [409]}
    before = run_item

    def answer(path: str, body: bytes) -> tuple[int, Any]:
        if path.endswith("_mget"):
            cluster.documents[1] |= {"_seq_no": 2000, "_source": {"n": 1, "text": "live"}}
            text = '{"n":2,"text":"' + "x" * 10 + '","seen":true}'
            cluster.documents[2] |= {"_seq_no": 2001, "_source": json.loads(text)}
        return Cluster.answer(cluster, path, body)

    cluster.answer = answer  # type: ignore[method-assign]
    result = before(job_of(cluster, same_index=True, target="s"), ITEM)
    assert cluster.indexed["d1"] == {"n": 1, "text": "live", "seen": True}
    assert "d2" not in cluster.indexed
    counts = result.counts
    assert (counts.read, counts.written, counts.conflicts, counts.dropped) == (1000, 999, 0, 1)


def test_in_place_a_deletion_that_a_live_write_refuses_is_counted_once(cluster: Cluster):
    cluster.refuse = {"d3": [409, 409]}
    result = run_item(job_of(cluster, same_index=True, target="s", delete_dropped=True), ITEM)
    counts = result.counts
    assert (counts.read, counts.written, counts.dropped) == (1000, 999, 1)
    assert (counts.conflicts, counts.deleted, counts.retried) == (0, 0, 1)


def test_in_place_a_document_that_cannot_be_read_again_ends_the_item(cluster: Cluster):
    cluster.refuse = {"d1": [409]}
    error = {"type": "no_shard_available_action_exception", "reason": "gone"}
    cluster.script = {"_mget": [(200, {"docs": [{"_index": "s", "_id": "d1", "error": error}]})]}
    with pytest.raises(BackfillError, match="cannot be read: no_shard_available_action_exception: gone"):
        run_item(job_of(cluster, same_index=True, target="s"), ITEM)


def test_a_page_of_a_scroll_that_is_lost_is_not_skipped(cluster: Cluster):
    """A scroll goes on with each call, so the slice begins again; in place that would run the pipeline twice."""
    size, at, losses = 200, {"first": 0}, [1]

    def page(low: int) -> dict[str, Any]:
        hits = [each | {"_version": 1} for each in cluster.documents[low : low + size]]
        return {"_scroll_id": "c", "timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits}}

    def answer(path: str, body: bytes) -> tuple[int, Any]:
        if path == "/s/_search":
            at["first"] = 0
            return 200, page(0)
        if path == "/_search/scroll" and json.loads(body).get("scroll"):
            at["first"] += size
            if losses and at["first"] == 2 * size:
                losses.pop()
                return 503, {}
            return 200, page(at["first"])
        return Cluster.answer(cluster, path, body)

    cluster.answer = answer  # type: ignore[method-assign]
    item = msgspec.structs.replace(ITEM, slices=1)
    result = run_item(job_of(cluster), item)
    assert set(cluster.indexed) == {f"d{n}" for n in range(1000)} - {"d3"}
    assert result.counts.read == 1000
    bulk = next(body for _, path, body in cluster.requests if path.startswith("/t/_bulk"))
    assert json.loads(bulk.split(b"\n")[2])["index"]["version"] == 2
    losses.append(1)
    with pytest.raises(BackfillError, match="a page of a scroll is lost"):
        run_item(job_of(cluster, same_index=True, target="s"), item)


def test_a_search_that_lacks_a_shard_is_an_error(cluster: Cluster):
    cluster.script = {"_search": [(200, {"timed_out": True, "_shards": {"failed": 0}, "hits": {"hits": []}})]}
    with pytest.raises(BackfillError, match="not whole"):
        run_item(job_of(cluster), ITEM)
    cluster.documents[5].pop("_source")
    with pytest.raises(BackfillError, match="no _source"):
        run_item(job_of(cluster), ITEM)


def test_a_job_has_no_credentials(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADRACE_USER", "ann")
    monkeypatch.setenv("HEADRACE_PASSWORD", "hushed")
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", "hushed-too")
    job = job_of(cluster)
    assert b"hushed" not in pickle.dumps(job)
    target = job.cluster.load()
    assert (target.password, target.admin_token) == ("hushed", "")


def test_a_rate_holds(cluster: Cluster):
    started = time.monotonic()
    result = run_item(job_of(cluster, rate=2000.0), ITEM)
    assert time.monotonic() - started >= 0.2
    assert result.counts.throttled > 0


def test_a_changed_routing_is_refused(cluster: Cluster):
    """What an earlier pass wrote under the old routing would stay; a document that becomes several is refused, too."""
    stages = [native("r", "set", field="_routing", value="else") | {"if": "doc.n == 4"}]
    result = run_item(job_of(cluster, stages), ITEM)
    assert (result.counts.written, result.counts.failed) == (999, 1)
    (letter,) = cluster.dead
    assert (letter["id"], "_routing" in letter["error"]["reason"]) == ("d4", True)
    assert "d4" not in cluster.indexed


def test_documents_around_one_that_moves_keep_their_texts(cluster: Cluster):
    cluster.documents = documents(6)
    stages = [*STAGES, native("m", "set", field="_index", value="away") | {"if": "doc.n == 1"}]
    result = run_item(job_of(cluster, stages, diff=True), ITEM)
    assert (result.counts.changed, result.counts.dropped, result.counts.failed) == (4, 1, 1)
    assert {sample.id: json.loads(sample.after)["n"] for sample in result.samples if sample.outcome == "changed"} == {
        "d0": 0, "d2": 2, "d4": 4, "d5": 5,
    }  # fmt: skip


def test_a_copy_under_another_routing_is_deleted(cluster: Cluster):
    """The source has a document of that id, but not there."""
    cluster.documents = [each | {"_routing": "old"} for each in documents(2)]
    answer = cluster.answer

    def answered(path: str, body: bytes) -> tuple[int, Any]:
        if b'"ids"' in body:
            hits = [{"_id": "d0", "_routing": "new"}, {"_id": "d1", "_routing": "old"}]
            return 200, {"_shards": {"failed": 0}, "hits": {"hits": hits}}
        return answer(path, body)

    cluster.answer = answered  # type: ignore[method-assign]
    result = run_item(job_of(cluster), WorkItem(index="t", shard=0, low=0, high=10, compare=True))
    assert result.counts.deleted == 1
    bulk = next(body for _, path, body in cluster.requests if path.startswith("/t/_bulk"))
    assert json.loads(bulk)["delete"] == {"_id": "d0", "routing": "old", "if_seq_no": 0, "if_primary_term": 1}


def test_what_another_pipeline_wrote_is_replaced_where_the_job_says_so(cluster: Cluster):
    run_item(job_of(cluster, replace=True, tombstones=True), ITEM)
    bulk = next(body for _, path, body in cluster.requests if path.startswith("/t/_bulk"))
    actions = [json.loads(line) for line in bulk.split(b"\n") if b'"_id"' in line]
    assert {about["version_type"] for action in actions for about in action.values()} == {"external_gte"}


def test_pages_of_a_scroll_have_bounded_bytes(cluster: Cluster):
    """Short documents come first; then a page is too long, and the slice is read again in shorter ones."""
    cluster.documents = documents(300) + [
        each | {"_id": f"l{n}", "_source": {"n": 9, "text": "y" * 9000}} for n, each in enumerate(documents(300))
    ]
    at, sizes = {"first": 0, "size": 0}, []

    def page() -> dict[str, Any]:
        hits = cluster.documents[at["first"] : at["first"] + at["size"]]
        return {"_scroll_id": "c", "timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits}}

    def answer(path: str, body: bytes) -> tuple[int, Any]:
        if path == "/s/_search":
            at.update(first=0, size=json.loads(body)["size"])
            sizes.append(at["size"])
            return 200, page()
        if path == "/_search/scroll" and json.loads(body).get("scroll"):
            at["first"] += at["size"]
            return 200, page()
        return Cluster.answer(cluster, path, body)

    cluster.answer = answer  # type: ignore[method-assign]
    job = job_of(cluster, page_bytes=100_000)
    result = run_item(job, msgspec.structs.replace(ITEM, slices=1))
    assert sizes == [reading.FIRST_DOCUMENTS, reading.FIRST_DOCUMENTS // 8]
    assert result.counts.read == 600
    assert len(cluster.indexed) == 599
    link = links.Link.shared(job.cluster, job.patience)
    whole = reading.pages(link, job, msgspec.structs.replace(ITEM, slices=1), once=True)
    assert sum(len(each.hits) for each in whole) == 600
