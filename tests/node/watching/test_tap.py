"""Taps: what is shown of documents, queries and results, to whom, and that traffic stays as it is."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import jsonpatch
import pytest

from tests.conftest import Http, native, running_proxy, settings_for
from tests.node.conftest import HIDDEN
from tests.node.watching.taps import tapped

COUNTER = """
count = 0
def process(doc, params):
    global count
    count += 1
    doc["count"] = count
    return doc
"""


def words(seen: Any) -> str:
    return json.dumps([seen.records, seen.end])


async def test_a_document_is_shown_before_after_and_stage_by_stage(through: Http, name: str):
    fails = {**native("refuse", "fail", message="no {{a}}"), "if": "doc.b == 1"}
    drops = {**native("drop", "drop"), "if": "doc.b == 2"}
    await through.pipeline(name, "document", native("lower", "lowercase", field="a"), fails, drops)
    await through.index(name, document=name)
    who = {"X-Opaque-Id": "me", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with tapped(through.base, index=f"{name}*", limit=3) as seen:
        started = time.monotonic()
        lines: list[Any] = []
        for n in range(3):
            lines += [{"index": {"_index": name, "_id": str(n)}}, f'{{"a": "ABC", "b": {n}, "n": 1.50}}']
        body = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        await through.post("/_bulk", body, headers={"Content-Type": "application/x-ndjson", **who})
    assert time.monotonic() - started < 1.5, "a tap with a limit ends when it is reached"
    assert seen.end["end"] == "limit"
    assert (seen.end["seen"], seen.end["shown"], seen.end["missed"]) == (3, 3, 0)
    changed, failed, dropped = sorted(seen.records, key=lambda r: r["id"])
    assert changed["before"] == {"a": "ABC", "b": 0, "n": 1.5}
    assert changed["after"] == {"a": "abc", "b": 0, "n": 1.5}
    assert b'"n": 1.50' in seen.body, "numbers keep their digits"
    patch = [{"op": "replace", "path": "/a", "value": "abc"}]
    assert [(s["name"], s["status"], s.get("patch")) for s in changed["stages"]] == [
        ("lower", "success", patch),
        ("refuse", "skipped", None),
        ("drop", "skipped", None),
    ]
    assert [s.get("if") for s in changed["stages"]] == [None, False, False]
    assert (changed["surface"], changed["type"], changed["version"]) == ("bulk", "document", "1")
    assert (changed["opaque_id"], changed["trace_id"]) == ("me", "0af7651916cd43dd8448eb211c80319c")
    assert (failed["outcome"], failed["after"]) == ("failed", None)
    assert failed["error"] == {"type": "fail_processor_exception", "reason": "no abc", "stage": "refuse", "status": 400}
    assert (dropped["outcome"], dropped["after"], dropped["error"]) == ("dropped", None, None)
    assert all("rerun" not in record for record in seen.records)


async def test_patches_of_all_stages_make_the_document(through: Http, name: str):
    stages = [
        native("set", "set", field="c.d", value=7),
        native("split", "split", field="words", separator=" "),
        native("rename", "rename", field="x", target_field="y.z", ignore_missing=True),
    ]
    await through.pipeline(name, "document", *stages)
    await through.index(name, document=name)
    async with tapped(through.base, pipeline=name, limit=1) as seen:
        await through.put(f"/{name}/_doc/1", {"words": "one two three", "x": {"/": 1, "~": [1, 2], "é": {"😀": 3}}})
    (record,) = seen.records
    state = record["before"]
    for stage in record["stages"]:
        state = jsonpatch.apply_patch(state, stage["patch"])
    assert state == record["after"] == (await through.get(f"/{name}/_source/1")).json


async def test_searches_show_the_query_and_the_numbers_of_hits(through: Http, name: str):
    await through.pipeline(f"{name}-q", "query", native("f", "filter_query", query={"term": {"b": 3}}))
    await through.pipeline(f"{name}-r", "result", native("m", "mask", fields=["s"]))
    await through.index(name, query=f"{name}-q", result=f"{name}-r")
    for n in range(4):
        await through.put(f"/{name}/_doc/{n}?refresh=true", {"b": n, "s": HIDDEN})
    async with tapped(through.base, index=name, duration="1s") as seen:
        found = await through.post(f"/{name}/_search", {"query": {"match_all": {}}})
    assert found.json["hits"]["total"]["value"] == 1
    query, result = seen.records
    assert (query["type"], query["before"]) == ("query", {"query": {"match_all": {}}})
    assert query["after"]["query"]["bool"]["filter"] == [{"term": {"b": 3}}]
    assert (result["type"], result["before"], result["after"]) == ("result", None, None)
    assert result["hits"] == {"before": 1, "after": 1, "removed": 0, "changed": 1, "added": 0}
    assert HIDDEN not in words(seen)


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        ({"match": "doc.b >= 2"}, {"2", "3"}),
        ({"match": "document.missing == 1"}, set()),
        ({"outcome": ["failed"]}, {"1"}),
        ({"outcome": ["dropped", "failed"]}, {"1", "2"}),
        ({"outcome": ["changed"]}, {"0", "3"}),
        ({"outcome": ["slow"], "slow": "10s"}, set()),
        ({"surface": "query"}, set()),
        ({"surface": "bulk"}, {"0", "1", "2", "3"}),
        ({"pipeline": "other"}, set()),
        ({"index": "other-*"}, set()),
        ({"stages": "none", "match": "doc.b == 3"}, {"3"}),
    ],
)
async def test_a_selection_shows_what_it_selects(through: Http, name: str, selection: dict[str, Any], ids: set[str]):
    fails = {**native("refuse", "fail", message="no"), "if": "doc.b == 1"}
    drops = {**native("drop", "drop"), "if": "doc.b == 2"}
    await through.pipeline(name, "document", native("lower", "lowercase", field="a"), fails, drops)
    await through.index(name, document=name)
    selection = {"index": name, **selection}
    async with tapped(through.base, duration="700ms", **selection) as seen:
        lines: list[Any] = []
        for n in range(4):
            lines += [{"index": {"_index": name, "_id": str(n)}}, {"a": "A", "b": n}]
        await through.bulk(*lines)
    assert {record["id"] for record in seen.records} == ids


async def test_documents_that_meet_no_condition_are_seen_as_skipped(through: Http, name: str):
    await through.pipeline(name, "document", {**native("lower", "lowercase", field="a"), "if": "doc.kind == 'rare'"})
    await through.index(name, document=name)
    async with tapped(through.base, index=name, duration="700ms", outcome=["skipped"]) as seen:
        await through.bulk(*[{"index": {"_index": name}}, {"a": "A", "kind": "plain"}] * 3)
        await through.bulk({"index": {"_index": name}}, {"a": "A", "kind": "rare"})
    assert [record["outcome"] for record in seen.records] == ["skipped"] * 3
    assert all(record["before"] == record["after"] for record in seen.records)
    assert seen.records[0]["stages"][0]["if"] is False


async def test_a_stage_that_keeps_state_is_told_apart_and_its_memory_is_left_alone(through: Http, name: str):
    await through.put(f"/_udf/{name}", COUNTER, headers={"Content-Type": "text/x-python"})
    stage = {"name": "count", "type": "python", "config": {"udf_name": name, "udf_version": "1"}}
    await through.pipeline(name, "document", stage)
    await through.index(name, document=name)
    for n in range(3):
        await through.put(f"/{name}/_doc/{n}", {"n": n})
    async with tapped(through.base, pipeline=name, limit=2, duration="20s") as seen:
        for n in range(3, 6):
            await through.put(f"/{name}/_doc/{n}", {"n": n})
    stored = [(await through.get(f"/{name}/_source/{n}")).json["count"] for n in range(6)]
    assert stored == [1, 2, 3, 4, 5, 6], "second runs use no memory of traffic"
    assert {record["rerun"] for record in seen.records} == {"differs"}
    assert seen.records[0]["after"]["count"] == 4, "what was sent is shown"
    counted = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert counted["total_executions"] == 6, "second runs are not counted"


async def test_hidden_fields_are_shown_nowhere(through: Http, name: str):
    await through.pipeline(f"{name}-m", "result", native("m", "mask", fields=["secret", "people.ssn"]))
    stages = [
        native("move", "rename", field="social", target_field="secret", ignore_missing=True),
        native("copy", "set", field="copy", value="{{{secret}}} it is"),
        {**native("refuse", "fail", message="no {{secret}}"), "if": "doc.n == 1"},
    ]
    await through.pipeline(f"{name}-d", "document", *stages)
    await through.index(name, document=f"{name}-d")
    assert (await through.put(f"/{name}/_settings", {"index.result.final_pipeline": f"{name}-m"})).status == 200
    documents = [
        {"social": f"{HIDDEN}1", "people": [{"ssn": f"{HIDDEN}2", "name": "x"}], "n": n, "open": "seen"}
        for n in range(2)
    ]
    for selection in ({}, {"stages": "full"}, {"match": "doc.open == 'seen'"}):
        async with tapped(through.base, index=name, duration="700ms", **selection) as seen:
            for document in documents:
                await through.post(f"/{name}/_doc?explain_pipelines=true", document)
        assert len(seen.records) == 2
        assert HIDDEN.encode() not in seen.body
        assert {"people.ssn", "secret"} <= set(seen.records[0]["hidden"])
        assert seen.records[0]["before"]["open"] == "seen"
        explained = await through.post(f"/{name}/_doc?explain_pipelines=true", documents[0])
        assert HIDDEN.encode() not in explained.body
    for match in (f"doc.social == '{HIDDEN}1'", f"doc.people[0].ssn == '{HIDDEN}2'"):
        async with tapped(through.base, index=name, duration="700ms", match=match) as seen:
            await through.post(f"/{name}/_doc", documents[0])
        assert seen.records == [], "a condition on what is hidden is no oracle"
        assert seen.end["seen"] == 1


async def test_the_caller_hides_fields_too(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    async with tapped(through.base, index=name, limit=1, hide=["a.b"]) as seen:
        await through.put(f"/{name}/_doc/1", {"a": {"b": "private", "c": 1}})
    assert "private" not in words(seen)
    assert seen.records[0]["before"] == {"a": {"c": 1}}


async def test_a_document_that_is_too_long_is_truncated(through: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    async with tapped(through.base, index=name, limit=1) as seen:
        await through.put(f"/{name}/_doc/1", {"a": "x" * (65 << 10)})
    (record,) = seen.records
    assert (record["truncated"], record["before"], record["after"], record["stages"]) == (True, None, None, None)


async def test_a_bad_selection_names_its_field(through: Http):
    for body, field in (
        ({"duration": "11m"}, "duration"),
        ({"match": "doc.("}, "match"),
        ({"per_second": 0}, "per_second"),
        ({"outcome": ["odd"]}, "outcome"),
        ({"slow": "soon"}, "slow"),
        ({"speed": 1}, "speed"),
    ):
        answer = await through.post("/_proxy/tap", body)
        assert answer.status == 400, body
        assert field in answer.error["reason"], body


async def test_five_taps_are_too_many_and_an_ended_one_makes_room(through: Http):
    async with (
        tapped(through.base),
        tapped(through.base),
        tapped(through.base),
        tapped(through.base, duration="1s"),
    ):
        fifth = await through.post("/_proxy/tap", {})
        assert (fifth.status, "4 taps" in fifth.error["reason"]) == (429, True)
        await asyncio.sleep(1.3)
        assert (await through.post("/_proxy/tap", {"duration": "100ms"})).status == 200


async def test_a_client_that_goes_ends_its_tap(through: Http):
    for _ in range(6):
        session = aiohttp.ClientSession()
        answer = await session.post(f"{through.base}/_proxy/tap", json={"duration": "5m"})
        assert answer.status == 200
        answer.close()
        await session.close()
        await asyncio.sleep(0.6)
    assert (await through.post("/_proxy/tap", {"duration": "50ms"})).status == 200


async def test_events_for_those_who_ask_for_them(through: Http, name: str):
    headers = {"Accept": "text/event-stream"}
    answer = await through.post("/_proxy/tap", {"duration": "50ms"}, headers=headers)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.body.startswith(b"data: {")
    assert answer.body.endswith(b"\n\n")


async def test_who_may_not_change_pipelines_sees_nothing(node: str, session: aiohttp.ClientSession, tmp_path, caplog):
    caplog.set_level("INFO", "headrace.audit")
    settings = settings_for(node, tmp_path, admin_token="let-me-in")
    async with running_proxy(settings, session) as http:
        assert (await http.post("/_proxy/tap", {})).status == 403
        assert (await http.get("/_udf/x/_logs")).status == 403
        assert (await http.post("/x/_search?explain_pipelines=true", {})).status == 403
        token = {"X-Headrace-Admin-Token": "let-me-in"}
        body = {"duration": "50ms", "index": "mine-*"}
        assert (await http.post("/_proxy/tap", body, headers=token)).status == 200
    lines = [json.loads(record.message) for record in caplog.records if "/_proxy/tap" in record.message]
    assert [line["status"] for line in lines] == [403, 200, 200]
    assert lines[1]["index"] == "mine-*"


async def test_the_setting_switches_taps_off(node: str, session: aiohttp.ClientSession, tmp_path):
    async with running_proxy(settings_for(node, tmp_path, tap="off"), session) as http:
        assert (await http.post("/_proxy/tap", {})).status == 403
        assert (await http.post("/x/_search?explain_pipelines=true", {})).status == 403
