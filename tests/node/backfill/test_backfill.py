"""A job over what is indexed: the target is the function applied once to each document, whatever happens meanwhile.

`HEADRACE_BACKFILL_DOCS=1000000` runs the first test in its long form (CONTRIBUTING.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys

import pytest

from headrace.cli.errors import ExitCode
from tests.conftest import ROOT, Http, native
from tests.node.backfill import corpus
from tests.node.backfill.corpus import Writers, contents, expected, facts, filled, pipeline

DOCUMENTS = int(os.environ.get("HEADRACE_BACKFILL_DOCS", "20000"))


async def killed_workers(count: int, seconds: float) -> int:
    """Kills workers of jobs of this process, one at a time."""
    killed, rng = 0, random.Random(7)
    while killed < count:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * seconds)
        workers = [each for each in multiprocessing.active_children() if each.is_alive()]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers).pid or 0, signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.timeout(3600 if DOCUMENTS > 100_000 else 300)
async def test_zero_downtime_with_live_writes_and_killed_workers(backfill, through: Http, direct: Http, name: str):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, DOCUMENTS)
    await corpus.created(direct, target, shards=2)
    await corpus.created(direct, f"{name}-old", shards=1)
    actions = [{"add": {"index": source, "alias": name, "is_write_index": True}}]
    actions.append({"add": {"index": f"{name}-old", "alias": name, "is_write_index": False}})
    await direct.post("/_aliases", {"actions": actions})
    pipelines = await pipeline(through, name)
    job = ["--source", source, "--target", target, "--pipeline", name, "--swap-alias", name, "--json"]
    job += ["--dead-letters", f"{name}-dead"]
    # A worker needs some seconds for its start: faster kills would end one item again and again.
    kills, pause = (3, 0.8) if DOCUMENTS <= 20_000 else (8, 10.0)
    killer = asyncio.create_task(killed_workers(kills, pause))
    async with Writers(direct, source, DOCUMENTS) as writers:
        code, out, err = await backfill(*job, workers=2)
        killer.cancel()
        assert code == ExitCode.DIFFERENCES, err
    shown = json.loads(out)
    print({key: shown[key] for key in ("documents_per_second", "cpu_us_per_document", "passes", "seconds")})
    assert writers.refused
    assert writers.written > 0
    assert shown["passes"] >= 3
    wanted, found = await expected(direct, pipelines, name, source), await contents(direct, target)
    assert found == wanted
    assert {document["seen"] for document, _ in found.values()} == {1}
    # Another index behind the alias stays there.
    assert set((await direct.get(f"/_alias/{name}")).json) == {target, f"{name}-old"}
    assert (await direct.put(f"/{name}/_doc/d1", {"n": 1})).status in (200, 201)
    assert (await direct.put(f"/{source}/_doc/d1", {"n": 1})).status == 403
    dead = await contents(direct, f"{name}-dead")
    assert dead
    assert {record["pipeline"] for record, _ in dead.values()} == {name}


async def job_process(node: str, proxy: str, *arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "HEADRACE_URL": proxy, "HEADRACE_CLUSTER": node, "PYTHONWARNINGS": ""}
    command = [sys.executable, "-m", "headrace", "backfill", "--workers", "2", *arguments]
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )


async def killed_job(node: str, proxy: str, direct: Http, items: int, *arguments: str) -> str:
    """Starts a job and kills it once so many items are checked off; gives its id."""
    process = await job_process(node, proxy, *arguments)
    assert process.stderr is not None
    job = (await asyncio.wait_for(process.stderr.readline(), 60)).decode().split()[-1]
    body = {"query": {"bool": {"filter": [{"term": {"job": job}}, {"term": {"kind": "item"}}]}}}
    while process.returncode is None:
        await direct.post("/.headrace-backfill/_refresh")
        if (await direct.post("/.headrace-backfill/_count", body)).json["count"] >= items:
            process.kill()
            break
        await asyncio.sleep(0.02)
    assert await process.wait() == -signal.SIGKILL
    return job


async def test_a_killed_job_goes_on_and_repeats_nothing_visible(
    backfill, node: str, through: Http, direct: Http, name: str
):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 12000)
    await corpus.created(direct, target)
    pipelines = await pipeline(through, name)
    arguments = ["--source", source, "--target", target, "--pipeline", name, "--rate", "8000"]
    arguments += ["--dead-letters", f"{name}-dead"]
    async with Writers(direct, source, 12000) as writers:
        job = await killed_job(node, through.base, direct, 1, *arguments)
    assert writers.written > 0
    code, _, err = await backfill("--resume", job, "--source", f"{name}-other")
    assert (code, "the job has" in err) == (ExitCode.USAGE, True)
    code, _, err = await backfill("--resume", job, "--take-over", workers=2)
    assert code == ExitCode.DIFFERENCES, err
    found = await contents(direct, target)
    assert found == await expected(direct, pipelines, name, source)
    # Each document has the version of its last state, and nothing was written over that.
    numbers = {id_: about["_seq_no"] for id_, about in (await facts(direct, source)).items() if id_ in found}
    assert {id_: about["_version"] - 1 for id_, about in (await facts(direct, target)).items()} == numbers
    code, _, err = await backfill("--resume", "nothing")
    assert (code, "there is no job" in err) == (ExitCode.FAILED, True)


async def test_a_second_job_removes_what_is_dropped_or_fails_now(backfill, through: Http, direct: Http, name: str):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 60, shards=1)
    await corpus.created(direct, target, shards=1)
    stages = [
        native("d", "drop") | {"if": "doc.state == 'drop'"},
        native("f", "fail", message="no") | {"if": "doc.state == 'fail'"},
    ]
    await pipeline(through, name, stages)
    arguments = ["--source", source, "--target", target, "--pipeline", name, "--dead-letters", f"{name}-dead"]
    assert (await backfill(*arguments))[0] == 0
    assert len(await contents(direct, target)) == 60
    await direct.bulk(
        *({"index": {"_index": source, "_id": "d1"}}, {"n": 1, "state": "drop"}),
        *({"index": {"_index": source, "_id": "d2"}}, {"n": 2, "state": "fail"}),
        {"delete": {"_index": source, "_id": "d4"}},
    )
    code, _, err = await backfill(*arguments)
    assert (code, "--mirror" in err) == (ExitCode.DIFFERENCES, True)
    assert "d4" in await contents(direct, target)
    code, out, err = await backfill(*arguments, "--mirror", "--json")
    assert (code, json.loads(out)["counts"]["deleted"]) == (ExitCode.DIFFERENCES, 1), err
    assert set(await contents(direct, target)) == {f"d{n}" for n in range(60)} - {"d1", "d2", "d4"}
    assert {record["id"] for record, _ in (await contents(direct, f"{name}-dead")).values()} == {"d2"}


async def test_a_resume_with_other_code_is_refused(backfill, node: str, through: Http, direct: Http, name: str):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 11000, shards=1)
    await corpus.created(direct, target)
    stage = {"name": "u", "type": "python", "config": {"udf_name": name, "udf_version": "latest"}}
    await pipeline(through, name, [stage])
    arguments = ["--source", source, "--target", target, "--pipeline", name, "--rate", "6000"]
    job = await killed_job(node, through.base, direct, 1, *arguments)
    await through.put(f"/_udf/{name}", {"language": "python", "source": "def process(doc):\n    return doc\n"})
    code, _, err = await backfill("--resume", job, "--take-over")
    assert (code, "is not that with which the job began" in err) == (ExitCode.CONFLICT, True)


async def test_in_place_each_document_goes_through_once(backfill, node: str, through: Http, direct: Http, name: str):
    await filled(direct, name, 16000)
    await pipeline(through, name)
    arguments = ["--source", name, "--in-place", "--pipeline", name, "--delete-dropped"]
    arguments += ["--dead-letters", f"{name}-dead"]
    job = await killed_job(node, through.base, direct, 1, *arguments, "--rate", "20000")
    killer = asyncio.create_task(killed_workers(2, 0.4))
    async with Writers(direct, name, 16000) as writers:
        code, _, err = await backfill("--resume", job, "--take-over", "--json", workers=2)
        killer.cancel()
        assert code == ExitCode.DIFFERENCES, err
    assert writers.written > 0
    found = {id_: document for id_, (document, _) in (await contents(direct, name)).items()}
    untouched = [each for each in found.values() if each["state"] == "first"]
    assert len(untouched) > 8000
    for each in untouched:
        failed = each["n"] % 500 == 5
        assert each.get("seen") == (None if failed else 1), each
        assert each["n"] % 7 != 3
        assert failed or each["level"].islower()


async def test_in_place_only_changed_documents_are_written(backfill, through: Http, direct: Http, name: str):
    await filled(direct, name, 3000, shards=1)
    stages = [native("l", "lowercase", field="level"), native("d", "drop") | {"if": "doc.n == 3"}]
    await pipeline(through, name, stages)
    counts = []
    for _ in range(2):
        code, out, err = await backfill("--source", name, "--in-place", "--pipeline", f"{name}@1", "--json")
        assert code == 0, err
        counts.append(json.loads(out)["counts"])
    assert (counts[0]["written"], counts[0]["dropped"], counts[0]["deleted"]) == (2999, 1, 0)
    assert (counts[1]["written"], counts[1]["same"]) == (0, 2999)
    assert len(await contents(direct, name)) == 3000


async def indexes(direct: Http, name: str) -> dict[str, int]:
    """The names of all indexes, with how often those of a test were written to."""
    stats = (await direct.get("/_stats/indexing?expand_wildcards=all")).json["indices"]
    return {each: about["total"]["indexing"]["index_total"] if each == name else 0 for each, about in stats.items()}


async def test_a_diff_counts_and_writes_nothing(backfill, through: Http, direct: Http, name: str, tmp_path):
    await filled(direct, name, 2000)
    await pipeline(through, name, [each for each in corpus.STAGES if each["name"] != "u"])
    before = await indexes(direct, name)
    report = tmp_path / "report.parquet"
    arguments = ["--source", name, "--pipeline", name, "--diff", "--report", str(report)]
    code, out, err = await backfill(*arguments, "--json", "--query", "n:[0 TO 999]")
    assert code == ExitCode.DIFFERENCES, err
    shown = json.loads(out)
    dropped, failed = sum(n % 7 == 3 for n in range(1000)), sum(n % 500 == 5 and n % 7 != 3 for n in range(1000))
    assert shown["counts"]["read"] == 1000
    assert (shown["counts"]["dropped"], shown["counts"]["failed"]) == (dropped, failed)
    assert shown["paths"] == {"~ level": 1000 - dropped - failed}
    assert {sample["outcome"] for sample in shown["samples"]} == {"changed", "dropped", "failed"}
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(report).to_pylist()
    assert {row["name"]: row["value"] for row in rows if row["kind"] == "path"} == {"~ level": 1000 - dropped - failed}
    assert await indexes(direct, name) == before
    code, out, _ = await backfill(*arguments, "--query", json.dumps({"term": {"n": 3}}))
    assert (code, out.splitlines()[1].split()) == (ExitCode.DIFFERENCES, ["1", "0", "0", "1", "0"])
