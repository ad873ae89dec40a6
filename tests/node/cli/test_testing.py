"""`headrace test --against` and `--from-index`, and what `headrace dev` applies, with a proxy and a node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headrace.cli import main
from headrace.project import Project
from headrace.project.tools.dev import namespace
from tests.conftest import Http

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """\
type: document
stages:
  - {{name: titles, type: python, config: {{udf_name: {name}, parameters: {{by: "-"}}}}}}
  - {{name: level, type: native, if: has(doc.level), config: {{function: lowercase, parameters: {{field: level}}}}}}
"""
UDF = """\
def process(doc, params):
    if doc.get("drop"):
        return False
    doc["title"] = params.get("by", " ").join(doc["title"].lower().split())
    return doc
"""
CASES = """\
- {name: one, docs: {title: A B, level: X}, expect: {title: a-b, level: x}}
- {name: many, docs: [{title: A}, {}], expect: [{title: a}, {_error: KeyError}]}
- {name: error, docs: {}, expect_error: {stage: titles, reason: KeyError}}
- {name: dropped, docs: {drop: true}, dropped: true}
- {name: metadata, docs: [{_id: "1", _source: {title: A}}], expect: [{_id: "1", _source: {title: a}}]}
- {name: patch, docs: {title: A}, expect_patch: [{op: replace, path: /title, value: a}]}
- {name: parameters, params: {by: "+"}, docs: {title: A B}, expect: {title: a+b}}
"""


@pytest.fixture
def folder(tmp_path: Path, name: str, through: Http, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose objects have the name of the test."""
    monkeypatch.chdir(tmp_path)
    files = {
        "headrace.toml": f'set = "{name}"\n[target.dev]\nurl = "{through.base}"\n',
        f"pipelines/{name}.yaml": PIPELINE.format(name=name),
        f"pipelines/{name}-q.yaml": "type: query\nstages: [{name: f, type: native, config: {function: filter_query, "
        "parameters: {query: {term: {tenant: a}}}}}]\n",
        f"udfs/{name}.py": UDF,
        "associations.yaml": f"{name}-*: {{document: {name}, query: {{final_pipeline: {name}-q}}}}\n",
        "tests/p.cases.yaml": f"pipeline: {name}\ncases:\n{CASES}",
        "tests/u.cases.yaml": f"udf: {name}\ncases:\n"
        "- {name: u, params: {by: _}, docs: {title: A B}, expect: {title: a_b}}\n"
        "- {name: hit, hit: {_id: x, title: A B}, expect: {_id: x, title: a b}}\n"
        "- {name: dropped, docs: {drop: true}, dropped: true}\n",
        "tests/i.cases.yaml": f"index: {name}-1\ncases:\n- {{name: d, docs: {{title: A B}}, expect: {{title: a-b}}}}\n"
        "- {name: q, request: {size: 1}, expect: {size: 1, query: {bool: {filter: [{term: {tenant: a}}]}}}}\n",
        "tests/q.cases.yaml": f"pipeline: {name}-q\ncases:\n"
        "- {name: q, request: {}, expect: {query: {bool: {filter: [{term: {tenant: a}}]}}}}\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def test_engine_and_target_agree_and_a_target_with_other_content_does_not(
    folder: Path, through: Http, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEADRACE_URL", through.base)
    assert await run("test") == 0, capsys.readouterr().out
    assert await run("test", "--against", "dev") == 1
    assert f"the target answers 404: pipeline [{name}] is missing" in capsys.readouterr().out
    assert await run("apply", "--yes") == 0
    assert await run("test", "--against", "dev") == 0, capsys.readouterr().out
    assert await run("test", "--against", through.base) == 0, capsys.readouterr().out
    assert await run("test", "--url", through.base) == 0, capsys.readouterr().out
    assert await run("test", "--against", "http://127.0.0.1:1") == 5
    assert "http://127.0.0.1:1 cannot be reached" in "".join(capsys.readouterr())
    assert await run("test", "--against", through.base, "--url", through.base) == 2
    capsys.readouterr()
    assert await run("test", "--against", "prod") == 2
    assert f"hint: those that there are: dev; or pass an address, such as --against {through.base}" in "".join(
        capsys.readouterr()
    )
    changed = UDF.replace("lower()", "upper()")
    await through.put(f"/_udf/{name}?force=true", changed, headers={"Content-Type": "text/x-python"})
    assert await run("test", "--against", "dev", "-k", "u.cases.yaml::u") == 1
    assert 'title: expected "a_b", found "A_B"' in capsys.readouterr().out
    await through.post("/_registry/_apply", {"set": name, "prune": True})


async def test_documents_of_an_index_become_cases(
    folder: Path, direct: Http, name: str, capsys: pytest.CaptureFixture[str]
):
    index = f"{name}-1"
    for i in range(5):
        await direct.put(
            f"/{index}/_doc/{i}?refresh=true", {"title": f"Secret Title {i}", "level": "WARN", "n": 4711 + i}
        )
    command = ("test", "--from-index", index, "--sample", "3", "--anonymise", "--seed", "1")
    assert await run(*command) == 0, capsys.readouterr().err
    assert "3 updated" in capsys.readouterr().out
    text = (folder / f"tests/{index}.cases.yaml").read_text()
    assert "Secret" not in text
    assert "4711" not in text
    assert await run("test", f"tests/{index}.cases.yaml") == 0
    assert await run(*command) == 1
    assert "exists already" in capsys.readouterr().err


async def test_dev_applies_to_a_namespace_and_removes_it_at_the_end(folder: Path, through: Http, name: str):
    prefix = namespace("tester")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "dev", stdout=subprocess.PIPE, env={**os.environ, "LOGNAME": "tester"}
    )
    shown = b""
    async with asyncio.timeout(60):
        while b"revision" not in shown:
            shown += await process.stdout.read(1 << 16)
    assert f"applied as {prefix}{name}" in shown.decode()
    answer = await through.post(f"/_pipeline/{prefix}{name}/_execute", {"input": {"title": "A B"}})
    assert answer.json["output"] == {"title": "a-b"}
    assert (await through.get(f"/_pipeline/{name}")).status == 404
    udf = folder / f"udfs/{name}.py"
    udf.write_text(UDF.replace("lower()", "upper()"))
    async with asyncio.timeout(60):
        while shown.count(b"revision") < 2 and b"failed\n" not in shown.split(b"revision")[-1]:
            shown += await process.stdout.read(1 << 16)
    assert "not applied" not in shown.decode()
    # Cases fail with the change, so that it is not applied.
    answer = await through.post(f"/_pipeline/{prefix}{name}/_execute", {"input": {"title": "A B"}})
    assert answer.json["output"] == {"title": "a-b"}
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    assert (await through.get(f"/_pipeline/{prefix}{name}")).status == 404


def test_the_set_of_the_directory_is_what_apply_sends(folder: Path, name: str):
    body = Project.load(folder).as_set()
    assert json.loads(json.dumps(body)) == body
    assert body["set"] == name
