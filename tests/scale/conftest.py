"""A Spark of this machine for the session; `uv sync --inexact --group scale` installs it, as the gate does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace.cli import main
from headrace.cli.errors import ExitCode
from headrace_pipelines import Bundle
from tests.node.backfill.corpus import Writers, contents, created, expected, filled, pipeline

# Ray reads it when it is imported: its tasks run in the environment of the tests, also below `uv run`.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

SAMPLE = 12_000
DOCUMENTS = int(os.environ.get("HEADRACE_BACKFILL_DOCS", str(SAMPLE)))
"""Documents of jobs whose workers are killed; CONTRIBUTING.md has the long form."""
KILLS = 2 if DOCUMENTS == SAMPLE else 8
JOB_SECONDS = 300 if DOCUMENTS == SAMPLE else 3600

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.conftest import Http


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Two workers, on loopback alone."""
    pytest.importorskip("pyspark", reason="the dependency group scale is not installed")
    from headrace import spark as headrace_spark

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--conf spark.ui.enabled=false --conf spark.driver.memory=512m pyspark-shell"
    with headrace_spark.running("local[2]") as session:
        session.sparkContext.setLogLevel("OFF")
        session.conf.set("spark.sql.shuffle.partitions", "2")
        session.dataSource.register(headrace_spark.OpenSearch)
        yield session


@pytest.fixture
def backfill(node: str, through: Http, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs `headrace backfill`: exit status, output, messages."""
    monkeypatch.setenv("HEADRACE_URL", through.base)
    monkeypatch.setenv("HEADRACE_CLUSTER", node)

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["backfill", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def written_to(direct: Http, index: str) -> Callable[[], Awaitable[int]]:
    """Counts the documents that a job has written to an index."""

    async def count() -> int:
        await direct.post(f"/{index}/_refresh")
        found: int = (await direct.get(f"/{index}/_count")).json["count"]
        return found

    return count


def processes() -> dict[int, tuple[int, str]]:
    """The parent and the command of each process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
    return found


def descendants(root: int) -> dict[int, tuple[int, str]]:
    """The processes below one, with parent and command."""
    everything, found, level = processes(), {}, {root}
    while level := {pid for pid, (parent, _) in everything.items() if parent in level and pid not in found}:
        found |= {pid: everything[pid] for pid in level}
    return found


def spark_workers() -> list[int]:
    """Python workers of a Spark of this process: what their daemon has forked."""
    below = descendants(os.getpid())
    return [pid for pid, (parent, text) in below.items() if "pyspark" in text and "daemon" in text
            and "daemon" in below.get(parent, (0, ""))[1]]  # fmt: skip


def ray_workers() -> list[int]:
    """Workers of Ray of this process that are at an item."""
    return [pid for pid, (_, text) in descendants(os.getpid()).items() if text.startswith("ray::attempt")]


async def kill(workers: Callable[[], list[int]], written: Callable[[], Awaitable[int]], ended: list[int]) -> None:
    """Kills workers at random, one at a time, once they write; in the long form at even parts of the documents.

    By time, a slow machine would have one item killed as often as ends a job.
    """
    rng = random.Random(7)
    while len(ended) < KILLS:
        await asyncio.sleep(0.1 if DOCUMENTS == SAMPLE else 1.0)
        found = workers()
        due = 1 if DOCUMENTS == SAMPLE else 1 + DOCUMENTS * len(ended) // (KILLS + 1)
        if found and (await written() >= due or (ended and DOCUMENTS == SAMPLE)):
            with contextlib.suppress(ProcessLookupError):
                pid = rng.choice(found)
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
                await asyncio.sleep(0.5)


def bundle(*stages: dict[str, Any], name: str = "p") -> Bundle:
    """A bundle of one pipeline."""
    return Bundle(((name, json.dumps({"type": "document", "version": "1", "stages": stages}).encode()),))


PYTHON = sys.executable


async def versions(direct: Http, index: str) -> dict[str, tuple[int, int]]:
    """Version and sequence number of each document, by id."""
    await direct.post(f"/{index}/_refresh")
    body = {"size": 10000, "version": True, "seq_no_primary_term": True, "_source": False}
    hits = (await direct.post(f"/{index}/_search", body)).json["hits"]["hits"]
    return {hit["_id"]: (hit["_version"], hit["_seq_no"]) for hit in hits}


async def survived(
    backfill: Any, through: Http, direct: Http, name: str, workers: Callable[[], list[int]], engine: str
) -> None:
    """A job with live writes whose workers are killed: the target is the pipeline applied once to each document."""
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, DOCUMENTS)
    await created(direct, target, shards=2)
    await direct.post("/_aliases", {"actions": [{"add": {"index": source, "alias": name, "is_write_index": True}}]})
    pipelines = await pipeline(through, name)
    ended: list[int] = []
    killer = asyncio.create_task(kill(workers, written_to(direct, target), ended))
    job = ["--source", source, "--target", target, "--pipeline", name, "--dead-letters", f"{name}-dead"]
    pace = ["--rate", "5000"] if DOCUMENTS == SAMPLE else []
    async with Writers(direct, source, DOCUMENTS) as writers:
        code, out, err = await backfill(*job, "--engine", engine, *pace, "--swap-alias", name, "--json")
    killer.cancel()
    assert len(ended) >= 2
    # Some documents fail, and are dead letters.
    assert code == ExitCode.DIFFERENCES, err
    print(out)
    assert writers.refused
    assert writers.written > 0
    found = await contents(direct, target)
    assert found == await expected(direct, pipelines, name, source)
    assert {document["seen"] for document, _ in found.values()} == {1}
