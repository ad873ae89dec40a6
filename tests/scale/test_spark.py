"""Spark of this machine: data frames of indexes and files, and jobs whose workers are killed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.backfill.engine import Progress
from headrace_pipelines import Pipelines
from tests.conftest import Http, native
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, expected, filled, pipeline
from tests.scale.conftest import JOB_SECONDS, bundle, spark_workers, survived, versions

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
STAGES = (
    native("d", "drop") | {"if": "doc.n % 7 == 3"},
    native("f", "fail", message="no") | {"if": "doc.n % 500 == 5"},
    native("l", "lowercase", field="level"),
)


async def test_an_index_through_data_frames(spark, node: str, direct: Http, name: str):
    """The target is the function applied once to each document, with its routing; a second write changes nothing."""
    from headrace.spark import apply, summary

    source, target, dead = f"{name}-1", f"{name}-2", f"{name}-dead"
    await filled(direct, source, 4000)
    await corpus.created(direct, target, shards=2)
    made = bundle(*STAGES)

    def copy() -> dict[tuple[str, str], int]:
        df = spark.read.format("headrace").options(url=node, index=source, workers="2").load()
        assert df.columns == ["_id", "_index", "_routing", "_seq_no", "_source"]
        applied = apply(df, "p", bundle=made, keep_before=True).cache()
        assert applied.columns == ["_id", "_index", "_routing", "_seq_no", "outcome", "reason", "_source", "before"]
        written = applied.write.format("headrace").options(url=node, index=target, dead_letters=dead)
        written.mode("append").save()
        counted = {(row.kind, row.name): row.documents for row in summary(applied).collect()}
        applied.unpersist()
        return counted

    counted = copy()
    assert counted["outcome", "dropped"] == 571
    assert counted["outcome", "failed"] == 7
    assert counted["outcome", "changed"] == counted["path", "~ level"] == 4000 - 571 - 7
    wanted = await expected(direct, Pipelines.of(made), "p", source)
    assert await contents(direct, target) == wanted
    before = await versions(direct, target)
    await direct.put(f"/{target}/_doc/d1?version=100000&version_type=external", {"n": 1, "state": "newer"})
    assert copy() == counted
    after = await versions(direct, target)
    assert {id_: about for id_, about in after.items() if about != before[id_]}.keys() == {"d1"}
    assert (await direct.get(f"/{target}/_doc/d1")).json["_source"]["state"] == "newer"


async def test_credentials_are_no_options(spark, node: str):
    """A plan shows its options: those that are none are refused, and the message says where credentials belong."""

    def load(**options: str) -> None:
        spark.read.format("headrace").options(**{"url": node, **options}).load()

    for options, said in (
        ({"index": "i", "password": "hush-hush"}, "HEADRACE_PASSWORD_FILE"),
        ({"index": "i", "url": "http://me:hush-hush@localhost"}, "credentials"),
        ({}, "index"),
    ):
        with pytest.raises(Exception, match=said) as refused:
            load(**options)
        assert "hush-hush" not in str(refused.value)


async def test_an_older_copy_never_replaces_a_newer_document(spark, node: str, direct: Http, name: str):
    """Rows without `_source` are passed over; what the cluster refuses for good is a dead letter."""
    await corpus.created(direct, name)
    await direct.put(f"/{name}/_doc/a?version=10&version_type=external", {"n": 10})

    def write() -> None:
        rows = [
            ("a", 5, '{"n":5}'),
            ("b", 5, '{"n":\n5}'),
            ("c", None, '{"n":1}'),
            ("d", 1, None),
            ("e", 2, '{"n":"x"}'),
        ]
        df = spark.createDataFrame(rows, "_id STRING, _seq_no BIGINT, _source STRING").coalesce(1)
        options = {"url": node, "index": name, "dead_letters": f"{name}-dead"}
        df.write.format("headrace").options(**options).mode("append").save()

    write()
    found = await contents(direct, name)
    assert {id_: source["n"] for id_, (source, _) in found.items()} == {"a": 10, "b": 5, "c": 1}
    (letter,) = (await contents(direct, f"{name}-dead")).values()
    assert letter[0]["id"] == "e"


@pytest.mark.timeout(JOB_SECONDS)
async def test_a_job_survives_killed_workers(spark, backfill, through: Http, direct: Http, name: str):
    """`headrace backfill --engine spark`, with live writes and workers that end in the middle of their items."""
    await survived(backfill, through, direct, name, spark_workers, "spark")


async def test_parquet_in_and_out(spark, tmp_path: Path):
    """Typed columns are documents; dead letters and the summary are Parquet again."""
    from headrace.spark import apply, documents, summary

    made = bundle(*STAGES)

    def run() -> tuple[list[Any], list[Any], list[Any]]:
        rows = spark.range(0, 2000, 1, 2).selectExpr("id AS n", "'WARN' AS level", "struct(id AS i) AS host")
        rows.write.parquet(str(tmp_path / "in"))
        applied = apply(documents(spark.read.parquet(str(tmp_path / "in")), "n"), "p", bundle=made, keep_before=True)
        applied.filter("outcome = 'failed'").write.parquet(str(tmp_path / "dead"))
        summary(applied).write.parquet(str(tmp_path / "summary"))
        kept = applied.filter("outcome = 'changed'").select("_id", "_source").collect()
        return (
            spark.read.parquet(str(tmp_path / "dead")).collect(),
            spark.read.parquet(str(tmp_path / "summary")).collect(),
            kept,
        )

    dead, counted, kept = run()
    assert sorted(int(row._id) for row in dead) == [5, 505, 1005, 1505][: len(dead)]
    assert all("no" in row.reason and json.loads(row.before)["level"] == "WARN" for row in dead)
    shown = {(row.kind, row.name): row.documents for row in counted}
    assert shown["outcome", "dropped"] == 286
    assert shown["path", "~ level"] == shown["outcome", "changed"] == len(kept)
    assert {row._id: json.loads(row._source) for row in kept}["1"] == {"n": 1, "level": "warn", "host": {"i": 1}}


async def test_progress_counts_documents_and_an_interrupted_job_ends_its_items(spark, tmp_path: Path):
    """Items tell their counts when they are done; a job that is over waits for those at work."""
    from headrace.backfill import JobSpec, WorkItem
    from headrace.spark import SparkEngine

    lines = b'{"n":1,"level":"A"}\n' * 3000
    (tmp_path / "a.ndjson").write_bytes(lines)
    job = JobSpec(job="j", source="f", target="t", pipeline="p@1", bundle=bundle(*STAGES), diff=True, page_bytes=20_000)
    edges = range(0, len(lines) + 1, len(lines) // 3)
    items = [
        WorkItem(index=str(tmp_path / "a.ndjson"), shard=0, low=low, high=high, file=True)
        for low, high in itertools.pairwise(edges)
    ]
    told: list[Progress] = []
    assert SparkEngine(spark).run(job, items, told.append).counts.read == 3000
    assert (told[-1].counts.read, told[-1].done) == (3000, 3)

    def interrupted(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SparkEngine(spark).run(msgspec.structs.replace(job, rate=100.0), items, interrupted)
    active = spark.sparkContext.statusTracker().getActiveJobsIds()
    assert list(active) == []


async def test_a_job_that_fails_says_why(spark, backfill, through: Http, direct: Http, name: str):
    await filled(direct, name, 10)
    await pipeline(through, name)
    job = ["--source", name, "--pipeline", name, "--engine", "spark"]
    code, _, err = await backfill(*job, "--target", f"{name}-absent")
    assert code != 0
    assert "there is no index" in err
    code, _, err = await backfill(*job, "--diff", "--workers", "2")
    assert code == 2
    assert "--master" in err
