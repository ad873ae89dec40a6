"""`/_pipeline`, `/_udf` and the index settings over REST, with the registry in a real cluster."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from headrace.app import Proxy
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from headrace.settings import Settings
from tests.conftest import SECRET, Http, native, settings_for, wasm
from tests.node.registry.test_registry import SEEN_SECONDS, SET
from tests.support import wat


async def test_execute_shows_each_stage(through: Http, name: str):
    await through.pipeline(name, "document", SET, native("low", "lowercase", field="level"))
    good = (await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": "X"}, "verbose": True})).json
    assert (good["output"], good["success"]) == ({"level": "x", "x": 1}, True)
    assert [(s["stage"], s["status"], s["output"]) for s in good["stage_results"]] == [
        ("s", "success", {"level": "X", "x": 1}),
        ("low", "success", {"level": "x", "x": 1}),
    ]
    bad = (await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": 1}, "verbose": True})).json
    assert bad["success"] is False
    assert bad["error"]["stage"] == "low"
    assert bad["stage_results"][1]["error"]["type"] == "illegal_argument_exception"
    await through.pipeline(f"{name}-drop", "document", native("d", "drop"))
    dropped = (await through.post(f"/_pipeline/{name}-drop/_execute", {"input": {}})).json
    assert (dropped["output"], dropped["filtered"]) == (None, True)
    assert (await through.post(f"/_pipeline/{name}/_execute", {"inputs": {}})).status == 400


async def test_statistics(through: Http, name: str):
    await through.pipeline(name, "document", native("low", "lowercase", field="level"))
    await through.index(name, document=name)
    await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": "not counted"}})
    for level in ("A", "B", 3):
        await through.put(f"/{name}/_doc/1", {"level": level})
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert (stats["total_executions"], stats["successful_executions"], stats["failed_executions"]) == (3, 2, 1)
    assert (stats["documents_in"], stats["documents_out"], stats["documents_failed"]) == (3, 2, 1)
    assert 0 < stats["p50_duration_ms"] <= stats["p99_duration_ms"]
    assert stats["stage_stats"][0]["failures"] == 1
    assert stats["last_errors"][0]["type"] == "illegal_argument_exception"
    assert (await through.get("/_pipeline/_stats")).json["pipelines"][0]["total_executions"] == 3


async def test_index_settings_in_every_notation(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    nested: list[dict[str, Any]] = [
        {"index": {"document": {"default_pipeline": name}}},
        {"index": {"document.default_pipeline": name}},
        {"index.document": {"default_pipeline": name}},
        {"index.document.default_pipeline": name},
        {"document": {"default_pipeline": name}},
    ]
    for i, settings in enumerate(nested):
        index = f"{name}-{i}"
        assert (await through.put(f"/{index}", {"settings": {"number_of_shards": 1, **settings}})).status == 200
        shown = (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        assert shown["document"] == {"default_pipeline": name}
        assert shown["number_of_shards"] == "1"
        assert (await through.get(f"/{index}")).json[index]["settings"]["index"]["document"] == {
            "default_pipeline": name
        }
        flat = (await through.get(f"/{index}/_settings?flat_settings=true")).json[index]["settings"]
        assert flat["index.document.default_pipeline"] == name
        cleared = await through.put(f"/{index}/_settings", {"index": {"document": {"default_pipeline": None}}})
        assert cleared.json == {"acknowledged": True}
        assert "document" not in (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        both = {"index": {"number_of_replicas": 0, "document": {"default_pipeline": name}}}
        assert (await through.put(f"/{index}/_settings", both)).status == 200
        shown = (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        assert (shown["number_of_replicas"], shown["document"]) == ("0", {"default_pipeline": name})
        assert "document" not in (await direct.get(f"/{index}/_settings")).json[index]["settings"]["index"]


async def test_index_settings_that_cannot_be(through: Http, name: str):
    await through.pipeline(name, "query", native("q", "filter_query", query={"match_all": {}}))
    for settings, words in (
        ({"index.document.default_pipeline": "nowhere"}, "does not exist"),
        ({"index.document.default_pipeline": name}, "is of type query, not document"),
        ({"index.query.default_pipeline": 5}, "must be the name of a pipeline"),
        ({"index.query.final_pipeline": "nowhere"}, "does not exist"),
    ):
        answer = await through.put(f"/{name}", {"settings": settings})
        assert answer.status == 400, settings
        assert words in answer.error["reason"]
    assert (await through.get(f"/{name}")).status == 404, "nothing was created"
    await through.index(name)
    await through.put(f"/{name}/_alias/{name}-alias")
    alias = await through.put(f"/{name}-alias/_settings", {"index.query.default_pipeline": name})
    assert alias.status == 400
    assert f"attach them to its indexes: {name}" in alias.error["reason"]
    missing = await through.put(f"/{name}-no/_settings", {"index.query.default_pipeline": name})
    assert missing.status == 400


async def test_an_index_that_cannot_be_created_gets_no_pipeline(through: Http, name: str):
    await through.pipeline(name, "document", SET)
    bad = {"settings": {"index.document.default_pipeline": name, "no_such_setting": 1}}
    assert (await through.put(f"/{name}", bad)).status == 400
    assert (await through.delete(f"/_pipeline/{name}")).status == 200, "nothing uses it"


async def test_deleting_an_index_drops_what_is_attached(through: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    used = await through.delete(f"/_pipeline/{name}")
    assert used.status == 409
    assert f"index [{name}]" in used.error["reason"]
    assert (await through.delete(f"/{name}")).status == 200
    assert (await through.delete(f"/_pipeline/{name}")).status == 200


async def test_paths_of_ours_never_reach_the_cluster(through: Http):
    assert (await through.get("/_pipeline/x/_nothing")).status == 404
    wrong = await through("PATCH", "/_pipeline/x")
    assert wrong.status == 405
    assert wrong.headers["Allow"] == "DELETE, GET, POST, PUT"
    assert (await through.get("/_proxy/nothing")).status == 404


async def test_two_proxies_see_each_other_s_changes(through: Http, settings: Settings, tmp_path, name: str):
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        await through.udf(name, wat.answering('{"v":1}'))
        await through.pipeline(name, "document", wasm("u", name))
        await through.index(name, document=name)
        async with asyncio.timeout(SEEN_SECONDS):
            while (await http.put(f"/{name}/_doc/1", {"a": 1})).headers.get("X-Pipeline") is None:
                await asyncio.sleep(0.05)
        assert (await through.get(f"/{name}/_doc/1")).json["_source"] == {"v": 1}
        await through.put(f"/{name}/_settings", {"index.document.default_pipeline": None})
        async with asyncio.timeout(SEEN_SECONDS):
            while "X-Pipeline" in (await http.put(f"/{name}/_doc/1", {"a": 1})).headers:
                await asyncio.sleep(0.05)
    finally:
        await other.stop()


async def test_of_two_writers_of_one_version_one_wins(through: Http, settings: Settings, tmp_path, name: str):
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        for version in range(10):
            bodies = [
                {"type": "document", "version": f"v{version}", "stages": [native("s", "set", field="by", value=who)]}
                for who in ("one", "two")
            ]
            answers = await asyncio.gather(
                through.put(f"/_pipeline/{name}", bodies[0]), http.put(f"/_pipeline/{name}", bodies[1])
            )
            assert sorted(a.status for a in answers) == [201, 409], [a.body for a in answers]
            # The winner's own proxy knows at once; the other follows within its poll.
            winner, asked = ("one", through) if answers[0].status == 201 else ("two", http)
            shown = (await asked.get(f"/_pipeline/{name}?version=v{version}")).json
            assert shown["stages"][0]["config"]["parameters"]["value"] == winner
    finally:
        await other.stop()


async def test_a_lost_registry_index_is_written_anew(through: Http, direct: Http, settings: Settings, name: str):
    await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    await through.index(name, document=name)
    await direct.delete(f"/{settings.registry_index}")
    async with asyncio.timeout(10):
        while (await direct.get(f"/{settings.registry_index}/_doc/pipeline:document:{name}@1")).status != 200:
            await asyncio.sleep(0.1)
    assert (await through.put(f"/{name}/_doc/1", {"a": 1})).headers["X-Pipeline"] == f"document={name}@1"


def signer_of(settings: Settings) -> Signer:
    return Signer([SECRET.encode()], settings.registry_index)


async def test_an_entry_that_cannot_be_read_fails_closed_and_stops_nothing_else(
    through: Http, direct: Http, settings: Settings, tmp_path, name: str
):
    await through.pipeline(name, "document", SET)
    await through.pipeline(f"{name}-good", "document", SET)
    await through.index(name, document=name)
    await through.index(f"{name}-good", document=f"{name}-good")
    definition = {"name": name, "type": "document", "stages": [], "from_the_future": 1}
    newer = json.dumps({"created": "x", "definition": definition})
    document = Document(kind="pipeline", name=f"document:{name}", body=newer)
    entry = signer_of(settings).sign(f"pipeline:document:{name}@1", document, 2)
    await direct.put(f"/{settings.registry_index}/_doc/{entry.id}?refresh=true", entry.source)
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        answer = await http.bulk({"index": {"_index": name}}, {"a": 1}, {"index": {"_index": f"{name}-good"}}, {"a": 1})
        failed, good = (item["index"] for item in answer.json["items"])
        assert failed["status"] == 400
        assert "is attached here, but is not in the registry" in failed["error"]["reason"]
        assert good["status"] == 201
    finally:
        await other.stop()


async def test_an_altered_module_is_not_run_and_written_anew(
    through: Http, direct: Http, settings: Settings, tmp_path, name: str
):
    made = await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    chunk = f"/{settings.registry_index}/_doc/code:{made.json['digest']}:0"
    altered = base64.b64encode(wat.answering('{"v":"evil"}').encode()).decode()
    await direct.put(f"{chunk}?refresh=true", {"kind": "code", "name": made.json["digest"], "body": altered})
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        async with asyncio.timeout(10):
            while (answer := await http.put(f"/{name}/_doc/1?pipeline={name}", {"a": 1})).status != 201:
                assert answer.status == 400
                assert "cannot run" in answer.error["reason"]
                await asyncio.sleep(0.05)
        assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"v": 1}
        await direct.delete(chunk)
        async with asyncio.timeout(10):
            while (await direct.get(chunk)).status != 200:
                await asyncio.sleep(0.05)
    finally:
        await other.stop()
