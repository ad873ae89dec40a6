"""Shadows of candidates that do harm, of versions that depend on chance, and under more traffic than they compare."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.conftest import NDJSON, Http, native, ndjson, wasm
from tests.node.rollouts.shadows import begin, rollout, settled, two_versions
from tests.support import wat

SET = native("set", "set", field="x", value=1)
CHANCE = """
import random
def process(doc, params):
    doc["random"] = random.random()
    doc["x"] = params["x"]
    return doc
"""


def python(name: str, udf: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "type": "python", "config": {"udf_name": udf, "parameters": parameters}}


async def write(http: Http, index: str, first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    """Documents in one bulk; gives its items without what the cluster alone knows."""
    lines = [part for n in range(first, first + count) for part in ({"index": {"_id": str(n)}}, {"n": n, **more})]
    answer = await http.post(f"/{index}/_bulk", ndjson(*lines), headers=NDJSON)
    assert answer.status == 200, answer.body
    return [{name: item["index"].get(name) for name in ("_id", "status", "result")} for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("code", "verdict"), [(wat.LOOP, "only_candidate_failed"), (wat.TRAP, "only_candidate_failed")]
)
async def test_a_candidate_that_never_ends_or_traps_does_no_harm(through: Http, name: str, code: str, verdict: str):
    await through.udf(name, code)
    await two_versions(through, name, "document", [SET], [SET, wasm("bad", name)])
    await through.index(name, document=name)
    await write(through, name, 0, 10)
    await begin(through, name)
    slowest = 0.0
    for first in range(100):
        started = time.monotonic()
        items = await write(through, name, first * 10, 10)
        slowest = max(slowest, time.monotonic() - started)
        assert {item["status"] for item in items} <= {200, 201}
    assert slowest < 2.0
    async with asyncio.timeout(20):
        while (found := (await rollout(through, name))["shadow"])[verdict] < 5:
            await asyncio.sleep(0.1)
    assert (found["same"], found["different"], found["unstable"]) == (0, 0, 0)
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert b'"version":"2"' not in json.dumps(stats, separators=(",", ":")).encode() or _counted(stats) == 0


def _counted(stats: Any) -> int:
    if isinstance(stats, dict):
        own = stats.get("documents", 0) if stats.get("version") == "2" else 0
        return own + sum(_counted(value) for value in stats.values())
    return sum(map(_counted, stats)) if isinstance(stats, list) else 0


async def test_what_depends_on_chance_is_no_fault_of_the_candidate(through: Http, name: str):
    upload = {"language": "python", "source": CHANCE}
    assert (await through.put(f"/_udf/{name}", upload)).status == 201
    await two_versions(through, name, "document", [python("c", name, x=1)], [python("c", name, x=2)])
    await through.index(name, document=name)
    await begin(through, name)
    await write(through, name, 0, 16)
    found = await settled(through, name, 16)
    assert (found["different"], found["unstable"], found["same"]) == (16, 0, 0)
    assert found["paths"] == [{"path": "x", "kind": "changed", "count": 16}]
    await begin(through, name, ignore=["x"])
    await write(through, name, 100, 16)
    found = await settled(through, name, 16)
    assert (found["different"], found["unstable"], found["same"], found["paths"]) == (0, 16, 0, [])


async def test_traffic_is_the_same_with_and_without_a_shadow(through: Http, name: str):
    stages = [
        SET,
        {**native("drop", "drop"), "if": "doc.n == 3"},
        {**native("f", "fail", message="m"), "if": "doc.n == 4"},
    ]
    await two_versions(through, name, "document", stages, [native("other", "set", field="y", value=[1])])
    for suffix in ("off", "on"):
        await through.index(f"{name}-{suffix}", document=name)
    before = await write(through, f"{name}-off", 0, 300, f=1.50, t="é")
    await begin(through, name)
    after = await write(through, f"{name}-on", 0, 300, f=1.50, t="é")
    assert before == after

    async def stored(index: str) -> dict[str, bytes]:
        await through.post(f"/{index}/_refresh")
        found = {}
        for n in range(300):
            found[str(n)] = (await through.get(f"/{index}/_source/{n}")).body.replace(index.encode(), b"")
        return found

    assert await stored(f"{name}-off") == await stored(f"{name}-on")
    found = await settled(through, name, 300)
    assert (found["different"], found["only_stable_dropped"], found["only_stable_failed"]) == (298, 1, 1)
    single = {"off": b"", "on": b""}
    for suffix in single:
        answer = await through.put(f"/{name}-{suffix}/_doc/s?refresh=true", {"n": 9})
        single[suffix] = answer.body.replace(f"{name}-{suffix}".encode(), b"")
        assert answer.headers["X-Pipeline"] == f"document={name}@1"
    assert single["off"] == single["on"]


async def test_a_flood_is_counted_and_not_kept(through: Http, name: str):
    await through.udf(name, wat.LOOP)
    await two_versions(through, name, "document", [SET], [wasm("slow", name)])
    await through.index(name, document=name)
    await begin(through, name)
    filler, sent, most = "x" * 20_000, 0, 0
    for first in range(0, 1600, 100):
        await write(through, name, first, 100, t=filler)
        sent += 100
        most = max(most, (await rollout(through, name))["shadow"]["waiting"])
    found = (await rollout(through, name))["shadow"]
    assert found["seen"] == sent
    assert found["missed"] > 0
    # Each input is kept with what stable made of it, of 16 MiB in all and the last batch.
    assert most > 100
    assert most * 2 * 20_000 <= (16 << 20) + 256 * 2 * 20_100
    assert found["only_candidate_failed"] + found["missed"] + found["waiting"] == sent
    assert found["sampled"] == round(found["only_candidate_failed"] / sent, 4)
