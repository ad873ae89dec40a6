"""Jobs that go on, and what a command says: how to go on, and what cannot be."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from headrace.cli.errors import ExitCode
from tests.conftest import Http, native
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, filled, pipeline
from tests.node.backfill.test_backfill import job_process

JOBS = "/.headrace-backfill"


async def changed(direct: Http, job: str, **fields: object) -> None:
    """The record of a job as another end would have left it."""
    answer = await direct.post(f"{JOBS}/_update/{job}?refresh=true", {"doc": fields})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("by_alias", [False, True])
async def test_a_job_whose_alias_has_gone_over_runs_nothing_any_more(
    backfill, through: Http, direct: Http, name: str, by_alias: bool
):
    """Clients write to the target then: what the source lacks is theirs."""
    await filled(direct, f"{name}-1", 30, shards=1)
    await corpus.created(direct, f"{name}-2", shards=1)
    await direct.post("/_aliases", {"actions": [{"add": {"index": f"{name}-1", "alias": name}}]})
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    source = name if by_alias else f"{name}-1"
    arguments = ["--source", source, "--target", f"{name}-2", "--pipeline", name, "--swap-alias", name]
    code, out, err = await backfill(*arguments, "--json")
    assert code == 0, err
    job = json.loads(out)["job"]
    assert (await direct.put(f"/{name}/_doc/new?refresh=true", {"n": 1})).status == 201
    # The code of the pipeline is another one by now, which is of no concern.
    await pipeline(through, name, [native("s", "set", field="state", value="two")])

    code, _, err = await backfill("--resume", job)
    assert (code, f"the job [{job}] is done" in err) == (0, True), err
    await changed(direct, job, state="failed")
    code, out, err = await backfill("--resume", job, "--json")
    assert (code, json.loads(out)["state"]) == (0, "done"), err
    await changed(direct, job, state="failed", switching=[])
    code, _, err = await backfill("--resume", job)
    assert (code, "--in-place" in err, "start a new job" in err) == (ExitCode.CONFLICT, False, True), err
    assert len(await contents(direct, f"{name}-2")) == 31
    assert (await direct.put(f"/{name}-1/_doc/d1", {"n": 1})).status == 403


async def test_a_job_whose_terminal_is_closed_says_how_to_go_on(
    node: str, through: Http, direct: Http, backfill, name: str, tmp_path: Path
):
    await filled(direct, f"{name}-1", 11000, shards=1)
    await corpus.created(direct, f"{name}-2", shards=1)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    options = ["--rate", "800", "--max-latency", "9000", "--report", str(tmp_path / "of it.json")]
    process = await job_process(
        node, through.base, "--source", f"{name}-1", "--target", f"{name}-2", "--pipeline", name, *options
    )
    assert process.stderr is not None
    job = (await asyncio.wait_for(process.stderr.readline(), 60)).decode().split()[-1]
    await asyncio.sleep(1.0)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
    said = (await asyncio.wait_for(process.stderr.read(), 60)).decode()
    assert await process.wait() == 128 + signal.SIGINT, said
    words = f"--resume {job} --rate 800 --max-latency 9000 --workers 2 --report '{tmp_path}/of it.json'"
    assert words in said, said
    assert (await direct.get(f"{JOBS}/_doc/{job}")).json["_source"]["state"] == "failed"

    code, _, err = await backfill("--resume", job, "--replace")
    assert (code, "(replace)" in err, "began without it" in err) == (ExitCode.USAGE, True, True), err
    # It goes on as it was asked for, however that is spelled.
    code, _, err = await backfill("--resume", job, "--source", f"{name}-1")
    assert code == 0, err
    assert len(await contents(direct, f"{name}-2")) == 11000


async def test_a_job_at_work_is_taken_by_a_command_that_says_so(
    node: str, through: Http, direct: Http, backfill, name: str
):
    await filled(direct, f"{name}-1", 8000, shards=1)
    await corpus.created(direct, f"{name}-2", shards=1)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    process = await job_process(
        node, through.base, "--source", f"{name}-1", "--target", f"{name}-2", "--pipeline", name, "--rate", "300"
    )
    assert process.stderr is not None
    job = (await asyncio.wait_for(process.stderr.readline(), 60)).decode().split()[-1]
    code, _, err = await backfill("--resume", job)
    assert (code, "is at work on the job" in err) == (ExitCode.CONFLICT, True), err
    assert process.returncode is None
    # An option that does not fit takes nothing.
    code, _, err = await backfill("--resume", job, "--take-over", "--source", "other")
    assert code == ExitCode.USAGE, err
    code, _, err = await backfill("--resume", job, "--take-over")
    assert code == 0, err
    said = (await asyncio.wait_for(process.stderr.read(), 60)).decode()
    assert (await process.wait(), "another process goes on" in said) == (ExitCode.CONFLICT, True), said
    assert (await direct.get(f"{JOBS}/_doc/{job}")).json["_source"]["state"] == "done"
    assert len(await contents(direct, f"{name}-2")) == 8000

    # One that cannot go on says so in its record: the next command waits for no process.
    await changed(direct, job, state="failed", passes=[], digest="of other code")
    code, _, err = await backfill("--resume", job)
    assert (code, "is not that with which the job began" in err) == (ExitCode.CONFLICT, True), err
    record = (await direct.get(f"{JOBS}/_doc/{job}")).json["_source"]
    assert (record["state"], "is not that with which" in record["reason"]) == ("failed", True)


async def test_what_cannot_be_is_said_at_once(
    backfill, through: Http, direct: Http, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await filled(direct, f"{name}-1", 5, shards=1)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    arguments = ["--source", f"{name}-1", "--pipeline", name, "--diff", "--report"]
    code, _, err = await backfill(*arguments, f"{tmp_path}/none/r.json")
    assert (code, "there is no folder for" in err) == (ExitCode.FAILED, True), err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = await backfill(*arguments, f"{tmp_path}/r.parquet")
    assert (code, "pip install headrace[parquet]" in err, "(report)" in err) == (ExitCode.FAILED, True, True), err


async def test_a_diff_of_files_needs_no_index(
    backfill, through: Http, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With a limit of latency, too, and through a proxy."""
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n' * 3)
    monkeypatch.delenv("HEADRACE_CLUSTER")
    monkeypatch.chdir(tmp_path)
    code, out, err = await backfill(
        "--source", "a.ndjson", "--pipeline", name, "--diff", "--max-latency", "100", "--json"
    )
    assert (code, json.loads(out or "{}").get("paths")) == (ExitCode.DIFFERENCES, {"+ state": 3}), err
    assert "--max-latency has no effect" in err
