"""Requests that name pipelines of the cluster pass without a handler where the registry has none of the type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Http, native, ndjson
from tests.node.http.inline.pairs import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INDEX = {"index": {"_index": "INDEX"}}


ROWS = [
    ("document", "POST", "/INDEX/_doc?pipeline=NAME&refresh=true", {"a": 1}),
    ("document", "PUT", "/INDEX/_create/x?pipeline=NAME", {"a": 1}),
    ("document", "POST", "/_bulk?pipeline=NAME&refresh=true", ndjson(INDEX, {"a": 1})),
    ("document", "POST", "/INDEX/_doc?pipeline=_none&refresh=true", {"a": 1}),
    ("document", "POST", "/INDEX/_doc?pipeline=absent", {"a": 1}),
    ("result", "POST", "/INDEX/_search?search_pipeline=NAME", {"size": 1}),
    ("result", "POST", "/INDEX/_search?search_pipeline=_none", {"size": 1}),
    ("result", "POST", "/INDEX/_search?search_pipeline=absent", {"size": 1}),
]
"""Requests by the type of pipeline of ours that they might name."""
STAGES = {"document": native("s", "set", field="b", value=1), "result": native("t", "truncate_hits", target_size=1)}


@pytest.fixture
async def pipelines(direct: Http, name: str) -> AsyncIterator[None]:
    """An ingest pipeline and a search pipeline of the cluster."""
    rename = {"rename_field": {"field": "env", "target_field": "place"}}
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": [{"set": {"field": "env", "value": "prod"}}]})
    await direct.put(f"/_search/pipeline/{name}", {"response_processors": [rename]})
    yield
    for kind in ("_ingest", "_search"):
        await direct.delete(f"/{kind}/pipeline/{name}")


@pytest.mark.usefixtures("pipelines")
@pytest.mark.parametrize("ours", list(STAGES))
async def test_pipelines_of_the_cluster(through: Http, direct: Http, name: str, taken: list[str], ours: str):
    await through.pipeline("p", ours, STAGES[ours])
    for kind, method, target, body in ROWS:
        taken.clear()
        answers: list[Any] = []
        for http, index in ((direct, f"{name}-node"), (through, f"{name}-passed")):
            sent = body.replace(b"INDEX", index.encode()) if isinstance(body, bytes) else body
            type_ = {"Content-Type": "application/x-ndjson"} if isinstance(body, bytes) else {}
            there = target.replace("INDEX", index).replace("NAME", name)
            answers.append(shown(await http(method, there, sent, type_), index))
        assert answers[0] == answers[1], target
        assert len(taken) == (kind != ours), target
    found = (await direct.get(f"/{name}-passed/_search?q=env:prod")).json["hits"]["total"]["value"]
    assert found == 3
