"""An export of a set applies as the set did.

`HEADRACE_SETS=100` runs the long form of the sample.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from tests.conftest import Http, native, running_proxy, settings_for
from tests.node.registry.sets.test_sets import actions, applied, body, pipeline, python, setting, shout
from tests.support import wat

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp


SETS = int(os.environ.get("HEADRACE_SETS", "8"))


def drawn(chance: random.Random, name: str) -> dict[str, Any]:
    """A set at random: UDFs, pipelines that name them and each other, with and without versions, associations."""
    udfs: list[dict[str, Any]] = []
    for i in range(chance.randint(0, 3)):
        code = {"language": "wat", "source": wat.answering(f'{{"v":{chance.randint(1, 9)}}}')}
        if chance.random() < 0.3:
            code = shout(chance.choice(["upper", "lower"]))
        version = {"version": f"{chance.randint(1, 9)}.0"} if chance.random() < 0.3 else {}
        udfs.append({**code, **version, "name": f"{name}-u{i}", "tags": chance.sample(["a", "b", "c"], 2)})
    pipelines: list[dict[str, Any]] = []
    for i in range(chance.randint(1, 6)):
        kind = chance.choice(["document", "document", "query", "result"])
        stages: list[dict[str, Any]] = []
        if kind == "document":
            stages.append(setting(chance.choice([1, "x", 1.5, [1, {"a": None}], "ä"])))
            if udfs:
                pin = {"udf_version": "latest"} if chance.random() < 0.3 else {}
                stages.append(python(chance.choice(udfs)["name"], **pin))
            earlier = [p["name"] for p in pipelines if p["type"] == "document"]
            if earlier and chance.random() < 0.6:
                inner = {"pipeline": chance.choice(earlier)}
                stages.append({"name": "inner", "type": "composite", "config": inner, "on_failure": [setting(0)]})
        elif kind == "query":
            stages.append(native("q", "filter_query", query={"term": {"tenant": f"t{chance.randint(1, 9)}"}}))
        else:
            stages.append(native("m", "mask", fields=[f"f{chance.randint(1, 9)}"]))
        version = {"version": f"v{chance.randint(1, 9)}"} if chance.random() < 0.3 else {}
        extra: dict[str, Any] = chance.choice([{}, {"description": "d"}, {"enabled": False}, {"metadata": {"a": [1]}}])
        pipelines.append(pipeline(f"{name}-p{i}", *stages, kind=kind, **version, **extra))
    chance.shuffle(pipelines)
    associations = {
        f"{name}-{p['name']}-*": {
            "priority": chance.randint(0, 5),
            p["type"]: chance.choice([p["name"], {"final_pipeline": p["name"]}]),
        }
        for p in chance.sample(pipelines, chance.randint(0, len(pipelines)))
    }
    return body("app", *pipelines, udfs=udfs, associations=associations, prune=True)


async def test_what_is_exported_is_what_was_applied(
    through: Http, node: str, tmp_path: Path, session: aiohttp.ClientSession
):
    chance = random.Random(11)
    async with running_proxy(settings_for(node, tmp_path / "other"), session) as elsewhere:
        for number in range(SETS):
            sent = drawn(chance, f"s{number}")
            await applied(through, sent)
            clean = await through.post("/_registry/_diff", sent)
            assert set(actions(clean.json).values()) == {"unchanged"}, clean.json
            first = (await through.get("/_registry/_export?set=app")).json
            revision = first.pop("revision")
            again = await applied(through, {**first, "prune": True, "expected": revision})
            assert (again["revision"], set(actions(again).values())) == (revision, {"unchanged"}), again
            await applied(elsewhere, {**first, "prune": True})
            second = (await elsewhere.get("/_registry/_export?set=app")).json
            assert {**first, "revision": second["revision"]} == second


async def test_an_export_without_a_set_has_what_no_set_has(through: Http, name: str):
    await applied(through, body("one", pipeline("a", setting(1))))
    await through.udf("u", wat.answering('{"v":1}'))
    await through.pipeline("b", "document", python("u"))
    await through.put(f"/_pipeline/_association/{name}-*", {"document": "b"})
    found = (await through.get("/_registry/_export")).json
    assert [p["name"] for p in found["pipelines"]] == ["b"]
    assert found["pipelines"][0]["stages"] == [python("u")], "a pin to what is in force comes back by itself"
    taken = await applied(through, {"set": "two", **found})
    assert {c["action"] for c in taken["changes"]} == {"update"}
    assert all(c["adopted"] for c in taken["changes"])
    assert (await through.get("/_registry/_export")).json == {"udfs": [], "pipelines": [], "associations": {}}
