"""Where a built-in does otherwise than the cluster's processor on purpose: the rows of docs/differences.md, both sides of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines._wasm import Native
from tests.conftest import Http
from tests.node.test_native import ours, simulated

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
    ("set", {"field": "l[0]", "value": 1}, {"l": [0]}, {"l": [0], "l[0]": 1}, {"l": [1]}),
]  # fmt: skip


def shown(side: Any) -> Any:
    return "error" if side[0] == "error" else side[1]


@pytest.mark.parametrize(("function", "options", "document", "theirs", "mine"), ROWS, ids=lambda v: json.dumps(v)[:60])
async def test_both_sides_of_a_difference(
    direct: Http, function: str, options: dict[str, Any], document: dict[str, Any], theirs: Any, mine: Any
):
    (cluster,) = await simulated(direct, function, options, [document])
    assert (shown(cluster), shown(ours(function, options, document))) == (theirs, mine)


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


def test_every_row_names_a_test_that_is_there():
    page = (Path(__file__).parents[2] / "docs/differences.md").read_text()
    named = {name for line in page.splitlines() for name in line.split("`") if name.endswith(".py")}
    there = {path.name for path in Path(__file__).parents[1].rglob("test_*.py")}
    assert {Path(name).name for name in named} <= there
