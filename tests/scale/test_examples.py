"""The programs of examples/spark, as `spark-submit` runs them; on a cluster of two workers where that is asked for.

`HEADRACE_SPARK_CLUSTER=1` starts a stand-alone master and two workers on this machine for the second test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devnode.node import free_port
from headrace_pipelines import Pipelines
from tests.conftest import ROOT, Http
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, expected, filled
from tests.scale.conftest import PYTHON, bundle
from tests.scale.test_spark import STAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(300)


def spark_home() -> Path:
    return Path(pytest.importorskip("pyspark", reason="the dependency group scale is not installed").__file__).parent


def environment(**more: str) -> dict[str, str]:
    added = {"SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": PYTHON}
    return {**os.environ, **added, "PYTHONPATH": str(ROOT), **more}


async def submit(program: str, *arguments: str, master: str = "local[2,4]", **more: str) -> dict[tuple[str, ...], int]:
    """Runs a program; gives the counts that it prints."""
    command = [str(spark_home() / "bin/spark-submit"), "--master", master, "--conf", "spark.ui.enabled=false"]
    command += ["--driver-memory", "512m", "--executor-memory", "512m", str(ROOT / "examples/spark" / program)]
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, env=environment(**more), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-3000:]
    counted = (line.split("\t") for line in out.decode().splitlines() if "\t" in line)
    return {tuple(names): int(count) for *names, count in counted}


async def stored(through: Http, name: str) -> None:
    ((_, body),) = bundle(*STAGES).pipelines
    assert (await through.put(f"/_pipeline/{name}", json.loads(body))).status in (200, 201)


async def test_diff_of_lines(through: Http, name: str, tmp_path: Path):
    """NDJSON in; summary, samples and dead letters out as Parquet."""
    import pyarrow.parquet

    await stored(through, name)
    lines = tmp_path / "in.ndjson"
    lines.write_text("".join(json.dumps(corpus.document(n)) + "\n" for n in range(2000)))
    counted = await submit("diff.py", name, str(lines), str(tmp_path / "out"), HEADRACE_URL=through.base)
    assert counted["outcome", "dropped"] == 286
    assert counted["outcome", "failed"] == counted["reason", counted_reason(counted)]
    assert counted["path", "~ level"] == counted["outcome", "changed"]
    assert sum(count for key, count in counted.items() if key[0] == "outcome") == 2000

    def rows(folder: str) -> list[dict[str, Any]]:
        return pyarrow.parquet.read_table(tmp_path / "out" / folder).to_pylist()

    assert {(row["kind"], row["name"]): row["documents"] for row in rows("summary")} == counted
    assert len(rows("dead")) == counted["outcome", "failed"] > 0
    assert len(rows("samples")) == 100


def counted_reason(counted: dict[tuple[str, ...], int]) -> str:
    (reason,) = (key[1] for key in counted if key[0] == "reason")
    return reason


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    """A master and two workers of one core."""
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    start = [str(spark_home() / "bin/spark-class"), "org.apache.spark.deploy"]
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    processes = []
    try:
        for role, options in (
            ("master.Master", ["--port", str(port)]),
            *(("worker.Worker", ["--cores", "1", "--memory", "1g", master]) for _ in range(2)),
        ):
            command = [start[0], f"{start[1]}.{role}", *common, *options]
            processes.append(
                await asyncio.create_subprocess_exec(
                    *command, env=environment(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
                )
            )
            await asyncio.sleep(4)
        yield master
    finally:
        for process in reversed(processes):
            process.terminate()
            await process.wait()


@pytest.mark.skipif("HEADRACE_SPARK_CLUSTER" not in os.environ, reason="HEADRACE_SPARK_CLUSTER=1 starts a cluster")
async def test_reindex_on_a_cluster(through: Http, direct: Http, node: str, name: str):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 20000)
    await corpus.created(direct, target, shards=2)
    await stored(through, name)
    urls = {"HEADRACE_URL": through.base, "HEADRACE_CLUSTER": node}
    async with cluster() as master:
        counted = await submit("reindex.py", source, target, name, master=master, **urls)
    assert sum(counted.values()) == 20000
    wanted = await expected(direct, Pipelines.of(bundle(*STAGES)), "p", source)
    assert await contents(direct, target) == wanted
