"""The data plane in a process of its own does with documents what the proxy does: the same bytes end in the index."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from headrace_pipelines import Pipelines
from tests.conftest import NDJSON, Http, native, ndjson, wasm
from tests.support import wat

PYTHON = """
def process(doc):
    if doc.get("n", 0) % 7 == 3:
        return False
    if doc.get("n", 0) % 11 == 5:
        raise ValueError("no elevens")
    if doc.get("n", 0) % 13 == 6:
        return [doc, {**doc, "copy": True}]
    doc["seen"] = len(doc)
    return doc
"""
JAVASCRIPT = """
export default function process(doc) {
  if (doc.n % 5 === 2) return false;
  if (doc.n % 17 === 4) throw new Error("no");
  doc.twice = doc.n * 2;
  return doc;
}
"""
WAT = wat.field_udf(
    "(if (call $has (local.get $ctx) (i32.const 0) (i32.const 3)) (then unreachable)) (i32.const 1)",
    imports='(import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))',
    data='(data (i32.const 0) "bad")',
)
HANDLED = native("h", "set", field="handled", value=True)
STAGES: dict[str, list[dict[str, Any]]] = {
    "native": [native("s", "set", field="a.b", value="{{n}}"), native("d", "drop") | {"if": "doc.n > 90"}],
    "fails": [
        native("f", "fail", message="no") | {"if": "doc.n > 50", "on_failure": [HANDLED]},
        native("u", "uppercase", field="level"),
    ],
    "moves": [native("m", "set", field="_index", value="{index}-moved") | {"if": "doc.n > 80"}],
    "python": [{"name": "p", "type": "python", "config": {"udf_name": "{name}-py"}}],
    "javascript": [{"name": "j", "type": "javascript", "config": {"udf_name": "{name}-js"}}],
    "wasm": [wasm("w", "{name}-wat")],
    "composite": [{"name": "c", "type": "composite", "config": {"pipeline": "{name}-inner"}}],
}


def drawn(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 6:
        return (
            rng.randrange(-(2**60), 2**60),
            rng.random() * 10**9,
            'é\U0001f600\n"\\' * rng.randrange(3),
            None,
            True,
            "",
        )[kind]
    if kind == 6:
        return [drawn(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {f"k{depth}{kind}{n}": drawn(rng, depth + 1) for n in range(rng.randrange(4))}


def filled(value: Any, **names: str) -> Any:
    text = json.dumps(value)
    for key, name in names.items():
        text = text.replace("{" + key + "}", name)
    return json.loads(text)


async def created(direct: Http, index: str) -> None:
    """Makes the indexes, which take any value in `x`."""
    for each in (index, f"{index}-moved"):
        mappings = {
            "properties": {
                "x": {"type": "object", "enabled": False},
                "a": {"type": "object", "enabled": False},
                "level": {"type": "keyword"},
            }
        }
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        assert (await direct.put(f"/{each}", {"mappings": mappings, "settings": settings})).status == 200


async def sources(direct: Http, pattern: str) -> list[tuple[str, bytes]]:
    """The stored text of all documents, in the order of their text: an id may be the cluster's own."""
    await direct.post(f"/{pattern}/_refresh")
    hits = (await direct.post(f"/{pattern}/_search?size=1000&allow_no_indices=true", {})).json["hits"]["hits"]
    found = await asyncio.gather(*(direct.get(f"/{hit['_index']}/_source/{hit['_id']}") for hit in hits))
    return sorted((hit["_index"].rpartition("-")[2], answer.body) for hit, answer in zip(hits, found, strict=True))


@pytest.mark.parametrize("kind", STAGES)
async def test_the_same_bytes_for_each_kind_of_stage(through: Http, direct: Http, name: str, kind: str):
    index = f"{name}-x"
    await created(direct, index)
    stages = filled(STAGES[kind], name=name, index=index)
    udfs = {
        f"{name}-py": {"language": "python", "source": PYTHON},
        f"{name}-js": {"language": "javascript", "source": JAVASCRIPT},
        f"{name}-wat": {"language": "wat", "source": WAT},
    }
    used = {udf: body for udf, body in udfs.items() if udf in json.dumps(stages)}
    for udf, body in used.items():
        assert (await through.put(f"/_udf/{udf}", body)).status == 201
    definitions = (
        {f"{name}-inner": {"type": "document", "stages": [native("i", "set", field="i", value=1)]}}
        if kind == "composite"
        else {}
    )
    definitions[name] = {"type": "document", "stages": stages}
    for each, definition in definitions.items():
        assert (await through.put(f"/_pipeline/{each}", definition)).status == 201
    lines: list[Any] = []
    for n in range(60):
        document = {"x": drawn(random.Random(n))}
        lines += [
            {"index": {"_id": str(n)} if n % 13 != 6 else {}},
            {**document, "n": n, "level": "Warn" if n % 3 else 7, **({"bad": 1} if n % 9 == 4 else {})},
        ]
    body = ndjson(*lines, {"delete": {"_id": "1"}})
    proxied = (await through.post(f"/{index}/_bulk?pipeline={name}", body, headers=NDJSON)).json
    stored = await sources(direct, f"{name}-x*")
    await direct.delete(f"/{index},{index}-moved?ignore_unavailable=true")
    await created(direct, index)
    outcome = Pipelines.load(definitions, used).run_bulk(name, body, index=index)
    if outcome.body:
        await direct.post(f"/{index}/_bulk", bytes(outcome.body), headers=NDJSON)
    assert await sources(direct, f"{name}-x*") == stored
    statuses = [next(iter(item.values())) for item in proxied["items"]]
    failed = [i for i, item in enumerate(statuses) if "error" in item]
    assert {failure.position for failure in outcome.failures} == set(failed)
    assert {(f.status, f.type) for f in outcome.failures} == {
        (statuses[i]["status"], statuses[i]["error"]["type"]) for i in failed
    }
    assert [i for i, state in enumerate(outcome.states) if state == "dropped"] == [
        i for i, item in enumerate(statuses) if item.get("result") == "noop"
    ]
    await direct.delete(f"/{index},{index}-moved?ignore_unavailable=true")
