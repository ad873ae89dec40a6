"""The proxy as a process: hostile UDFs, kill -9, restart, clean shutdown, clients that go away, memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from devnode.node import free_port
from tests.conftest import NDJSON, Http, ProxyProcess, native, ndjson, wasm
from tests.support import wat
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOSTILE = {
    "loop": (wat.LOOP, 429, "udf_timeout_exception"),
    "fills": (wat.FILLS, 429, "udf_timeout_exception"),
    "grows": (wat.GROWS, 429, "udf_memory_limit_exception"),
    "trap": (wat.TRAP, 400, "udf_trap_exception"),
    "oob": (wat.OUT_OF_BOUNDS, 400, "udf_trap_exception"),
    "recursion": (wat.RECURSION, 400, "udf_trap_exception"),
    "garbage": (wat.GARBAGE, 400, "udf_result_exception"),
    "huge": (wat.HUGE, 400, "udf_result_exception"),
}


async def test_hostile_udfs_are_item_errors_and_memory_returns(serve, direct: Http, name: str):
    process, http = serve()
    await process.ready(http)
    for kind, (text, _, _) in HOSTILE.items():
        await http.udf(f"{name}-{kind}", text, limits={"timeout": "30ms"})
        await http.pipeline(f"{name}-{kind}", "document", wasm("u", f"{name}-{kind}"))
    lines: list[Any] = []
    for i, kind in enumerate(list(HOSTILE) * 3):
        lines += [{"index": {"_index": name, "_id": str(i), "pipeline": f"{name}-{kind}"}}, {"a": 1}]
        lines += [{"index": {"_index": name, "_id": f"good-{i}"}}, {"a": 1}]
    await http.bulk(*lines)
    before = process.rss()
    for _ in range(3):
        answer = await http.bulk(*lines)
        items = [item["index"] for item in answer.json["items"]]
        for i, kind in enumerate(list(HOSTILE) * 3):
            _, status, type_ = HOSTILE[kind]
            bad, good = items[2 * i], items[2 * i + 1]
            assert (bad["status"], bad["error"]["type"]) == (status, type_), kind
            assert bad["error"]["stage"] == "u"
            assert good["status"] in (200, 201)
    assert process.rss() - before < 64 << 20
    assert (await http.get("/_proxy/health/live")).status == 200
    assert (await direct.get(f"/{name}/_count")).json["count"] >= 0


async def test_a_looping_udf_does_not_stop_other_requests(serve, name: str):
    process, http = serve()
    await process.ready(http)
    await http.udf(name, wat.LOOP, limits={"timeout": "5s"})
    await http.pipeline(name, "document", wasm("u", name))
    slow = [asyncio.create_task(http.put(f"/{name}/_doc/{i}?pipeline={name}", {"a": 1})) for i in range(2)]
    await asyncio.sleep(0.3)
    async with asyncio.timeout(2):
        assert (await http.get("/_cluster/health")).status == 200
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_client_that_goes_away_ends_its_udf(serve, name: str):
    process, http = serve()
    await process.ready(http)
    await http.udf(name, wat.LOOP, limits={"timeout": "5s"})
    await http.pipeline(name, "document", wasm("u", name))
    for _ in range(6):
        task = asyncio.create_task(http.put(f"/{name}/_doc/1?pipeline={name}", {"a": 1}))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(3):
        while (await http.get(f"/_pipeline/{name}/_stats")).json["current"]:
            await asyncio.sleep(0.05)
    stats = (await http.get(f"/_pipeline/{name}/_stats")).json
    assert "cancelled" in json.dumps(stats["last_errors"])


async def test_kill_9_loses_nothing_acknowledged_and_a_restart_keeps_everything(serve, direct: Http, name: str):
    process, http = serve()
    await process.ready(http)
    await http.udf(name, wat.answering('{"v":1}'), merge=True)
    await http.pipeline(name, "document", wasm("u", name))
    await http.index(name, document=name)
    acknowledged: list[str] = []

    async def write(worker: int) -> None:
        for i in range(10_000):
            id_ = f"{worker}-{i}"
            try:
                answer = await http.bulk({"index": {"_index": name, "_id": id_}}, {"w": worker}, target="/_bulk")
            except aiohttp.ClientError:
                return
            assert answer.json["errors"] is False
            acknowledged.append(id_)

    writers = [asyncio.create_task(write(w)) for w in range(4)]
    await asyncio.sleep(1.0)
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    await asyncio.gather(*writers)
    assert len(acknowledged) > 20
    again, http = serve()
    await again.ready(http)
    assert (await http.get(f"/_pipeline/{name}")).json["version"] == "1"
    assert (await http.get(f"/{name}/_settings")).json[name]["settings"]["index"]["document"][
        "default_pipeline"
    ] == name
    await direct.post(f"/{name}/_refresh")
    found = await direct.post(f"/{name}/_search", {"size": 10_000, "track_total_hits": True})
    stored = {hit["_id"]: hit["_source"] for hit in found.json["hits"]["hits"]}
    assert set(acknowledged) <= set(stored)
    assert all(document["v"] == 1 for document in stored.values()), "no document went around its pipeline"


async def test_a_clean_shutdown_finishes_what_is_in_flight(serve, direct: Http, name: str):
    process, http = serve()
    await process.ready(http)
    await http.pipeline(name, "document", native("s", "set", field="x", value=1))
    await http.index(name, document=name)
    lines = [part for i in range(20_000) for part in ({"index": {"_id": str(i)}}, {"n": i})]
    sending = asyncio.create_task(http.post(f"/{name}/_bulk?refresh=true", ndjson(*lines), headers=NDJSON))
    await asyncio.sleep(0.15)
    process.process.send_signal(signal.SIGTERM)
    answer = await sending
    assert answer.json["errors"] is False
    assert len(answer.json["items"]) == 20_000
    assert await asyncio.to_thread(process.process.wait, 30) == 0
    with pytest.raises(aiohttp.ClientError):
        await http.get("/_proxy/health/live")
    assert (await direct.get(f"/{name}/_count")).json["count"] == 20_000


async def test_with_the_cluster_away_the_copy_on_disk_serves_and_says_so(serve, node: str, name: str):
    wire = Wire(node)
    await wire.up()
    try:
        process, http = serve(upstream=wire.url)
        await process.ready(http)
        await http.udf(name, wat.answering("false"))
        await http.pipeline(name, "document", native("no", "fail", message="by the copy"))
        await http.index(name, document=name)
        await http.pipeline(f"{name}-drop", "document", wasm("u", name))
        process.end()
        await wire.down()
        again, http = serve(upstream=wire.url)
        await again.ready(http)
        ready = await http.get("/_proxy/health/ready")
        assert (ready.status, ready.json["registry"], ready.json["cluster"]) == (503, "cached", "unreachable")
        answer = await http.bulk({"index": {"_id": "1"}}, {"a": 1}, target=f"/{name}/_bulk?document_pipeline={name}")
        assert answer.json["items"][0]["index"]["error"]["reason"] == "by the copy"
        answer = await http.bulk({"index": {"_id": "1"}}, {"a": 1}, target=f"/{name}/_bulk?pipeline={name}-drop")
        assert answer.json["items"][0]["index"]["result"] == "noop"
        changed = await http.put(f"/_pipeline/{name}", {"type": "document", "stages": [native("d", "drop")]})
        assert (changed.status, changed.error["type"]) == (503, "upstream_unavailable_exception")
        await wire.up()
        async with asyncio.timeout(10):
            while (await http.get("/_proxy/health/ready")).json["registry"] != "current":
                await asyncio.sleep(0.1)
        assert (await http.get("/_proxy/health/ready")).status == 200
        assert (await http.put(f"/{name}/_doc/1", {"a": 1})).error["reason"] == "by the copy"
    finally:
        await wire.down()


def alter_copy(folder: Path, old: str, new: str) -> None:
    path = next(folder.rglob("registry.json"))
    copy = path.read_text()
    assert old in copy
    path.write_text(copy.replace(old, new))


async def test_with_the_cluster_away_a_copy_that_lacks_something_serves_nothing(
    serve, node: str, name: str, tmp_path: Path
):
    wire = Wire(node)
    await wire.up()
    try:
        process, http = serve(upstream=wire.url)
        await process.ready(http)
        await http.pipeline(name, "document", native("no", "fail", message="by the final"))
        await http.put(f"/_pipeline/_association/{name}-*", {"document": {"final_pipeline": name}})
        process.end()
        await wire.down()
        alter_copy(tmp_path, f'"pattern:{name}-*"', f'"pattern:{name}-x"')
        again, http = serve(upstream=wire.url)
        await again.ready(http)
        assert (await http.get("/_proxy/health/ready")).json["registry"] == "none"
        written = await http.put(f"/{name}-1/_doc/1", {"a": 1})
        assert (written.status, written.error["type"]) == (503, "registry_unavailable_exception")
        await wire.up()
        async with asyncio.timeout(10):
            while (await http.get("/_proxy/health/ready")).json["registry"] != "current":
                await asyncio.sleep(0.1)
        assert (await http.put(f"/{name}-1/_doc/1", {"a": 1})).error["reason"] == "by the final"
    finally:
        await wire.down()


async def test_an_index_lost_while_no_proxy_ran_is_written_anew_at_start(serve, direct: Http, name: str):
    process, http = serve()
    await process.ready(http)
    await http.udf(name, wat.answering('{"v":1}'))
    await http.pipeline(name, "document", wasm("u", name))
    await http.index(name, document=name)
    process.end()
    registry = process.registry
    assert (await direct.delete(f"/{registry}")).status == 200
    again, http = serve()
    await again.ready(http)
    assert (await http.put(f"/{name}/_doc/1", {"a": 1})).headers["X-Pipeline"] == f"document={name}@1"
    assert (await direct.get(f"/{registry}/_doc/pipeline:document:{name}@1")).status == 200


async def test_ready_says_what_is_wrong(serve, name: str):
    nowhere = f"http://127.0.0.1:{free_port()}"
    process, http = serve(upstream=nowhere)
    await process.ready(http)
    ready = await http.get("/_proxy/health/ready")
    assert (ready.status, ready.json) == (503, {"status": "not ready", "registry": "none", "cluster": "unreachable"})
    piped = await http.put(f"/{name}/_doc/1", {"a": 1})
    assert (piped.status, piped.error["type"]) == (503, "registry_unavailable_exception")
    assert piped.headers["Retry-After"] == "1"
    passed = await http.get("/_cluster/health")
    assert (passed.status, passed.error["type"]) == (503, "upstream_unavailable_exception")


async def test_a_large_pass_through_is_streamed(serve, direct: Http, name: str):
    """RSS does not grow with the body: 40 MB in, and as much out."""
    process, http = serve()
    await process.ready(http)
    await direct.put(f"/{name}", {"mappings": {"enabled": False}, "settings": {"number_of_replicas": 0}})
    await http.get("/")
    before = process.rss()
    text = "x" * 20_000
    lines = [part for i in range(2_000) for part in ({"index": {"_id": str(i)}}, {"t": text})]
    peaks: list[int] = []
    watching = asyncio.create_task(watch(process, peaks))
    answer = await http.post(f"/{name}/_bulk?refresh=true&filter_path=errors", ndjson(*lines), headers=NDJSON)
    assert answer.json == {"errors": False}
    found = await http.post(f"/{name}/_search?size=2000", {})
    assert len(found.body) > 39_000_000
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert max(peaks) - before < 24 << 20, f"{(max(peaks) - before) >> 20} MiB more for bodies of 40 MB"


async def watch(process: ProxyProcess, peaks: list[int]) -> None:
    """Notes the resident memory every few milliseconds until cancelled."""
    while True:
        peaks.append(process.rss())
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("form", ["plain", "chunked", "gzip"])
async def test_many_large_bulks_at_once_wait_for_room_and_none_fails(serve, direct: Http, name: str, form: str):
    process, http = serve(**{"body-memory": "16mb", "max-body": "10mb"})
    await process.ready(http)
    await http.pipeline(name, "document", native("s", "set", field="x", value=1))
    await http.index(name, document=name)
    action = ndjson({"index": {"_index": name}}, {"text": "word " * 200})
    body = action * (6_000_000 // len(action))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 18):
            yield body[start : start + (1 << 18)]

    async def one() -> int:
        if form == "chunked":
            return (await http.post("/_bulk?filter_path=errors", pieces(), headers=NDJSON)).status
        if form == "gzip":
            packed = gzip.compress(body, 1)
            return (
                await http.post("/_bulk?filter_path=errors", packed, headers=NDJSON | {"Content-Encoding": "gzip"})
            ).status
        return (await http.post("/_bulk?filter_path=errors", body, headers=NDJSON)).status

    assert await one() == 200
    before = process.rss()
    peak = 0
    tasks = [asyncio.create_task(one()) for _ in range(16)]
    while not all(task.done() for task in tasks):
        peak = max(peak, process.rss())
        await asyncio.sleep(0.02)
    assert [task.result() for task in tasks] == [200] * 16
    assert peak - before < 100 << 20, f"{(peak - before) >> 20} MiB for 96 MB of bulks"


@pytest.mark.parametrize("last", [native("d", "drop"), native("f", "fail", message="no")], ids=["dropped", "failed"])
async def test_the_memory_of_a_burst_goes_back(serve, direct: Http, name: str, last: dict[str, Any]):
    """RSS after twenty bulks of 10 MB at once, which a pipeline works on: once it is quiet, it is about what it was."""
    process, http = serve()
    await process.ready(http)
    await http.pipeline(name, "document", native("s", "set", field="x", value=1), last)
    action = ndjson({"index": {"_index": name}}, {"text": "word " * 200})
    body = action * (10_000_000 // len(action))

    async def one() -> int:
        return (await http.post(f"/_bulk?pipeline={name}&filter_path=errors", body, headers=NDJSON)).status

    assert await one() == 200
    before, peaks = process.rss(), list[int]()
    watching = asyncio.create_task(watch(process, peaks))
    assert await asyncio.gather(*(one() for _ in range(20))) == [200] * 20
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert max(peaks) - before > 100 << 20, "the burst was none"
    async with asyncio.timeout(30):
        while process.rss() - before > 32 << 20:
            await asyncio.sleep(0.2)
