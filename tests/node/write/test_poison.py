"""Stored documents that nobody can read: each is its own failure, never that of a search that finds it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import native, wasm
from tests.support.wat import ECHO

if TYPE_CHECKING:
    from tests.conftest import Http

POISON = {
    "utf16": '{"s":"x\\"y"}'.encode("utf-16-le"),
    "utf32": '{"s":"x"}'.encode("utf-32-le"),
    "bom": b'\xef\xbb\xbf{"s":"x"}',
    "comment": b'{/* " { */"s":"x"}',
    "line comment": b'{"s":"x" // " {\n}',
    "overlong": b'{"s":"\xc0\xaf"}',
    "lone surrogate": b'{"s":"\\ud800"}',
    "deep": b'{"s":"x","a":' + b"[" * 900 + b"]" * 900 + b"}",
}
MASK = native("m", "mask", fields="s")


@pytest.fixture
async def poisoned(direct: Http, name: str) -> str:
    """An index with two documents that can be read, and one of each kind that cannot."""
    await direct.put(f"/{name}", {"mappings": {"enabled": False}})
    for id_, text in {"a": b'{"s":"\\ud83d\\ude00","n":1}', **POISON, "z": b'{"s":"z","n":2}'}.items():
        made = await direct.put(f"/{name}/_doc/{id_.replace(' ', '-')}", text)
        assert made.status == 201, (id_, made.body)
    await direct.post(f"/{name}/_refresh")
    return name


async def use(http: Http, index: str, setting: str, *stages: dict[str, Any], **fields: Any) -> None:
    await http.pipeline(f"{index}-p", "result", *stages, **fields)
    made = await http.put(f"/{index}/_settings", {f"index.result.{setting}": f"{index}-p"})
    assert made.status == 200, made.body


async def found(http: Http, index: str) -> bytes:
    answer = await http.post(f"/{index}/_search?size=50", {})
    assert answer.status == 200, answer.body[:500]
    return answer.body


@pytest.mark.parametrize("setting", ["final_pipeline", "default_pipeline"])
async def test_a_protecting_pipeline_drops_what_it_cannot_read(through: Http, poisoned: str, setting: str):
    await use(through, poisoned, setting, MASK)
    hits = json.loads(await found(through, poisoned))["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == {"a", "z"}
    assert {hit["_source"].get("s", "****") for hit in hits} == {"****"}


async def test_other_pipelines_let_it_by_as_it_is(through: Http, direct: Http, poisoned: str):
    await use(through, poisoned, "default_pipeline", native("r", "rename_field", field="n", target_field="m"))
    body = await found(through, poisoned)
    for text in POISON.values():
        assert text in body
    plain = await found(direct, poisoned)
    assert body.count(b'"_index"') == plain.count(b'"_index"') == len(POISON) + 2
    assert body.count(b'"m":') == 2
    assert body.count(b'"n":') == 0


async def test_a_policy_that_aborts_does_so(through: Http, poisoned: str):
    await use(
        through,
        poisoned,
        "default_pipeline",
        native("r", "rename_field", field="n", target_field="m"),
        on_failure="abort",
    )
    answer = await through.post(f"/{poisoned}/_search", {"size": 50})
    assert answer.status == 400, answer.body
    assert answer.error["type"] == "parse_exception"


async def test_a_udf_sees_a_response_without_it(through: Http, poisoned: str):
    await through.udf(f"{poisoned}-u", ECHO)
    await use(through, poisoned, "final_pipeline", wasm("u", f"{poisoned}-u"))
    hits = json.loads(await found(through, poisoned))["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["a", "z"]


@pytest.mark.parametrize("setting", ["final_pipeline", "default_pipeline"])
async def test_by_id_the_others_are_read(through: Http, poisoned: str, setting: str):
    await use(through, poisoned, setting, MASK)
    ids = ["a", *(name.replace(" ", "-") for name in POISON), "z"]
    for body in ({"ids": ids}, {"docs": [{"_id": id_} for id_ in ids]}):
        answer = await through.post(f"/{poisoned}/_mget", body)
        assert answer.status == 200, answer.body[:500]
        shown = {doc["_id"]: doc.get("_source") for doc in answer.json["docs"] if doc["found"]}
        assert [doc["_id"] for doc in answer.json["docs"]] == ids
        assert shown == {"a": {"s": "****", "n": 1}, "z": {"s": "****", "n": 2}}
        for parts in ("docs._source", "docs._index,docs._id,docs._source", "**.s", "docs.*,-docs.found"):
            answer = await through.post(f"/{poisoned}/_mget?filter_path={parts}", body)
            assert answer.status == 200, answer.body[:500]
            assert [doc["_source"]["s"] for doc in answer.json["docs"] if "_source" in doc] == ["****", "****"]
