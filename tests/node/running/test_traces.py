"""Traces as a collector gets them: one tree for a request, stages within their pipeline."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Http, native, running_proxy, settings_for, wasm
from tests.support.collector import Collector, Received
from tests.support.wat import ECHO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

SERVER, CLIENT, INTERNAL = 2, 3, 1
"""Kinds of spans, as OTLP numbers them."""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def traced(
    node: str, session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Http, Collector]]:
    """A proxy that traces every request, and its collector."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    async with Collector() as collector:
        settings = settings_for(node, tmp_path, otlp_endpoint=collector.url, trace_sample=1.0)
        async with running_proxy(settings, session) as http:
            yield http, collector


async def spans_of(collector: Collector, name: str, count: int = 1) -> list[list[Received]]:
    """The traces whose root has this name."""
    for _ in range(200):
        trees = [tree for tree in collector.trees().values() if any(span.name == name for span in tree)]
        whole = [tree for tree in trees if any(span.kind == SERVER for span in tree)]
        if len(whole) >= count:
            # What belongs to it has been sent before its root, or with it.
            return whole
        await asyncio.sleep(0.02)
    raise AssertionError([span.name for span in collector.spans])


def shape(tree: list[Received]) -> Any:
    """The tree by names, children in the order of their starts."""

    def below(parent: Received) -> Any:
        children = [below(span) for span in tree if span.parent == parent.id]
        return (parent.name, children) if children else parent.name

    ids = {span.id for span in tree}
    roots = [span for span in tree if span.parent not in ids]
    assert len(roots) == 1, [span.name for span in roots]
    return below(roots[0])


def check_times(tree: list[Received]) -> None:
    """Every span lies within its parent."""
    by_id = {span.id: span for span in tree}
    for span in tree:
        parent = by_id.get(span.parent)
        if parent is not None:
            assert parent.start <= span.start <= span.end <= parent.end, (span.name, parent.name)


async def test_a_bulk_is_one_tree(traced: tuple[Http, Collector], name: str):
    http, collector = traced
    await http.udf(f"{name}-up", ECHO)
    await http.pipeline(
        f"{name}-p",
        "document",
        native("level", "lowercase", field="level"),
        wasm("upper", f"{name}-up"),
        native("number", "convert", field="n", type="integer"),
    )
    await http.index(name, document=f"{name}-p")
    collector.spans.clear()
    lines: list[Any] = []
    for n in range(30):
        lines += [{"index": {"_id": str(n)}}, {"level": "WARN", "s": "x", "n": "bad" if n < 12 else str(n)}]
    assert (await http.bulk(*lines, target=f"/{name}/_bulk")).status == 200
    (tree,) = await spans_of(collector, "POST /{index}/_bulk")
    assert shape(tree) == (
        "POST /{index}/_bulk",
        [(f"pipeline {name}-p@1", ["stage level", "stage upper", "stage number"]), "opensearch bulk"],
    )
    check_times(tree)
    spans = {span.name: span for span in tree}
    root, run = spans["POST /{index}/_bulk"], spans[f"pipeline {name}-p@1"]
    assert (root.kind, run.kind, spans["opensearch bulk"].kind) == (SERVER, INTERNAL, CLIENT)
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["headrace.surface"] == "bulk"
    assert root.attributes["http.route"] == "/{index}/_bulk"
    assert root.attributes["url.path"] == f"/{name}/_bulk"
    assert run.attributes["headrace.pipeline.type"] == "document"
    counts = {part: run.attributes[f"headrace.documents.{part}"] for part in ("in", "out", "dropped", "failed")}
    assert counts == {"in": 30, "out": 18, "dropped": 0, "failed": 12}
    udf = spans["stage upper"].attributes
    assert (udf["headrace.udf.name"], udf["headrace.udf.version"]) == (f"{name}-up", "1")
    assert udf["headrace.fuel"] > 0
    number = spans["stage number"]
    assert number.attributes["headrace.documents.failed"] == 12
    assert number.events
    assert len(number.events) <= 10
    assert all(event == "document_failed" and list(facts) == ["error.type"] for event, facts in number.events)
    exchange = spans["opensearch bulk"].attributes
    assert exchange["db.system.name"] == "opensearch"
    assert (exchange["db.operation.name"], exchange["db.collection.name"]) == ("bulk", name)
    assert collector.resources[0]["service.name"] == "headrace"
    assert "bad" not in repr(tree)


