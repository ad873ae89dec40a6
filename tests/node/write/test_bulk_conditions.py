"""Document pipelines on `_bulk`, `_doc` and `_create`, in front of a real node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Http, native, wasm
from tests.node.write.test_documents import LOWER, SET, source
from tests.support import wat


async def test_what_meets_no_condition_is_the_cluster_s_to_judge(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", native("out", "drop") | {"if": "doc.level == 'XX'"})
    await through.index(name, document=name)
    lines = [{"index": {"_index": name, "_id": "1"}}, '{"level":', {"create": {"_index": name, "_id": "2"}}, {"n": 1}]
    ours, theirs = [(await http.bulk(*lines)).json for http in (through, direct)]
    assert ours["items"][0]["index"]["error"] == theirs["items"][0]["index"]["error"]
    assert ours["items"][1]["create"]["status"] == 201
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert stats["skips"] == 2


@pytest.mark.parametrize("target", ["PUT {}/_doc/1", "POST {}/_doc", "PUT {}/_create/1", "POST {}/_update/1"])
async def test_a_write_without_a_body_is_refused_in_the_cluster_s_words(
    through: Http, direct: Http, name: str, target: str
):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    method, _, path = target.format(f"/{name}").partition(" ")
    mine, theirs = [await http(method, path) for http in (through, direct)]
    assert (mine.status, mine.json) == (theirs.status, theirs.json)
    assert mine.status == 400


async def test_a_policy_of_continue_keeps_the_input(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", LOWER, SET, on_failure="continue")
    await through.index(name, document=name)
    answer = await through.bulk({"index": {"_index": name, "_id": "1"}}, {"level": 5})
    assert answer.json["errors"] is False
    assert await source(direct, name, "1") == {"level": 5, "env": "prod"}
    assert answer.headers["X-Pipeline"] == f"document={name}@1;skipped=level"


async def test_disabled_stages_and_pipelines_let_documents_pass(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", {**SET, "enabled": False}, LOWER)
    await through.index(name, document=name)
    await through.bulk({"index": {"_index": name, "_id": "1"}}, {"level": "X"})
    assert await source(direct, name, "1") == {"level": "x"}
    await through.pipeline(name, "document", SET, LOWER, enabled=False)
    await through.bulk({"index": {"_index": name, "_id": "2"}}, {"level": "X"})
    assert await source(direct, name, "2") == {"level": "X"}


async def test_composites_by_value_and_by_name(through: Http, direct: Http, name: str):
    await through.pipeline(f"{name}-inner", "document", LOWER)
    nested = {"name": "both", "type": "composite", "config": {"stages": [SET, native("x", "set", field="x", value=1)]}}
    named = {"name": "inner", "type": "composite", "config": {"pipeline": f"{name}-inner"}}
    await through.pipeline(name, "document", nested, named)
    await through.index(name, document=name)
    await through.bulk({"index": {"_index": name, "_id": "1"}}, {"level": "UP"})
    assert await source(direct, name, "1") == {"level": "up", "env": "prod", "x": 1}
    bad = await through.bulk({"index": {"_index": name, "_id": "2"}}, {"level": 1})
    assert bad.json["items"][0]["index"]["error"]["stage"] == "inner/level"


async def test_parameters_are_each_stage_s_own(through: Http, direct: Http, name: str):
    await through.udf(name, wat.PARAMETER)
    for tag in ("one", "two"):
        await through.pipeline(f"{name}-{tag}", "document", wasm("p", name, tag=tag))
        await through.index(f"{name}-{tag}", document=f"{name}-{tag}")
    lines: list[Any] = []
    for i in range(200):
        lines += [{"index": {"_index": f"{name}-{'one' if i % 2 else 'two'}", "_id": str(i)}}, {"i": i}]
    assert (await through.bulk(*lines)).json["errors"] is False
    for tag in ("one", "two"):
        hits = (await direct.post(f"/{name}-{tag}/_search", {"size": 200})).json["hits"]["hits"]
        assert {hit["_source"]["p"] for hit in hits} == {tag}
        assert len(hits) == 100


async def test_the_registry_index_is_not_written_through_the_data_paths(
    through: Http, direct: Http, settings, name: str
):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    answer = await through.bulk(
        {"index": {"_index": settings.registry_index, "_id": "1"}}, {"a": 1}, {"index": {"_index": name}}, {"a": 1}
    )
    assert [i["index"]["status"] for i in answer.json["items"]] == [403, 201]
    for method, target in (("GET", "_search"), ("PUT", "_doc/1"), ("DELETE", "")):
        refused = await through(method, f"/{settings.registry_index}/{target}".rstrip("/"), {"a": 1})
        assert refused.status == 403, (method, target)
        assert refused.error["type"] == "security_exception"
    registry = settings.registry_index
    for wildcard in (f"{registry[:-3]}*", f"{registry[:-3]}*,{name}-none*"):
        assert (await through.delete(f"/{wildcard}?expand_wildcards=all")).status == 200
        assert (await through.post(f"/{wildcard}/_close?expand_wildcards=all")).status == 200
    assert (await direct("HEAD", f"/{registry}")).status == 200, "a wildcard passes it by"
    assert (await direct.get(f"/{registry}/_search")).json["hits"]["total"]["value"] > 1


async def test_pretty_is_honoured(through: Http, name: str):
    await through.pipeline(name, "document", native("d", "drop"))
    await through.index(name, document=name)
    answer = await through.bulk({"index": {"_index": name}}, {"a": 1}, target="/_bulk?pretty")
    assert b"\n  " in answer.body
    assert json.loads(answer.body)["items"][0]["index"]["result"] == "noop"


async def test_a_bulk_that_no_condition_concerns_is_counted_and_goes_on_as_it_came(through: Http, name: str):
    await through.pipeline(name, "document", *(each | {"if": "doc.level == 'NONE'"} for each in (SET, LOWER)))
    await through.index(name, document=name)
    lines = [line for i in range(3) for line in ({"index": {"_index": name, "_id": str(i)}}, {"level": "INFO"})]
    answer = await through.bulk(*lines)
    assert (answer.json["errors"], answer.headers["X-Pipeline"]) == (False, f"document={name}@1")
    assert await source(through, name, "2") == {"level": "INFO"}
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    (found,) = stats["pipelines"].values() if "pipelines" in stats else (stats,)
    assert (found["documents_in"], found["documents_out"]) == (3, 3), found
    assert [(stage["name"], stage["skips"]) for stage in found["stage_stats"]] == [("env", 3), ("level", 3)]
    # One that is concerned has all of them looked at.
    changed = await through.bulk(*lines, {"index": {"_index": name, "_id": "3"}}, {"level": "NONE"})
    assert changed.json["errors"] is False
    assert await source(through, name, "3") == {"level": "none", "env": "prod"}
