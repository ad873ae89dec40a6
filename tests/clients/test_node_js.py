"""Clients and tools of Node.js: opensearch-js gives the same answers direct and through; elasticdump copies an index."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.cli.demo.download import cache_folder
from tests.clients.programs import output
from tests.conftest import Http, native

PACKAGES = {"@opensearch-project/opensearch": "3.9.0", "elasticdump": "6.125.1"}
pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is not on this machine")


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder of the installed packages, kept in the cache."""
    name = "-".join(f"{package.rpartition('/')[2]}-{version}" for package, version in PACKAGES.items())
    folder = cache_folder() / f"npm-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            wanted = [f"{package}@{version}" for package, version in PACKAGES.items()]
            npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *wanted]
            subprocess.run(npm, check=True, capture_output=True, timeout=280)
            (folder / "done").touch()
    return folder / "node_modules"


async def run(modules: Path, *command: str) -> str:
    """Output of a program of Node.js."""
    return await output("node", *command, NODE_PATH=str(modules), NODE_NO_WARNINGS="1")


async def test_opensearch_js_gets_the_same_answers(modules: Path, through: Http, direct: Http, name: str):
    story = str(Path(__file__).with_name("story.js"))
    answers = [
        (await run(modules, story, http.base, name, *more)).splitlines()
        for http, more in ((direct, ()), (through, ()), (through, ("sniff",)))
    ]
    assert len(answers[0]) == 15
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


async def test_elasticdump_copies_an_index_through_its_pipelines(
    modules: Path, through: Http, direct: Http, name: str, tmp_path: Path
):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    mask = {"name": "mask", "type": "javascript", "config": {"code": "hit._source.secret = '***'", "scope": "hit"}}
    await through.pipeline(name, "result", mask)
    await through.index(name, document=name, result=name)
    await through.index(f"{name}-copy")
    lines = [line for i in range(250) for line in ({"index": {"_index": name, "_id": str(i)}}, {"secret": f"s{i}"})]
    await through.bulk(*lines)
    await direct.post(f"/{name}/_refresh")
    program, dump = str(modules / "elasticdump" / "bin" / "elasticdump"), str(tmp_path / "dump.json")
    await run(modules, program, f"--input={through.base}/{name}", f"--output={dump}", "--type=data", "--limit=60")
    text = await asyncio.to_thread(Path(dump).read_text)
    hits = [json.loads(line) for line in text.splitlines()]
    assert len(hits) == 250
    assert {(hit["_source"]["secret"], hit["_source"]["x"]) for hit in hits} == {("***", 1)}
    await run(modules, program, f"--input={dump}", f"--output={through.base}/{name}-copy", "--type=data", "--limit=60")
    await direct.post(f"/{name}-copy/_refresh")
    assert (await direct.get(f"/{name}-copy/_count")).json["count"] == 250
