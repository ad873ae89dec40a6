"""`headrace tail` and `headrace udf logs` against a proxy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.client import AsyncClient, Client, ClientError
from headrace.execution.taps.hub import Taps
from tests.conftest import Http, native

PIPELINE = {
    "type": "document",
    "stages": [
        native("level", "lowercase", field="level"),
        {**native("refuse", "fail", message="no {{level}}"), "if": "doc.n == 1"},
        {**native("drop", "drop"), "if": "doc.n == 2"},
    ],
}


@pytest.fixture
async def index(through: Http, name: str) -> str:
    assert (await through.put(f"/_pipeline/{name}", PIPELINE)).status == 201
    await through.index(name, document=name)
    return name


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The taps that have been opened."""
    found: list[Any] = []
    start = Taps.start

    def started(self: Taps, *arguments: Any) -> Any:
        found.append(start(self, *arguments))
        return found[-1]

    monkeypatch.setattr(Taps, "start", started)
    return found


async def wait_for(opened: list[Any], count: int = 1) -> None:
    for _ in range(200):
        if len(opened) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no tap was opened")


async def during(http: Http, index: str, command: Any, opened: list[Any], count: int = 1) -> Any:
    """The outcome of a command, while documents are written."""
    before = len(opened)
    running = asyncio.ensure_future(command)
    await wait_for(opened, before + count)
    for n in range(3):
        await http.put(f"/{index}/_doc/{n}", {"level": "WARN", "n": n, "big": 12345678901234567890})
    return await running


async def test_the_changes_are_printed(through: Http, index: str, run: Any, opened: list[Any]):
    code, out, err = await during(through, index, run("tail", "--index", index, "--limit", "3"), opened)
    assert code == 0, err
    lines = out.splitlines()
    assert f"document {index}/0 {index}@1 changed" in lines[0]
    assert lines[1].split()[:2] == ["level", "success"]
    assert lines[2].strip() == 'replace /level "warn"'
    assert any(line.strip() == "fail_processor_exception: no warn" for line in lines)
    assert "\x1b" not in out, "no colours without a terminal"
    assert "3 shown of 3 seen" in err


async def test_records_as_json_of_several_proxies(through: Http, index: str, run: Any, opened: list[Any]):
    command = run(
        "tail",
        "--index",
        index,
        "--errors",
        "--duration",
        "2s",
        "-o",
        "json",
        "--url",
        through.base,
        "--url",
        through.base,
    )
    code, out, err = await during(through, index, command, opened, 2)
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["id"] for record in records] == ["1", "1"]
    assert err.count("1 shown of 3 seen") == 2


async def test_saved_cases_pass(
    through: Http, index: str, run: Any, opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "headrace.toml").write_text("")
    (tmp_path / "pipelines" / f"{index}.json").write_text(json.dumps(PIPELINE))
    monkeypatch.chdir(tmp_path)
    file = f"tests/{index}.cases.yaml"
    command = run("tail", "--pipeline", index, "--limit", "3", "--save", file)
    code, _, err = await during(through, index, command, opened)
    assert code == 0, err
    assert "wrote 3 cases" in err
    assert "hint" not in err
    code, out, err = await run("test", file)
    assert (code, "3 passed" in out) == (0, True), out + err
    cases = tmp_path / file
    await asyncio.to_thread(lambda: cases.write_text(cases.read_text().replace("level: warn", "level: info")))
    assert (await run("test", file))[0] == 1, "the cases do expect something"
    code, _, err = await run("tail", "--pipeline", index, "--save", file)
    assert (code, "exists already" in err) == (1, True)
    assert (await run("tail", "--save", "x.yaml"))[0] == 2
    await asyncio.to_thread((tmp_path / "pipelines" / f"{index}.json").rename, tmp_path / "pipelines/unlike.json")
    code, _, err = await during(through, index, run("tail", "--pipeline", index, "--limit", "1", "--save", "y"), opened)
    assert (code, f"hint: the project directory has no pipeline [{index}]: `headrace export`" in err) == (0, True), err


async def test_a_pipeline_that_there_is_not_is_not_waited_for(through: Http, index: str, run: Any):
    code, _, err = await run("tail", "--pipeline", f"{index}x", "--duration", "60s")
    assert (code, f"there is no pipeline [{index}x]" in err, f"hint: did you mean [{index}]?" in err) == (1, True, True)
    code, _, err = await run("tail", "--pipeline", "no-such-*", "--duration", "1s")
    assert code == 0, err


async def test_a_query_becomes_a_case(
    through: Http, name: str, run: Any, opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    body = {"type": "query", "stages": [native("f", "filter_query", query={"term": {"b": 3}})]}
    assert (await through.put(f"/_pipeline/{name}", body)).status == 201
    await through.index(name, query=name)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "headrace.toml").write_text("")
    (tmp_path / "pipelines" / f"{name}.json").write_text(json.dumps(body))
    monkeypatch.chdir(tmp_path)
    running = asyncio.ensure_future(run("tail", "--pipeline", name, "--limit", "1", "--save", "tests/q.cases.yaml"))
    await wait_for(opened)
    await through.post(f"/{name}/_search", {"query": {"match_all": {}}})
    assert (await running)[0] == 0
    code, out, err = await run("test")
    assert (code, "1 passed" in out) == (0, True), out + err


async def test_a_wrong_selection_and_a_missing_proxy(run: Any):
    code, _, err = await run("tail", "--match", "doc.(")
    assert (code, "(match)" in err) == (1, True)
    assert (await run("tail", "--url", "http://127.0.0.1:1"))[0] == 5


async def test_both_clients_read_taps(through: Http, index: str, opened: list[Any]):
    def blocking() -> list[dict[str, Any]]:
        with Client(through.base) as client:
            return list(client.tap(index=index, limit=1))

    (record, end) = await during(through, index, asyncio.to_thread(blocking), opened)
    assert (record["outcome"], end["end"]) == ("changed", "limit")
    async with AsyncClient(through.base) as client:

        async def read() -> list[dict[str, Any]]:
            return [each async for each in client.tap({"index": index}, outcome=["failed"], limit=1)]

        (record, end) = await during(through, index, read(), opened)
        assert (record["error"]["reason"], end["shown"]) == ("no warn", 1)
        with pytest.raises(ClientError, match="11m"):
            _ = [each async for each in client.tap(duration="11m")]


async def test_lines_of_a_udf_are_printed_and_followed(through: Http, name: str, run: Any):
    code = "def process(doc, params):\n    print('saw', doc['n'])\n    return doc\n"
    assert (await through.put(f"/_udf/{name}", code, headers={"Content-Type": "text/x-python"})).status == 201
    await through.pipeline(name, "document", {"name": "s", "type": "python", "config": {"udf_name": name}})
    for n in range(3):
        await through.put(f"/{name}/_doc/{n}?pipeline={name}", {"n": n})
    status, out, err = await run("udf", "logs", name, "-n", "2")
    assert status == 0, err
    assert [line.split("] ")[1] for line in out.splitlines()] == ["saw 1", "saw 2"]
    assert f"{name}@1/s [0]" in out
