"""The lines that UDFs log: kept, merged over workers, followed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.conftest import Http
from tests.node.security.test_workers import on_new_connection
from tests.node.watching.test_tap_load import two_workers

CODE = """
def process(doc, params):
    print("saw", doc["n"])
    return doc
"""


async def make(http: Http, name: str) -> None:
    assert (await http.put(f"/_udf/{name}", CODE, headers={"Content-Type": "text/x-python"})).status == 201
    await http.pipeline(name, "document", {"name": "s", "type": "python", "config": {"udf_name": name}})


async def test_the_last_lines_of_all_workers_by_time(node: str, direct: Http, name: str, tmp_path: Path, session):
    async with two_workers(node, name, tmp_path) as proxy:
        http = Http(proxy.url, session)
        await make(http, name)
        for n in range(20):
            await on_new_connection(proxy.url, "PUT", f"/{name}/_doc/{n}?pipeline={name}", {"n": n})
        for _ in range(4):
            status, found = await on_new_connection(proxy.url, "GET", f"/_udf/{name}/_logs")
            assert status == 200
            assert [line["text"] for line in found["lines"]] == [f"saw {n}" for n in range(20)]
        line = found["lines"][0]
        assert (line["version"], line["pipeline"], line["stage"]) == ("1", f"{name}@1", "s")
        _, few = await on_new_connection(proxy.url, "GET", f"/_udf/{name}/_logs?lines=3")
        assert [line["text"] for line in few["lines"]] == ["saw 17", "saw 18", "saw 19"]
    await direct.delete(f"/.headrace-test-{name}")


async def test_lines_are_followed_and_second_runs_log_none(through: Http, name: str):
    await make(through, name)
    await through.put(f"/{name}/_doc/0?pipeline={name}", {"n": 0})
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{through.base}/_udf/{name}/_logs?follow=true&lines=1") as answer,
    ):
        assert json.loads(await answer.content.readline())["text"] == "saw 0"
        await through.put(f"/{name}/_doc/1?pipeline={name}&explain_pipelines=true", {"n": 1})
        assert json.loads(await answer.content.readline())["text"] == "saw 1"
        answer.close()
    await asyncio.sleep(0.4)
    found = (await through.get(f"/_udf/{name}/_logs")).json
    assert [line["text"] for line in found["lines"]] == ["saw 0", "saw 1"]


async def test_no_more_than_the_last_two_hundred_are_kept(through: Http, name: str):
    await make(through, name)
    # The engine keeps some lines of each run.
    for first in range(0, 300, 50):
        lines = [part for n in range(first, first + 50) for part in ({"index": {"_index": name}}, {"n": n})]
        await through.bulk(*lines, target=f"/_bulk?pipeline={name}")
    found = (await through.get(f"/_udf/{name}/_logs")).json["lines"]
    assert [line["text"] for line in found] == [f"saw {n}" for n in range(100, 300)]
    assert (await through.get(f"/_udf/{name}/_logs?lines=201")).status == 400
    assert (await through.get(f"/_udf/{name}-missing/_logs")).status == 404
