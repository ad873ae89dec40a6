"""Our index settings wherever OpenSearch shows, keeps or copies its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import native

if TYPE_CHECKING:
    from tests.conftest import Http

DEFAULT, FINAL = "index.document.default_pipeline", "index.document.final_pipeline"


@pytest.fixture
async def pipelines(through: Http, name: str) -> tuple[str, str]:
    """Two document pipelines."""
    for each in "ab":
        await through.pipeline(f"{name}-{each}", "document", native("t", "append", field="tags", value=each))
    return f"{name}-a", f"{name}-b"


async def settings(http: Http, target: str) -> dict[str, Any]:
    answer = await http.get(target)
    assert answer.status == 200, answer.body
    return {index: shown["settings"] for index, shown in answer.json.items()}


async def test_a_setting_is_asked_for_by_name(through: Http, name: str, pipelines: tuple[str, str]):
    one, _ = pipelines
    for index in ("x", "y"):
        await through.put(f"/{name}-{index}", {"settings": {DEFAULT: one} if index == "x" else {}})
    nested = {"index": {"document": {"default_pipeline": one}}}
    for setting in (DEFAULT, "index.document.*", "*.default_pipeline", f"index.none,{DEFAULT}"):
        assert await settings(through, f"/{name}-*/_settings/{setting}") == {f"{name}-x": nested}, setting
        assert await settings(through, f"/{name}-x/_settings/{setting}?flat_settings") == {f"{name}-x": {DEFAULT: one}}
    assert await settings(through, f"/{name}-*/_settings/index.query.*") == {}
    assert await settings(through, f"/_settings/{DEFAULT}") == {f"{name}-x": nested}
    shown = (await through.get(f"/{name}-*/_settings/index.document.*?include_defaults=true&flat_settings")).json
    assert shown == {
        f"{name}-x": {"settings": {DEFAULT: one}, "defaults": {FINAL: "_none"}},
        f"{name}-y": {"settings": {}, "defaults": {DEFAULT: "_none", FINAL: "_none"}},
    }


async def test_what_is_there_is_kept_where_that_is_asked_for(through: Http, name: str, pipelines: tuple[str, str]):
    one, two = pipelines
    await through.put(f"/{name}", {"settings": {DEFAULT: one}})
    both = {DEFAULT: two, FINAL: two}
    assert (await through.put(f"/{name}/_settings?preserve_existing=true", both)).status == 200
    shown = await settings(through, f"/{name}/_settings/index.document.*?flat_settings")
    assert shown == {name: {DEFAULT: one, FINAL: two}}


async def test_simulations_show_what_an_index_would_be_made_with(through: Http, name: str, pipelines: tuple[str, str]):
    one, two = pipelines
    component = {"template": {"settings": {DEFAULT: one, FINAL: one}}}
    assert (await through.put(f"/_component_template/{name}", component)).status == 200
    template = {
        "index_patterns": [f"{name}*"],
        "priority": 9999,
        "composed_of": [name],
        "template": {"settings": {DEFAULT: two, "number_of_replicas": 0}},
    }
    try:
        assert (await through.put(f"/_index_template/{name}", template)).status == 200
        await through.put(f"/{name}", {})
        made = (await settings(through, f"/{name}/_settings"))[name]["index"]
        for target, body in (
            (f"_simulate_index/{name}-new", None),
            (f"_simulate/{name}", None),
            ("_simulate", template | {"priority": 99_999}),
            (f"_simulate_index/{name}-new", template | {"priority": 99_999}),
        ):
            answer = await through.post(f"/_index_template/{target}", body)
            assert answer.status == 200, answer.body
            shown = answer.json["template"]["settings"]["index"]
            assert shown == {
                "number_of_replicas": "0",
                "document": {"default_pipeline": two, "final_pipeline": one},
            }, target
            assert shown["document"] == made["document"]
    finally:
        await through.delete(f"/_index_template/{name}")
        await through.delete(f"/_component_template/{name}")


async def test_a_rollover_attaches_to_the_next_index(
    through: Http, direct: Http, name: str, pipelines: tuple[str, str]
):
    one, two = pipelines
    alias = {"aliases": {name: {"is_write_index": True}}, "settings": {FINAL: one}}
    await through.put(f"/{name}-000001", alias)
    at, body = f"/{name}/_rollover", {"settings": {FINAL: one, DEFAULT: two}}
    assert (await through.post(at, {})).status == 403, "the next index would lack the final pipeline"
    assert (await through.post(at, {"settings": {FINAL: two}})).status == 403
    dry = await through.post(f"{at}?dry_run", body)
    assert (dry.status, dry.json["rolled_over"]) == (200, False)
    unmet = await through.post(at, body | {"conditions": {"max_docs": 1000}})
    assert (unmet.status, unmet.json["rolled_over"]) == (200, False)
    assert f"{name}-000002" not in (await through.get(f"/{name}*/_pipeline")).json
    rolled = await through.post(at, body)
    assert rolled.json["new_index"] == f"{name}-000002", rolled.body
    await through.put(f"/{name}/_doc/1", {})
    assert (await direct.get(f"/{name}-000002/_doc/1")).json["_source"] == {"tags": ["b", "a"]}
    named = await through.post(f"{at}/{name}-other", body)
    assert named.json["new_index"] == f"{name}-other"
    assert (await settings(through, f"/{name}-other/_settings/{FINAL}?flat_settings")) == {
        f"{name}-other": {FINAL: one}
    }


async def test_a_rollover_does_not_leave_the_pattern_that_protects(
    through: Http, direct: Http, name: str, pipelines: tuple[str, str]
):
    one, _ = pipelines
    final = {"document": {"final_pipeline": one}}
    assert (await through.put(f"/_pipeline/_association/{name}-*", final)).status in (200, 201)
    alias = f"{name}alias"
    await through.put(f"/{name}-000001", {"aliases": {alias: {"is_write_index": True}}})
    for target in (
        f"{name}out",
        f"%3C{name}out-%7Bnow%2Fd%7D%3E",
        f"{name}out?filter_path=x",
        f"{name}out?dry_run=false",
    ):
        refused = await through.post(f"/{alias}/_rollover/{target}", {})
        assert refused.status == 403, (target, refused.body)
    assert (await through.post(f"/{alias}/_rollover/BAD", {})).status == 400
    assert (await through.post(f"/{alias}/_rollover/{name}-x")).status == 200
    assert (await through.post(f"/{alias}/_rollover/{name}-000007")).status == 200
    assert (await through.post(f"/{alias}/_rollover")).json["new_index"] == f"{name}-000008"
    assert (await through.post(f"/{alias}/_rollover/{name}out", {"settings": {FINAL: one}})).status == 200


async def test_a_copy_has_what_its_body_attaches(through: Http, name: str, pipelines: tuple[str, str]):
    one, two = pipelines
    await through.put(f"/{name}", {"settings": {FINAL: one, "number_of_shards": 1}})
    await through.put(f"/{name}/_block/write")
    try:
        for body in (None, {}, {"settings": {FINAL: two}}, {"settings": {DEFAULT: one}}):
            assert (await through.put(f"/{name}/_clone/{name}-copy", body)).status == 403
        refused = await through.put(f"/{name}/_clone/{name}-copy", {"settings": {FINAL: one, "index.none": 1}})
        assert refused.status == 400, refused.body
        assert (await through.get(f"/{name}-copy/_pipeline")).status == 404
        made = await through.put(f"/{name}/_clone/{name}-copy", {"settings": {FINAL: one}})
        assert made.status == 200, made.body
        shown = await settings(through, f"/{name}-copy/_settings/{FINAL}?flat_settings")
        assert shown == {f"{name}-copy": {FINAL: one}}
    finally:
        await through.put(f"/{name}/_settings", {"index.blocks.write": None})
