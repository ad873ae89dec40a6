"""`/_cat/pipelines` and `/_cat/udfs`, with the parameters of the cluster's tables; our endpoints in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from headrace.handlers.admin import cat
from tests.conftest import native

if TYPE_CHECKING:
    from tests.conftest import Http

TRIM = native("t", "trim", field="a")


@pytest.fixture
async def filled(through: Http) -> Http:
    """Three pipelines, of which one has ten versions and is attached, and a UDF."""
    for name in ("b", "a-long-name"):
        await through.pipeline(name, "document", TRIM)
    await through.pipeline(
        "q",
        "query",
        native("o", "oversample", sample_factor=2),
        native("p", "oversample", sample_factor=2),
        enabled=False,
    )
    for n in range(2, 11):
        await through.pipeline("b", "document", TRIM, description=str(n))
    assert (await through.put("/_pipeline/_association/tables-*", {"document": "b"})).status == 201
    assert (
        await through.put("/_udf/u", {"language": "python", "source": "def process(d):\n    return d\n"})
    ).status == 201
    return through


async def lines(http: Http, target: str) -> list[str]:
    answer = await http.get(target)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    return answer.body.decode().splitlines()


async def test_columns_a_heading_and_an_order(filled):
    assert await lines(filled, "/_cat/pipelines?v&h=name,stages,version,attached&s=name") == [
        "name        stages version attached",
        "a-long-name      1 1              0",
        "b                1 10             1",
        "q                2 1              0",
    ]
    assert await lines(filled, "/_cat/pipelines?h=name&s=type:desc,name:desc") == ["q", "b", "a-long-name"]
    assert (await lines(filled, "/_cat/pipelines?s=name"))[2].split()[:5] == ["q", "query", "1", "false", "2"]
    assert await lines(filled, "/_cat/udfs?h=name,version,language,abi,versions") == ["u 1 python python 1"]


async def test_the_cluster_writes_tables_in_the_same_way(filled, direct, name):
    for index in (f"{name}-b", f"{name}-a-long-name"):
        await direct.put(f"/{index}", {"settings": {"number_of_replicas": 0}})
    theirs = await direct.get(f"/_cat/indices/{name}*?v&h=index,rep&s=index")
    cells = [["index", "rep"], [f"{name}-a-long-name", "0"], [f"{name}-b", "0"]]
    assert theirs.body.decode() == cat._aligned(cells, [False, True])
    theirs = await direct.get(f"/_cat/indices/{name}*?v&h=rep,index&s=index")
    assert theirs.body.decode() == cat._aligned([[right, left] for left, right in cells], [True, False])
    ours = await filled.get("/_cat/pipelines?v")
    assert theirs.headers["Content-Type"] == ours.headers["Content-Type"]


async def test_values_in_json_and_yaml(filled):
    answer = await filled.get("/_cat/pipelines?format=json&h=name,version&s=name")
    assert answer.json == [
        {"name": "a-long-name", "version": "1"},
        {"name": "b", "version": "10"},
        {"name": "q", "version": "1"},
    ]
    answer = await filled.get("/_cat/udfs?format=yaml&h=name,managed_by")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(answer.body) == [{"name": "u", "managed_by": None}]
    answer = await filled.get("/_cat/udfs?h=name", headers={"Accept": "application/json"})
    assert answer.json == [{"name": "u"}]


async def test_help_and_unknown_columns(filled):
    assert (await lines(filled, "/_cat/udfs?help"))[0].split(" | ")[0].strip() == "name"
    for parameter in ("h=nam", "s=nam", "s=name:up"):
        answer = await filled.get(f"/_cat/pipelines?{parameter}")
        assert answer.status == 400
        assert answer.error["field"] == parameter[0]


async def test_an_empty_table(through):
    assert await lines(through, "/_cat/pipelines") == []
    assert len(await lines(through, "/_cat/pipelines?v")) == 1
    assert (await through.get("/_cat/udfs?format=json")).json == []


async def test_a_pipeline_in_yaml_there_and_back(through):
    text = b"type: document\nstages:\n- {name: t, type: native, config: {function: trim, parameters: {field: a}}}\n"
    media = {"Content-Type": "application/yaml"}
    answer = await through.put("/_pipeline/y", text, headers=media)
    assert answer.status == 201, answer.body
    assert answer.headers["Content-Type"] == "application/yaml"
    shown = await through.get("/_pipeline/y?format=yaml")
    assert yaml.safe_load(shown.body)["stages"][0]["config"]["function"] == "trim"
    tried = await through.post(
        "/_pipeline/y/_execute", b"input: {a: ' x '}\n", headers={**media, "Accept": "application/json"}
    )
    assert tried.json["output"] == {"a": "x"}
    assert (await through.put("/_pipeline/y", b"type: [", headers=media)).status == 400
