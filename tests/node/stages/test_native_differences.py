"""Where a built-in does otherwise than the cluster's processor on purpose: the rows of docs/reference/differences.md, both sides of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_pipelines._wasm import Native
from tests.conftest import Http
from tests.node.stages.test_native import simulated
from tests.node.stages.test_native_generated import made

ROWS: list[tuple[str, dict[str, Any], dict[str, Any], Any, Any]] = [
    ("append", {"field": "l", "value": ["x", "x"], "allow_duplicates": False}, {}, {"l": ["x", "x"]}, {"l": ["x"]}),
    (
        "dissect",
        {"field": "a", "pattern": "%{x}|%{y}|k=%{z}"},
        {"a": "||k=v"},
        {"a": "||k=v", "x": "", "y": "", "z": "k=v"},
        {"a": "||k=v", "x": "", "y": "", "z": "v"},
    ),
    ("html_strip", {"field": "a"}, {"a": "a < b and c > d"}, {"a": "a  d"}, {"a": "a < b and c > d"}),
    ("remove", {"exclude_field": "b.c"}, {"a": 1, "b": {"c": 1}}, {}, {"b": {"c": 1}}),
    ("remove", {"exclude_field": "b"}, {"a.a": 1, "b": 1}, "error", {"b": 1}),
    ("json", {"field": "a", "add_to_root": True}, {"a": '{"_version":7}'}, {"a": '{"_version":7}'}, "error"),
    ("set", {"field": "t", "value": "{{l.9}}|{{a.length}}"}, {"a": "xyz", "l": 1}, {"a": "xyz", "l": 1, "t": "|3"}, {"a": "xyz", "l": 1, "t": "|"}),
    ("kv", {"field": "a", "field_split": "&", "value_split": "="}, {"a": "_ingest.x=1"}, {"a": "_ingest.x=1"}, {"a": "_ingest.x=1", "_ingest": {"x": "1"}}),
    ("foreach", {"field": "l", "processor": {"foreach": {"field": "_ingest._value", "processor": {"trim": {"field": "_ingest._value"}}, "on_failure": [{"set": {"field": "t", "value": 1}}]}}}, {"l": ["x"]}, "error", {"l": ["x"], "t": 1}),
    ("convert", {"field": "o", "type": "auto", "target_field": "o.k"}, {"o": {"k": 1}}, "error", {"o": {"k": {"k": 1}}}),
    ("set", {"field": "_version", "value": 1}, {"a": 1}, {"a": 1}, "error"),
    ("dot_expander", {"field": "d.e", "path": "l.0"}, {"l": [{"d.e": 1}]}, "error", {"l": [{"d": {"e": 1}}]}),
    ("json", {"field": "a"}, {"a": "[" * 200 + "]" * 200}, {"a": json.loads("[" * 200 + "]" * 200)}, "error"),
    ("json", {"field": "a"}, {"a": "1e400"}, {"a": "Infinity"}, {"a": float("inf")}),
    ("lowercase", {"field": "a"}, {"a": "X", "_id": "z", "_routing": "r"}, {"a": "x"}, {"a": "x", "_id": "z", "_routing": "r"}),
    ("set", {"field": "l[0]", "value": 1}, {"l": [0]}, {"l": [0], "l[0]": 1}, {"l": [1]}),
]  # fmt: skip


def shown(side: Any) -> Any:
    return "error" if side[0] == "error" else side[1]


@pytest.mark.parametrize(("function", "options", "document", "theirs", "mine"), ROWS, ids=lambda v: json.dumps(v)[:60])
async def test_both_sides_of_a_difference(
    direct: Http, function: str, options: dict[str, Any], document: dict[str, Any], theirs: Any, mine: Any
):
    (cluster,) = await simulated(direct, function, options, [document])
    assert (shown(cluster), shown(made(function, options, document))) == (theirs, mine)


@pytest.mark.parametrize("tag", ["{{#a}}x{{/a}}", "{{=<% %>=}}", "{{.}}", "{{_source}}", "{{!\n}}"])
async def test_more_of_mustache_is_refused_by_name(direct: Http, tag: str):
    options = {"field": "t", "value": tag}
    (cluster,) = await simulated(direct, "set", options, [{"a": 1}])
    assert cluster[0] == "document"
    with pytest.raises(ValueError, match=r"only \{\{field\}\} tags are available"):
        Native("set", "document", json.dumps(options).encode())


@pytest.mark.parametrize("tag", [None, "t1"])
async def test_handlers_are_told_the_innermost_message_and_a_tag_where_there_is_one(
    through: Http, direct: Http, name: str, tag: str | None
):
    told = [f"{{{{_ingest.on_failure_{part}}}}}" for part in ("message", "processor_type", "processor_tag", "pipeline")]
    convert: dict[str, Any] = {"field": "n", "type": "integer"} | ({"tag": tag} if tag else {})
    ingest = {"processors": [{"convert": convert}], "on_failure": [{"set": {"field": "told", "value": told}}]}
    docs = [{"_index": "i", "_id": "1", "_source": {"n": n}} for n in ("x", "0x", 1.5, "5")]
    await direct.put(f"/_ingest/pipeline/{name}", ingest)
    try:
        made = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours"})
        assert made.status == 201, made.body
        theirs = (await direct.post(f"/_ingest/pipeline/{name}/_simulate", {"docs": docs})).json["docs"]
        mine = (await through.post(f"/_pipeline/{name}-ours/_execute", {"docs": docs})).json["docs"]
        assert [d["doc"]["_source"] for d in mine] == [d["doc"]["_source"] for d in theirs]
    finally:
        await direct.delete(f"/_ingest/pipeline/{name}")


async def test_handlers_within_a_foreach_are_imported(through: Http, direct: Http, name: str):
    told = "{{_ingest.on_failure_message}}|{{_ingest.on_failure_processor_tag}}|{{_ingest.on_failure_processor_type}}"
    rename = {"field": "_ingest._value.a", "target_field": "_ingest._value.b", "tag": "t1", "description": "d"}
    inner = [
        {"convert": {"field": "_ingest._value", "type": "long", "ignore_failure": True}},
        {"rename": rename | {"on_failure": [{"set": {"field": "_ingest._value.why", "value": told}}]}},
    ]
    each = [{"foreach": {"field": f"l{n}", "ignore_missing": True, "processor": one}} for n, one in enumerate(inner)]
    sources = [{"l0": ["1", "x", None, "3"]}, {"l1": [{"a": 1}, {"c": 2}]}, {"l1": [{"a": 1}, "s"]}]
    docs = [{"_index": "i", "_id": "1", "_source": source} for source in sources]
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": each})
    try:
        made = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours"})
        assert made.status == 201, made.body
        theirs = (await direct.post(f"/_ingest/pipeline/{name}/_simulate", {"docs": docs})).json["docs"]
        mine = (await through.post(f"/_pipeline/{name}-ours/_execute", {"docs": docs})).json["docs"]
        told_of = [d["doc"]["_source"] if d.get("doc") else d["error"]["reason"] for d in theirs]
        assert [d["doc"]["_source"] if d.get("doc") else d["error"]["reason"] for d in mine] == told_of
        await direct.put(
            f"/_ingest/pipeline/{name}",
            {
                "processors": [
                    {
                        "foreach": {
                            "field": "l",
                            "processor": {
                                "trim": {
                                    "field": "_ingest._value",
                                    "on_failure": [{"set": {"field": "x", "value": 1, "if": "true"}}],
                                }
                            },
                        }
                    }
                ]
            },
        )
        refused = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-if"})
        assert refused.status == 400
        assert "processors[0].foreach.processor.trim.on_failure[0].set.if" in refused.error["reason"]
    finally:
        await direct.delete(f"/_ingest/pipeline/{name}")


def test_every_row_names_a_test_that_is_there():
    page = (Path(__file__).parents[3] / "docs/reference/differences.md").read_text()
    named = {name for line in page.splitlines() for name in line.split("`") if name.endswith(".py")}
    there = {path.name for path in Path(__file__).parents[2].rglob("test_*.py")}
    assert {Path(name).name for name in named} <= there