async def test_a_search_is_one_tree(traced: tuple[Http, Collector], name: str):
    http, collector = traced
    await http.pipeline(f"{name}-q", "query", native("f", "filter_query", query={"term": {"n": 1}}))
    await http.pipeline(f"{name}-r", "result", native("m", "mask", fields=["secret"]))
    await http.index(name, query=f"{name}-q", result=f"{name}-r")
    await http.put(f"/{name}/_doc/1?refresh=true", {"n": 1, "secret": "s"})
    collector.spans.clear()
    assert (await http.post(f"/{name}/_search", {})).json["hits"]["total"]["value"] == 1
    (tree,) = await spans_of(collector, "POST /{index}/_search")
    root, children = shape(tree)
    assert root == "POST /{index}/_search"
    assert children[0] == (f"pipeline {name}-q@1", ["stage f"])
    assert "opensearch search" in children
    assert children[-1] == (f"pipeline {name}-r@1", ["stage m"])
    check_times(tree)


async def test_the_parent_of_a_client_is_continued(traced: tuple[Http, Collector], name: str):
    http, collector = traced
    await http.index(name)
    collector.spans.clear()
    await http.get(f"/{name}/_doc/1", headers={"traceparent": PARENT, "tracestate": "vendor=1"})
    (tree,) = await spans_of(collector, "GET /{index}/_doc/{id}")
    root = next(span for span in tree if span.kind == SERVER)
    assert (root.trace_id, root.parent) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    unsampled = PARENT.replace("-01", "-00").replace("0af7", "1af7")
    await http.get(f"/{name}/_doc/2", headers={"traceparent": unsampled})
    await http.get(f"/{name}/_doc/3", headers={"traceparent": "garbage"})
    await spans_of(collector, "GET /{index}/_doc/{id}", 2)
    roots = [span for span in collector.spans if span.name == "GET /{index}/_doc/{id}"]
    paths = [span.attributes["url.path"] for span in roots]
    assert paths == [f"/{name}/_doc/1", f"/{name}/_doc/3"]


async def test_stages_see_the_id_of_their_trace(traced: tuple[Http, Collector], name: str):
    http, collector = traced
    code = "def process(doc, params, ctx):\n    doc['trace'] = ctx.get('trace_id', 'none')\n    print('in', ctx['trace_id'])\n    return doc\n"
    assert (await http.put(f"/_udf/{name}-u", {"language": "python", "source": code})).status == 201
    stage = {"name": "t", "type": "python", "config": {"udf_name": f"{name}-u"}}
    await http.pipeline(f"{name}-p", "document", native("keep", "set", field="a", value=1), stage)
    await http.index(name, document=f"{name}-p")
    lines: list[Any] = []
    for n in range(5):
        lines += [{"index": {"_id": str(n)}}, {"n": n}]
    assert (await http.bulk(*lines, target=f"/{name}/_bulk?refresh=true")).json["errors"] is False
    (tree,) = await spans_of(collector, "POST /{index}/_bulk")
    found = (await http.get(f"/{name}/_search?size=10")).json["hits"]["hits"]
    assert {hit["_source"]["trace"] for hit in found} == {tree[0].trace_id}
    assert all(hit["_source"].keys() == {"n", "a", "trace"} for hit in found)


async def test_a_slow_stage_has_a_line_with_its_trace(
    node: str, session: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
):
    caplog.set_level("WARNING", "headrace.slow")
    settings = settings_for(node, tmp_path, slow_stage="1micros")
    async with running_proxy(settings, session) as http:
        await http.pipeline(f"{name}-p", "document", native("quick", "set", field="a", value=1))
        await http.index(name, document=f"{name}-p")
        await http.put(f"/{name}/_doc/1", {"n": 1})
    fields = next(record.fields for record in caplog.records if record.name == "headrace.slow")
    assert (fields["pipeline"], fields["stage"], fields["documents"]) == (f"{name}-p@1", "quick", 1)
    assert fields["index"] == name
    assert fields["ms"] > 0


async def test_a_collector_that_does_not_answer_costs_no_request_and_no_stop(
    session: aiohttp.ClientSession, tmp_path: Path, node: str
):
    # The system accepts connections for it, and nobody reads.
    silent = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
    async with running_proxy(settings_for(node, tmp_path, otlp_endpoint=endpoint, trace_sample=1.0), session) as http:
        begun = time.monotonic()
        for _ in range(50):
            assert (await http.get("/")).status == 200
        assert time.monotonic() - begun < 5
        ended = time.monotonic()
    assert time.monotonic() - ended < 8
    silent.close()


async def test_durations_have_the_trace_as_their_exemplar(traced: tuple[Http, Collector], name: str):
    http, _ = traced
    await http.pipeline(f"{name}-p", "document", native("s", "set", field="x", value=1))
    await http.index(name, document=f"{name}-p")
    assert (await http.put(f"/{name}/_doc/1", {}, headers={"traceparent": PARENT})).status == 201
    answer = await http.get("/_proxy/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    found = [line for line in answer.body.decode().splitlines() if PARENT.split("-")[1] in line]
    assert sorted(line.partition("{")[0] for line in found) == [
        "headrace_pipeline_duration_seconds_bucket",
        "headrace_request_duration_seconds_bucket",
    ]
    assert f'pipeline="{name}-p"' in found[0] + found[1]
