"""Final document pipelines on every text that reaches an index: what gets past them, and what has to work as before."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NDJSON, native, running_proxy, settings_for
from tests.node.hostile_writes import DOCUMENT, SEED, SPELLINGS, Way, ways

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.conftest import Http

MAPPING = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {"properties": {"level": {"type": "keyword"}, "mark": {"type": "keyword"}, "text": {"enabled": False}}},
}
MARK = native("mark", "set", field="mark", value="final")
FINALS = {"every": [MARK], "some": [MARK | {"if": "doc.level == 'secret'"}]}
PAST = {
    "every": {"bool": {"must_not": {"term": {"mark": "final"}}}},
    "some": {"bool": {"must": {"term": {"level": "secret"}}, "must_not": {"term": {"mark": "final"}}}},
}
"""What finds documents that a final pipeline has not had, as the cluster understands them."""


async def prepare(through: Http, direct: Http, index: str, final: str) -> None:
    """An index with a final pipeline and a document in it, one without beside it."""
    await through.pipeline(f"{index}-p", "document", *FINALS[final])
    settings = MAPPING["settings"] | {"index.document.final_pipeline": f"{index}-p"}
    made = await through.put(f"/{index}", MAPPING | {"settings": settings, "aliases": {f"{index}-alias": {}}})
    assert made.status == 200, made.body
    for plain in (f"{index}-free", f"{index}-free2"):
        assert (await through.put(f"/{plain}", MAPPING)).status == 200
    await direct.put(f"/{index}/_doc/{SEED}", {"level": "public", "mark": "final", "text": "x"})
    await direct.put(f"/{index}-free/_doc/1?refresh=true", DOCUMENT)


async def send(through: Http, way: Way, index: str) -> int:
    path = way.path.replace("{i}", index)
    escaped = f"{ord(index[0]):02x}{index[1:]}".encode()
    body = way.body.replace(b"\0i", index.encode()).replace(b"\0x", escaped)
    return (await through(way.method, path, body, headers=way.headers)).status


@pytest.mark.timeout(900)
@pytest.mark.parametrize("final", FINALS)
async def test_no_text_gets_past_a_final_document_pipeline(through: Http, direct: Http, name: str, final: str):
    await prepare(through, direct, name, final)
    past: list[str] = []
    every = list(ways())
    assert len(every) > 500
    taken = 0
    for way in every:
        status = await send(through, way, name)
        taken += status < 300
        assert status < 500 or status == 501, (way, status)
        await direct.post(f"/{name}/_refresh")
        found = (await direct.post(f"/{name}/_count", {"query": PAST[final]})).json["count"]
        if found:
            past.append(f"{way.title}: {status}")
            await direct.post(f"/{name}/_delete_by_query?refresh=true", {"query": PAST[final]})
            await direct.put(f"/{name}/_doc/{SEED}", {"level": "public", "mark": "final", "text": "x"})
    assert not past, f"{len(past)} of {len(every)}: " + "\n".join(past[:40])
    assert taken > 200, "most of what is well spelled is written"


@pytest.mark.parametrize("final", FINALS)
async def test_the_same_ways_get_past_without_it(through: Http, direct: Http, name: str, final: str):
    """So that the ways above are some: without the pipeline many of them leave a document that it would have changed."""
    for index in (name, f"{name}-free", f"{name}-free2"):
        await direct.put(f"/{index}", MAPPING)
    past = 0
    for way in list(ways())[::7]:
        await send(direct, way, name)
        await direct.post(f"/{name}/_refresh")
        past += (await direct.post(f"/{name}/_count", {"query": PAST[final]})).json.get("count", 0)
        await direct.post(f"/{name}/_delete_by_query?refresh=true", {"query": {"match_all": {}}})
    assert past > 25, past
