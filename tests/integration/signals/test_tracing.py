"""What a traced request looks like to the cluster, and which requests are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ways import get, post
from tests.support.cluster import answer
from tests.support.collector import Collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = b"traceparent: 00-%b-%b-01" % (TRACE.encode(), CALLER.encode())
UNSAMPLED = PARENT[:-2] + b"00"


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    async with Collector() as found:
        yield found


def trace_headers(sent: bytes) -> dict[bytes, list[bytes]]:
    """The values of the headers of a trace, by name in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for line in sent.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() in (b"traceparent", b"tracestate", b"baggage"):
            found.setdefault(name.lower(), []).append(value.strip())
    return found


@pytest.mark.parametrize(
    "request_",
    [
        get("/i/_search", PARENT, b"tracestate: v=1", b"Baggage: k=v"),
        post("/i/_doc/1", b"{}", PARENT, b"TraceState: v=1", b"baggage: k=v"),
    ],
)
async def test_the_cluster_gets_the_exchange_as_its_parent(
    start: Callable[..., Any], collector: Collector, request_: bytes
):
    way = await start(otlp_endpoint=collector.url, trace_sample=0.0)
    client = await way.client()
    await client(request_)
    sent = trace_headers(way.cluster.seen[-1])
    assert (sent[b"tracestate"], sent[b"baggage"]) == ([b"v=1"], [b"k=v"])
    (parent,) = sent[b"traceparent"]
    version, trace, span, flags = parent.decode().split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    await way.proxy.stop()
    exchange = next(each for each in collector.spans if each.name.startswith("opensearch "))
    assert exchange.id == span != CALLER
    root = next(each for each in collector.spans if each.id == exchange.parent)
    assert (root.parent, root.trace_id) == (CALLER, TRACE)
    assert exchange.start <= exchange.end <= root.end


@pytest.mark.parametrize("line", [UNSAMPLED, b"traceparent: 00-garbage", b"X: y"])
async def test_what_is_not_sampled_passes_as_it_came(start: Callable[..., Any], collector: Collector, line: bytes):
    way = await start(otlp_endpoint=collector.url, trace_sample=0.0)
    client = await way.client()
    await client(get("/i/_search", line))
    assert way.taken == ["/i/_search"]
    assert line in way.cluster.seen[-1]
    await way.proxy.stop()
    assert not collector.spans


async def test_a_sampled_request_takes_the_way_of_handlers(start: Callable[..., Any], collector: Collector):
    way = await start(otlp_endpoint=collector.url, trace_sample=1.0)
    way.cluster.answers["/i/_search"] = answer(b"found")
    client = await way.client()
    assert (await client(get("/i/_search"))).endswith(b"found")
    assert way.taken == []
    assert b"traceparent: 00-" in way.cluster.seen[-1]


async def test_an_exchange_that_breaks_is_an_error(start: Callable[..., Any], collector: Collector):
    way = await start(otlp_endpoint=collector.url, trace_sample=1.0)
    way.cluster.answers["/i/_doc/1"] = b""
    client = await way.client()
    way.cluster.early["/i/_doc/1"] = b""
    answered = await client(post("/i/_doc/1", b'{"a":"' + b"x" * (1 << 20) + b'"}'))
    assert answered.startswith(b"HTTP/1.1 50")
    await way.proxy.stop()
    tree = {each.name: each for each in collector.spans if each.attributes.get("url.path", "/i/_doc/1") == "/i/_doc/1"}
    assert tree["POST /{index}/_doc/{id}"].status == 2
    broken = [each for each in collector.spans if each.name == "opensearch doc" and each.status == 2]
    assert broken
    assert "error.type" in broken[0].attributes


async def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    import sys

    from headrace.ops.tracing.sampling import tracer_of
    from headrace.settings import Settings
    from headrace_pipelines.errors import InvalidError

    monkeypatch.delitem(sys.modules, "headrace.ops.tracing.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidError, match=r"pip install 'headrace\[otel\]'"):
        tracer_of(Settings(otlp_endpoint="http://127.0.0.1:4318/v1/traces"))
    assert tracer_of(Settings()) is None
