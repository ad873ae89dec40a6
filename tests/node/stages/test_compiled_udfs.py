"""Compiled UDFs behind a real bulk: what their manifests grant, and many documents in one call."""

from __future__ import annotations

import time
from typing import Any

from examples import build
from tests.conftest import Http, wasm
from tests.support import wat


async def test_the_manifest_says_whether_clock_and_randomness_are_real(through: Http, name: str):
    seen = {}
    for version, fields in {"1": {}, "2": {"clock": "real", "random": "real"}}.items():
        await through.udf(name, wat.LOOKS, version=version, **fields)
        answer = await through.post(f"/_udf/{name}/_test?version={version}", {"input": {}})
        assert answer.status == 200, answer.body
        seen[version] = answer.json["output"]
    assert seen["1"]["t"] == 1_001_000_000
    assert abs(seen["2"]["t"] / 1e9 - time.time()) < 60
    assert seen["2"]["r"] != seen["1"]["r"]
    kept = await through.get(f"/_udf/{name}?version=2")
    assert (kept.json["clock"], kept.json["random"]) == ("real", "real")


async def test_documents_of_a_bulk_share_a_call_where_the_udf_takes_many(through: Http, direct: Http, name: str):
    await through.udf(name, build.module("mask_email.c"))
    await through.pipeline(name, "document", wasm("u", name))
    await through.index(name, document=name)
    texts = ["ada@example.org", "nobody", "Bob <bob@example.net>, eve@example.com", "äöü@example.org"]
    lines: list[Any] = []
    for n, text in enumerate(texts):
        lines += [{"index": {"_index": name, "_id": str(n)}}, {"m": text}]
    lines[7] = '{"m": broken'
    answer = await through.bulk(*lines)
    assert [item["index"]["status"] for item in answer.json["items"]] == [201, 201, 201, 400]
    found = [(await direct.get(f"/{name}/_source/{n}")).json["m"] for n in range(3)]
    assert found == ["***@example.org", "nobody", "Bob <***@example.net>, ***@example.com"]
    alone = await through.put(f"/{name}/_doc/9?refresh=true", {"m": texts[0]})
    assert alone.status == 201
    assert (await direct.get(f"/{name}/_source/9")).json["m"] == "***@example.org"
